package import Cryptography

/// What can fail in this target.
///
/// The first group is the operator's to repair and names the file; the second is the peer's doing.
/// Texts are OpenSSL's own or ours: never bytes of a key, a body or a peer, names excepted.
package enum TLSError: Error, Equatable, Sendable {
    /// A file cannot be read, or a key file is open to others; or memory for a key is short.
    case cryptography(CryptographyError)
    /// A file that holds no certificate, or something that is not one.
    case certificateMalformed(path: String, reason: String)
    /// A file that holds no unencrypted private key.
    case keyMalformed(path: String, reason: String)
    /// The private key belongs to another certificate.
    case keyMismatch(chain: String, key: String)
    /// A certificate of the chain has run out; `notAfter` as OpenSSL prints it.
    case certificateExpired(path: String, notAfter: String)
    /// A certificate of the chain is not valid yet; `notBefore` as OpenSSL prints it.
    case certificateNotYetValid(path: String, notBefore: String)
    /// A certificate in the file was not issued by the one after it.
    case chainBroken(path: String, position: Int)
    /// A server without a certificate, or client certificates asked for without trust roots.
    case configurationIncomplete(String)
    /// OpenSSL refused a setting; `operation` says which.
    case openSSL(operation: String, reason: String)

    /// The peer did not get as far as `phase` in time.
    case handshakeTimeout(phase: HandshakePhase)
    /// More than 16 KiB arrived and the ClientHello was not complete.
    case clientHelloTooLarge
    /// The client asked for a name that no certificate of ours covers.
    case unknownServerName(String)
    /// The peers have no application protocol in common.
    case noApplicationProtocol
    /// The peer's certificate does not verify.
    case peerCertificateRefused(reason: String)
    /// The peer's certificate is valid and of somebody else; `presented` is nil if it has no identity.
    case peerIdentityRefused(presented: String?, expected: String)
    /// The peer, or its certificate, is on the deny list; which of the two, as it stands there.
    case peerDenied(String)
    /// The handshake failed for another reason; `alert` is what was sent or received (RFC 8446, 6).
    case handshakeFailed(reason: String, alert: UInt8?)
    /// The connection ended during the handshake.
    case closedDuringHandshake
    /// The connection ended without close_notify: what was received may be incomplete.
    case truncated
    /// The peer reported a fatal alert after the handshake (RFC 8446, 6.2).
    case alertReceived(UInt8)
    /// A record does not open or does not belong here.
    case recordRefused(reason: String)
    /// More key updates or renegotiation attempts than a peer has use for.
    case tooManyKeyChanges
    /// Bytes were written after writing was shut down.
    case writeAfterClose

    /// How far a handshake had come when its time was over.
    package enum HandshakePhase: Sendable {
        /// Not one byte arrived.
        case firstByte
        /// The ClientHello was not complete.
        case clientHello
        /// The rest.
        case handshake
    }
}

extension TLSError {
    /// What is said of a server whose chain ends in none of ``TLSClientConfiguration/rootDigests``.
    package static let rootUnexpected = Self.peerCertificateRefused(
        reason: "its trust root is not the one expected")
}

extension TLSError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .cryptography(let error): "\(error)"
        case .certificateMalformed(let path, let reason):
            "\(path): no certificate in PEM form (\(reason))"
        case .keyMalformed(let path, let reason):
            "\(path): no private key in unencrypted PEM form (\(reason))"
        case .keyMismatch(let chain, let key):
            "\(key): not the private key of the first certificate in \(chain)"
        case .certificateExpired(let path, let notAfter):
            "\(path): expired on \(notAfter); renew it"
        case .certificateNotYetValid(let path, let notBefore):
            "\(path): not valid before \(notBefore); check the clock"
        case .chainBroken(let path, let position):
            "\(path): certificate \(position) is not issued by certificate \(position + 1); the leaf "
                + "comes first, then each one's issuer"
        case .configurationIncomplete(let what): what
        case .openSSL(let operation, let reason): "OpenSSL, \(operation): \(reason)"
        case .handshakeTimeout(let phase):
            switch phase {
            case .firstByte: "nothing arrived in time"
            case .clientHello: "the ClientHello did not arrive in time"
            case .handshake: "the handshake took too long"
            }
        case .clientHelloTooLarge: "the ClientHello is larger than 16 KiB"
        case .unknownServerName(let name): "no certificate covers the server name \(name)"
        case .noApplicationProtocol: "no application protocol in common"
        case .peerCertificateRefused(let reason): "the peer's certificate is refused: \(reason)"
        case .peerIdentityRefused(let presented, let expected):
            "the peer is not \(expected)" + (presented.map { " but \($0)" } ?? "")
        case .peerDenied(let subject): "the peer is denied: \(subject)"
        case .handshakeFailed(let reason, let alert):
            "the handshake failed: \(reason)" + (alert.map { " (alert \($0))" } ?? "")
        case .closedDuringHandshake: "the connection ended during the handshake"
        case .truncated: "the connection ended without close_notify"
        case .alertReceived(let alert): "the peer sent alert \(alert)"
        case .recordRefused(let reason): "a record was refused: \(reason)"
        case .tooManyKeyChanges: "the peer changes keys too often"
        case .writeAfterClose: "written after writing was shut down"
        }
    }
}
