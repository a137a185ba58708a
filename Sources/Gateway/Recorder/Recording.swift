internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import SealedLog

/// What is kept of one exchange until it is sealed.
///
/// Belongs to a worker's ``Recorder``, which uses it again.
final class Recording {
    /// One direction.
    struct Message {
        /// The head's fields but for secrets, a line each.
        var lines = ByteBuffer()
        /// Of the body what is kept.
        var body = ByteBuffer()
        /// How long the body was as far as it came.
        var bodyBytes = 0
        /// Runs from the first byte on that is not kept.
        fileprivate var digest: SHA256?
        /// Whether all of the body that came is in ``body``.
        var isWhole = true

        /// Forgets the message, and keeps a little memory.
        mutating func reset() {
            self.lines.clear()
            self.body.clear()
            if self.body.capacity > Recording.keptBytes { self.body = ByteBuffer() }
            self.bodyBytes = 0
            self.digest = nil
            self.isWhole = true
        }
    }

    private(set) var log: EndpointLog
    private(set) var collector: DataCollectorConfiguration
    var request = Message()
    var response = Message()
    /// When the request's head was there, Unix nanoseconds; 0 where times betray.
    var nanoseconds: UInt64 = 0
    /// Joins the two entries.
    var requestID = LogIdentifier.zero
    /// The backend that was asked last.
    var backend: Backend?
    /// Whether the request's entry has been written.
    var isRequestSealed = false
    /// What is waited for until it is durable.
    var requestTicket: UInt64?
    /// Whether it is durable.
    var isRequestDurable = false

    init(_ log: EndpointLog, _ collector: DataCollectorConfiguration) {
        self.log = log
        self.collector = collector
    }

    /// Makes it ready for another exchange.
    func reset(_ log: EndpointLog, _ collector: DataCollectorConfiguration) {
        self.log = log
        self.collector = collector
        self.backend = nil
        self.isRequestSealed = false
        self.requestTicket = nil
        self.isRequestDurable = false
    }

    /// Forgets what it holds.
    func clear() {
        self.request.reset()
        self.response.reset()
        self.backend = nil
    }

    /// Bytes of bodies it holds.
    var heldBytes: Int { self.request.body.readableBytes + self.response.body.readableBytes }

    /// 4 KiB: what a buffer keeps from one exchange to the next.
    static let keptBytes = 4096
}

extension Recording.Message {
    /// Keeps the fields of a head, without secrets.
    mutating func keepFields(of head: MessageHead, _ secrets: SecretFields) {
        let buffer = head.bytes
        let bytes = buffer.readableBytesUInt8Span
        let fields = head.fields
        self.lines.write(atMost: buffer.readableBytes + 4 * fields.count) { output in
            for field in fields where !secrets.contains(field, bytes) {
                output.append(bytes.extracting(field.nameRange))
                output.append(": ")
                output.append(bytes.extracting(field.valueRange))
                output.append("\r\n")
            }
        }
    }

    /// Keeps a piece of the body, as far as there is room.
    ///
    /// - Parameters:
    ///   - piece: What came.
    ///   - limit: Most bytes kept of the whole body.
    ///   - room: How many bytes may be kept besides.
    /// - Returns: How many bytes were kept.
    mutating func keep(_ piece: ByteBuffer, limit: Int, room: Int) -> Int {
        self.bodyBytes += piece.readableBytes
        if self.isWhole, piece.readableBytes <= room,
            self.body.readableBytes + piece.readableBytes <= limit
        {
            self.body.writeImmutableBuffer(piece)
            return piece.readableBytes
        }
        if self.isWhole {
            self.isWhole = false
            // What of the limit is left is still kept; the digest is of all.
            self.digest = try? SHA256()
            self.digest?.update(self.body.readableBytesSpan)
        }
        self.digest?.update(piece.readableBytesSpan)
        let count = max(0, min(limit - self.body.readableBytes, room, piece.readableBytes))
        if count > 0, let slice = piece.getSlice(at: piece.readerIndex, length: count) {
            self.body.writeImmutableBuffer(slice)
        }
        return count
    }

    /// SHA-256 of the whole body, where not all of it was kept; ends the digest.
    mutating func takeDigest() -> Digest32? {
        defer { self.digest = nil }
        return self.digest?.finish()
    }
}

/// The fields that are never logged.
struct SecretFields: Sendable {
    private let names: [[UInt8]]
    /// How names and suffixes end: bit n stands for those whose ``end(_:_:)`` is n.
    private let ends: UInt64

    /// - Parameter names: Further ones, in lower case.
    init(_ names: [String]) {
        self.names = (["x-forwarded-client-cert", "x-client-cert"] + names).map { Array($0.utf8) }
        let suffixes = Self.suffixes.map { Array("\($0)".utf8) }
        self.ends = (self.names + suffixes).reduce(0) { bits, name in
            // One of a single byte ends after any other.
            guard name.count > 1 else { return .max }
            return bits | 1 << Self.end(name[name.count - 2], name[name.count - 1])
        }
    }

    func contains(_ field: HeadField, _ bytes: Span<UInt8>) -> Bool {
        if Self.known.contains(field.name) { return true }
        let name = bytes.extracting(field.nameRange)
        // Most names are told apart from all of these by how they end.
        guard name.count > 1,
            self.ends &>> Self.end(name[name.count - 2], name[name.count - 1]) & 1 == 1
        else { return false }
        for suffix in Self.suffixes where name.ends(with: suffix) { return true }
        for secret in self.names where name.isSame(as: secret) { return true }
        return false
    }

    /// A number below 64 for the two bytes a name ends with, the same in upper and lower case.
    @inline(__always)
    private static func end(_ first: UInt8, _ second: UInt8) -> UInt64 {
        UInt64((first | 0x20) &* 5 &+ (second | 0x20)) & 63
    }

    private static let known: FieldNameSet = [.authorization, .cookie, .setCookie, .proxy, .xSSL]
    private static let suffixes: [StaticString] = [
        "-key", "-token", "-secret", "-password", "signature", "authorization",
    ]
}

extension Span<UInt8> {
    /// Whether these bytes of a field's name end with `suffix`, which is lower case, in any case.
    fileprivate func ends(with suffix: StaticString) -> Bool {
        let length = suffix.utf8CodeUnitCount
        return self.count >= length
            && self.isName(suffix, start: self.count - length, length: length)
    }

    /// Whether these bytes of a field's name are `name`, which is lower case, in any case.
    fileprivate func isSame(as name: [UInt8]) -> Bool {
        guard self.count == name.count else { return false }
        for index in self.indices {
            let byte = self[index]
            let lowered = 0x41...0x5a ~= byte ? byte | 0x20 : byte
            if lowered != name[index] { return false }
        }
        return true
    }
}
