internal import COpenSSL
internal import NIOCore

/// The record layer of a TLS 1.3 connection whose handshake OpenSSL has done.
///
/// The ciphers remain OpenSSL's; around them OpenSSL 3.0 spends more on a record than they do, and its
/// object has 14 KB as long as the connection lives. What is left to do after a handshake is little:
/// records (RFC 8446, 5), alerts (6), key updates (4.6.3). A client passes over tickets (4.6.1);
/// certificates after the handshake (4.6.2) are never asked for, so other messages are refused.
///
/// What goes out on our own account is collected with ``takeControlBytes(into:)`` after each call.
final class RecordProtection {
    private var reading: TrafficKey
    private var writing: TrafficKey
    /// The begin of a record whose end has not come.
    private var partial: ByteBuffer?
    private var control: ByteBuffer?
    private var messages: HandshakeMessages
    private var keyChanges = KeyChangeLimit()
    /// Records in a row that brought no data.
    private var emptyRecords = 0

    /// Goes on from a handshake.
    init(reading: consuming TrafficKey, writing: consuming TrafficKey, isClient: Bool) {
        self.reading = reading
        self.writing = writing
        self.messages = HandshakeMessages(isClient: isClient)
    }

    /// Bytes held of a record that is not complete.
    var heldBytes: Int { self.partial?.readableBytes ?? 0 }

    /// Opens records into `plaintext` until `input` is used up or `plaintext` is full.
    ///
    /// Must not be called again after `.closed` or `.failed`.
    func read(
        _ input: inout ByteBuffer, into plaintext: inout ByteBuffer
    ) -> TLSConnection.ReadStep {
        do throws(RecordFault) {
            if var partial = self.partial.take() {
                guard try Self.complete(&partial, from: &input) else {
                    self.partial = partial
                    return .drained
                }
                if let step = try self.open(&partial, into: &plaintext) { return step }
            }
            if let step = try self.open(&input, into: &plaintext) { return step }
        } catch {
            self.send(.alert, [Self.fatal, error.alert])
            return .failed(.recordRefused(reason: error.reason))
        }
        if input.readableBytes > 0 {
            var partial = ByteBufferAllocator().buffer(capacity: input.readableBytes)
            partial.writeBuffer(&input)
            self.partial = partial
        }
        return .drained
    }

    /// Moves to `partial` what its record lacks, as far as `input` has it; whether it is complete then.
    private static func complete(
        _ partial: inout ByteBuffer, from input: inout ByteBuffer
    ) throws(RecordFault) -> Bool {
        func take(upTo count: Int) {
            guard
                var bytes = input.readSlice(
                    length: min(count - partial.readableBytes, input.readableBytes))
            else { return }
            partial.writeBuffer(&bytes)
        }
        if partial.readableBytes < self.headerBytes { take(upTo: self.headerBytes) }
        let count = try unsafe partial.withUnsafeReadableBytes { bytes throws(RecordFault) in
            try unsafe self.recordBytes(bytes)
        }
        guard let count else { return false }
        if partial.readableBytes < count { take(upTo: count) }
        return partial.readableBytes == count
    }

    /// Opens all whole records of `input`; nil when there is none left.
    private func open(
        _ input: inout ByteBuffer, into plaintext: inout ByteBuffer
    ) throws(RecordFault) -> TLSConnection.ReadStep? {
        var step: TLSConnection.ReadStep?
        var fault: RecordFault?
        unsafe input.readWithUnsafeReadableBytes { bytes in
            var rest = unsafe bytes
            unsafe plaintext.writeWithUnsafeMutableBytes(
                minimumWritableBytes: min(bytes.count, RecordSize.large + 1)
            ) { window in
                var room = unsafe window
                do throws(RecordFault) {
                    while step == nil, let count = unsafe try Self.recordBytes(rest),
                        count <= rest.count
                    {
                        guard count - Self.overheadBytes <= room.count else {
                            step = .full
                            break
                        }
                        let record = unsafe UnsafeRawBufferPointer(rebasing: rest[..<count])
                        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                        let data = unsafe try self.open(record, into: room, &step)
                        unsafe room = UnsafeMutableRawBufferPointer(rebasing: room[data...])
                    }
                } catch {
                    fault = error
                }
                return window.count - room.count
            }
            return bytes.count - rest.count
        }
        if let fault { throw fault }
        return step
    }

    /// Opens one record; how many bytes of data it leaves at the begin of `room`.
    @unsafe private func open(
        _ record: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer,
        _ step: inout TLSConnection.ReadStep?
    ) throws(RecordFault) -> Int {
        guard let start = room.baseAddress, unsafe self.reading.open(record, into: start)
        else { throw .notAuthentic }
        // Content, its type, zeros (RFC 8446, 5.4).
        var count = record.count - Self.overheadBytes
        while count > 0, unsafe room[count - 1] == 0 { count -= 1 }
        guard count > 0 else { throw .unexpected("a record of padding only") }
        count -= 1
        guard count <= RecordSize.large else { throw .overflow }
        let type = unsafe ContentType(rawValue: room[count])
        if type == .applicationData, count > 0, !self.messages.isInside {
            self.emptyRecords = 0
            return count
        }
        self.emptyRecords += 1
        guard self.emptyRecords <= Self.maximumEmptyRecords else {
            throw .unexpected("too many records without data")
        }
        let content = unsafe UnsafeRawBufferPointer(rebasing: room[..<count])
        switch type {
        case .applicationData where !self.messages.isInside: break
        case .alert: step = unsafe try Self.receiveAlert(content)
        case .handshake:
            if let update = unsafe try self.messages.receive(content) {
                step = self.updateKeys(update)
            }
        case .applicationData, nil: throw .unexpected("a record of another type")
        }
        return 0
    }

    private static func receiveAlert(
        _ content: UnsafeRawBufferPointer
    ) throws(RecordFault) -> TLSConnection.ReadStep? {
        guard content.count == 2 else { throw .malformed("an alert of another length") }
        switch unsafe Int32(content[1]) {
        case SSL_AD_CLOSE_NOTIFY: return .closed
        case SSL_AD_USER_CANCELLED: return nil
        default: return unsafe .failed(.alertReceived(content[1]))
        }
    }

    private func updateKeys(_ update: HandshakeMessages.KeyUpdate) -> TLSConnection.ReadStep? {
        guard self.keyChanges.admit(1, now: .now()) else { return .failed(.tooManyKeyChanges) }
        guard self.reading.update() else { return .failed(.ofOpenSSL("key update")) }
        guard update == .requested else { return nil }
        self.send(.handshake, HandshakeMessages.keyUpdate)
        return self.writing.update() ? nil : .failed(.ofOpenSSL("key update"))
    }

    /// Seals `source` as records at the begin of `window`, which must have room for
    /// ``TLSConnection/sealedBytes(_:)``.
    ///
    /// - Parameters:
    ///   - source: What is sealed.
    ///   - window: Where the records go.
    ///   - sizes: Says how much the next record takes.
    /// - Returns: How many bytes were written; nil if OpenSSL fails.
    @unsafe func seal(
        _ source: UnsafeRawBufferPointer, into window: UnsafeMutableRawBufferPointer,
        _ sizes: inout RecordSize
    ) -> Int? {
        guard var output = window.baseAddress else { return nil }
        var rest = unsafe source
        func seal(_ content: UnsafeRawBufferPointer, _ type: ContentType) -> Bool {
            defer { unsafe output += content.count + TrafficKey.overheadBytes }
            return unsafe self.writing.seal(content, type: type.rawValue, into: output)
        }
        while unsafe !rest.isEmpty {
            if self.writing.isWornOut {
                let isSealed = unsafe HandshakeMessages.keyUpdate.withUnsafeBytes {
                    unsafe seal($0, .handshake)
                }
                guard isSealed, self.writing.update() else { return nil }
            }
            let count = min(rest.count, sizes.limit)
            guard unsafe seal(UnsafeRawBufferPointer(rebasing: rest[..<count]), .applicationData)
            else { return nil }
            sizes.wrote(bytes: count)
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        return unsafe window.baseAddress.map { unsafe output - UnsafeMutableRawPointer($0) }
    }

    /// Makes close_notify.
    func shutDownWriting() {
        self.send(.alert, [Self.warning, UInt8(SSL_AD_CLOSE_NOTIFY)])
    }

    private func send(_ type: ContentType, _ content: [UInt8]) {
        var control = self.control.take() ?? ByteBuffer()
        let count = content.count + TrafficKey.overheadBytes
        unsafe control.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { window in
            guard let output = window.baseAddress else { return 0 }
            let isSealed = unsafe content.withUnsafeBytes {
                unsafe self.writing.seal($0, type: type.rawValue, into: output)
            }
            return isSealed ? count : 0
        }
        self.control = control
    }

    /// Whether something is to be sent that nobody wrote.
    var hasControlBytes: Bool { self.control != nil }

    /// Moves that to the end of `ciphertext`.
    func takeControlBytes(into ciphertext: inout ByteBuffer) {
        guard var control = self.control.take() else { return }
        ciphertext.writeBuffer(&control)
    }

    /// How many bytes the record at the begin of `bytes` has, header included; nil if that is not known
    /// yet.
    ///
    /// After the handshake no record is of another type on the outside (RFC 8446, 5.2).
    @unsafe private static func recordBytes(
        _ bytes: UnsafeRawBufferPointer
    ) throws(RecordFault) -> Int? {
        guard bytes.count >= self.headerBytes else { return nil }
        guard unsafe bytes[0] == ContentType.applicationData.rawValue else {
            throw .unexpected("a record that is not encrypted")
        }
        let follows = unsafe Int(bytes[3]) << 8 | Int(bytes[4])
        guard follows <= RecordSize.large + 256 else { throw .overflow }
        guard self.headerBytes + follows >= TrafficKey.overheadBytes else { throw .notAuthentic }
        return self.headerBytes + follows
    }

    /// RFC 8446, B.1.
    private enum ContentType: UInt8 {
        case alert = 21
        case handshake = 22
        case applicationData = 23
    }

    private static let headerBytes = 5
    /// Header and tag: what an opened record is shorter by; the type is in what is opened.
    private static let overheadBytes = TrafficKey.overheadBytes - 1
    /// 32, as OpenSSL has it: a peer may send some to hide the sizes of others.
    private static let maximumEmptyRecords = 32
    // RFC 8446, 6.
    private static let warning: UInt8 = 1
    private static let fatal: UInt8 = 2
}

/// Why a record is refused, and what the peer is told of it (RFC 8446, 6.2).
struct RecordFault: Error {
    let alert: UInt8
    let reason: String

    static let notAuthentic = RecordFault(
        alert: UInt8(SSL_AD_BAD_RECORD_MAC), reason: "it is not authentic")
    static let overflow = RecordFault(
        alert: UInt8(SSL_AD_RECORD_OVERFLOW), reason: "it is longer than records may be")

    static func unexpected(_ reason: String) -> RecordFault {
        RecordFault(alert: UInt8(SSL_AD_UNEXPECTED_MESSAGE), reason: reason)
    }

    static func malformed(_ reason: String) -> RecordFault {
        RecordFault(alert: UInt8(SSL_AD_DECODE_ERROR), reason: reason)
    }
}
