internal import COpenSSL

/// Follows the handshake messages that come after a TLS 1.3 handshake; records may cut them anywhere
/// (RFC 8446, 4.6 and 5.1).
struct HandshakeMessages {
    /// Whether a key update asks for ours in return (RFC 8446, 4.6.3).
    enum KeyUpdate: UInt8 {
        case notRequested = 0
        case requested = 1
    }

    private enum State {
        case between
        /// So many bytes of type and length have come; they are in the number.
        case header(UInt32, bytes: Int)
        case keyUpdate
        case ticket(bytesLeft: Int)
    }

    private let isClient: Bool
    private var state = State.between

    /// As a client hears them, or as a server does.
    init(isClient: Bool) {
        self.isClient = isClient
    }

    /// Whether a message has begun and not ended: no other record may come between.
    var isInside: Bool {
        if case .between = self.state { return false }
        return true
    }

    /// Takes the content of one record; a key update, if it ends with one.
    @unsafe mutating func receive(
        _ content: UnsafeRawBufferPointer
    ) throws(RecordFault) -> KeyUpdate? {
        guard unsafe !content.isEmpty else { throw .unexpected("an empty handshake record") }
        var position = 0
        while position < content.count {
            switch self.state {
            case .between:
                self.state = unsafe .header(UInt32(content[position]), bytes: 1)
                position += 1
            case .header(let header, let bytes):
                let next = unsafe header << 8 | UInt32(content[position])
                position += 1
                self.state = try bytes < 3 ? .header(next, bytes: bytes + 1) : self.begin(next)
            case .keyUpdate:
                // A key change comes where a record ends (RFC 8446, 5.1).
                guard position == content.count - 1 else {
                    throw .unexpected("a message after a key update")
                }
                guard let update = unsafe KeyUpdate(rawValue: content[position]) else {
                    throw RecordFault(
                        alert: UInt8(SSL_AD_ILLEGAL_PARAMETER), reason: "no key update")
                }
                self.state = .between
                return update
            case .ticket(let bytesLeft):
                let count = min(bytesLeft, content.count - position)
                position += count
                self.state = count < bytesLeft ? .ticket(bytesLeft: bytesLeft - count) : .between
            }
        }
        return nil
    }

    private func begin(_ header: UInt32) throws(RecordFault) -> State {
        let length = Int(header & 0xFF_FFFF)
        switch Int32(header >> 24) {
        case SSL3_MT_KEY_UPDATE:
            guard length == 1 else { throw .malformed("a key update of another length") }
            return .keyUpdate
        case SSL3_MT_NEWSESSION_TICKET where self.isClient:
            guard (1...Self.maximumTicketBytes).contains(length) else {
                throw .malformed("a ticket of another length")
            }
            return .ticket(bytesLeft: length)
        default:
            throw .unexpected("a message that belongs into a handshake")
        }
    }

    /// The message that tells of our own next key, and asks for none.
    static let keyUpdate: [UInt8] = [
        UInt8(SSL3_MT_KEY_UPDATE), 0, 0, 1, KeyUpdate.notRequested.rawValue,
    ]

    /// Two fields of 64 KiB, a nonce and a few numbers (RFC 8446, 4.6.1).
    private static let maximumTicketBytes = 132_000
}
