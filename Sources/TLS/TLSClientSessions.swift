internal import COpenSSL
internal import Cryptography

/// Sessions a client may resume, and how often it does.
///
/// Loop-bound: filled by the connections of one context as their servers grant tickets. A ticket of
/// TLS 1.3 is used once while there are others, so that nobody can link two connections by it
/// (RFC 8446, C.4); a session of TLS 1.2 is used again and again.
@safe package final class TLSClientSessions {
    /// Owned references, the newest last.
    private var sessions: [OpaquePointer]
    private let resumedShare: Double
    private var owed = 0.0
    /// Connections that offered a session.
    package private(set) var offered = 0

    /// No sessions yet.
    ///
    /// - Parameter resumedShare: Of the connections, 0 to 1, how many offer a session; spread evenly.
    package init(resumedShare: Double) {
        self.resumedShare = resumedShare
        unsafe self.sessions = []
    }

    deinit {
        while let session = unsafe self.sessions.popLast() { unsafe SSL_SESSION_free(session) }
    }

    /// How many sessions there are.
    package var count: Int { unsafe self.sessions.count }

    /// Lets `ssl`, not yet begun, offer a session if it is its turn and there is one.
    @unsafe func offer(to ssl: OpaquePointer) {
        self.owed += self.resumedShare
        guard self.owed >= 1 else { return }
        self.owed -= 1
        guard let session = unsafe self.sessions.last else { return }
        let isUsedOnce = unsafe SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION
        let isLast = self.count == 1
        // OpenSSL resumes no more by a session whose connection got the next ticket; those that begin
        // before it comes need the last one too, so that what is offered is a copy of it.
        guard let offer = unsafe isUsedOnce && isLast ? SSL_SESSION_dup(session) : session else {
            return OpenSSLErrorQueue.clear()
        }
        // Takes a reference of its own (SSL_set_session(3)).
        if unsafe SSL_set_session(ssl, offer) == 1 {
            self.offered += 1
        } else {
            OpenSSLErrorQueue.clear()
        }
        guard isUsedOnce else { return }
        if !isLast { unsafe self.sessions.removeLast() }
        unsafe SSL_SESSION_free(offer)
    }

    /// Takes over a reference to a session that a server granted.
    @unsafe func keep(_ session: OpaquePointer) {
        unsafe self.sessions.append(session)
        guard unsafe self.sessions.count > Self.maximum else { return }
        unsafe SSL_SESSION_free(self.sessions.removeFirst())
    }

    /// Adds sessions as ``encoded()`` gave them; what is none, or has run out, is left out.
    package func add(_ encoded: RawSpan) {
        let bytes = unsafe encoded.withUnsafeBytes { unsafe Array($0) }
        var rest = bytes[...]
        while rest.count > 4 {
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard count <= rest.count else { return }
            let session = unsafe Array(rest.prefix(count)).withUnsafeBufferPointer { bytes in
                var start = bytes.baseAddress
                return unsafe d2i_SSL_SESSION(nil, &start, bytes.count)
            }
            rest = rest.dropFirst(count)
            guard let session = unsafe session else {
                OpenSSLErrorQueue.clear()
                continue
            }
            if unsafe SSL_SESSION_is_resumable(session) == 1 {
                unsafe self.keep(session)
            } else {
                unsafe SSL_SESSION_free(session)
            }
        }
    }

    /// The sessions in a form to be stored: each as four bytes of length, big-endian, and ASN.1.
    ///
    /// Who has it can decrypt nothing that was sent, but can go on where this client was: a secret.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        for position in 0..<self.count {
            let session = unsafe self.sessions[position]
            let count = unsafe i2d_SSL_SESSION(session, nil)
            guard count > 0 else { continue }
            var encoded = [UInt8](repeating: 0, count: Int(count))
            unsafe encoded.withUnsafeMutableBufferPointer { buffer in
                var start = buffer.baseAddress
                _ = unsafe i2d_SSL_SESSION(session, &start)
            }
            for shift in [24, 16, 8, 0] { bytes.append(UInt8(count >> shift & 0xff)) }
            bytes += encoded
        }
        return bytes
    }

    /// 64 sessions: tickets come two a handshake, and are used one a handshake.
    private static let maximum = 64
}
