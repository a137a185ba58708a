internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import SealedLog

/// What is kept of one exchange until it is sealed.
///
/// Belongs to a worker's ``Recorder``, which uses it again.
final class Recording {
    /// What is asked before an entry is made of a message.
    struct Size {
        let lines: Int
        let body: Int
        /// Whether that is all of the body that came.
        let isWhole: Bool
    }

    /// One direction.
    struct Message {
        /// The head's fields but for secrets, a line each; then of the body what is kept.
        ///
        /// One buffer, since each is far away in memory by the time it is looked at again.
        fileprivate var bytes = ByteBuffer()
        fileprivate var lineBytes = 0
        /// How long the body was as far as it came.
        fileprivate(set) var bodyBytes = 0
        /// Runs from the first byte on that is not kept.
        fileprivate var digest: SHA256?
        /// Whether all of the body that came is kept.
        fileprivate(set) var isWhole = true

        /// Bytes of what is kept.
        var size: Size {
            Size(lines: self.lineBytes, body: self.keptBytes, isWhole: self.isWhole)
        }

        /// Forgets the message, and keeps a little memory.
        mutating func reset() {
            if self.bytes.capacity > Recording.reusedBytes {
                self.bytes = ByteBuffer()
            } else {
                self.bytes.clear()
            }
            self.lineBytes = 0
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
    var heldBytes: Int { self.request.keptBytes + self.response.keptBytes }

    /// 8 KiB: the memory of a message that the next one gets.
    fileprivate static let reusedBytes = 8192
}

extension Recording.Message {
    /// Bytes of the body that are kept.
    var keptBytes: Int { self.bytes.readableBytes - self.lineBytes }

    /// Keeps the fields of a head, without secrets and, of one that is `forwarded`, without those that end
    /// at this hop; forgets what was kept before.
    mutating func keepFields(of head: MessageHead, forwarded: Bool, _ secrets: SecretFields) {
        self.reset()
        self.bytes.write(atMost: head.bytes.readableBytes + 4 * head.fields.count) { output in
            HTTP1Writer.appendFields(of: head, to: &output) { field, bytes in
                (forwarded && field.isHopByHop) || secrets.contains(field, bytes)
            }
        }
        self.lineBytes = self.bytes.readableBytes
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
            self.keptBytes + piece.readableBytes <= limit
        {
            self.bytes.writeImmutableBuffer(piece)
            return piece.readableBytes
        }
        if self.isWhole {
            self.isWhole = false
            // What of the limit is left is still kept; the digest is of all.
            self.digest = try? SHA256()
            let kept = self.bytes
            self.digest?.update(kept.readableBytesSpan.extracting(droppingFirst: self.lineBytes))
        }
        self.digest?.update(piece.readableBytesSpan)
        let count = max(0, min(limit - self.keptBytes, room, piece.readableBytes))
        if count > 0, let slice = piece.getSlice(at: piece.readerIndex, length: count) {
            self.bytes.writeImmutableBuffer(slice)
        }
        return count
    }

    /// Appends the head's lines and the body, with its length, and its digest where it is not whole;
    /// ends the digest.
    mutating func encode(withBody: Bool, to batch: inout EntryBatch) {
        let buffer = self.bytes
        let bytes = buffer.readableBytesSpan
        if self.lineBytes > 0 { batch.append(.headers, bytes.extracting(first: self.lineBytes)) }
        if withBody, self.keptBytes > 0 {
            batch.append(.body, bytes.extracting(droppingFirst: self.lineBytes))
        }
        guard self.bodyBytes > 0 else { return }
        batch.append(.bodyBytes, UInt64(self.bodyBytes))
        if let digest = self.takeDigest() { batch.append(.bodyDigest, digest.bytes.rawSpan) }
    }

    /// SHA-256 of the whole body, where not all of it was kept; ends the digest.
    private mutating func takeDigest() -> Digest32? {
        defer { self.digest = nil }
        return self.digest?.finish()
    }
}

/// The fields that are never logged.
struct SecretFields: Sendable {
    private let names: [[UInt8]]
    /// How names and suffixes end: bit n stands for those whose ``end(_:_:)`` is n.
    private let ends: UInt64
    /// Known names that are secret, and those that are not: most fields are one of these.
    private let known: FieldNameSet = [.authorization, .cookie, .setCookie, .proxy, .xSSL]
    private let harmless: FieldNameSet

    /// - Parameter names: Further ones, in lower case.
    init(_ names: [String]) {
        self.names = (["x-forwarded-client-cert", "x-client-cert"] + names).map { Array($0.utf8) }
        var harmless = Self.harmless
        for name in self.names where !name.isEmpty {
            harmless.remove(FieldName.classify(name.span, start: 0, length: name.count))
        }
        self.harmless = harmless
        let suffixes = Self.suffixes.map { Array("\($0)".utf8) }
        self.ends = (self.names + suffixes).reduce(0) { bits, name in
            // One of a single byte ends after any other.
            guard name.count > 1 else { return .max }
            return bits | 1 << Self.end(name[name.count - 2], name[name.count - 1])
        }
    }

    func contains(_ field: HeadField, _ bytes: Span<UInt8>) -> Bool {
        if self.harmless.contains(field.name) { return false }
        if self.known.contains(field.name) { return true }
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

    /// Names of one spelling each that end as no secret does.
    private static let harmless: FieldNameSet = [
        .accept, .acceptEncoding, .azuremlModelDeployment, .cacheControl, .connection,
        .contentEncoding, .contentLength, .contentType, .date, .expect, .host, .location, .server,
        .strictTransportSecurity, .traceparent, .transferEncoding, .userAgent, .via,
        .xForwardedFor, .xMSClientRequestID, .xMSRequestID, .xRealIP, .xRequestID,
    ]
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
