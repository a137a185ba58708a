/// Counts of handshakes, for metrics.
///
/// Not Sendable: counted and read on one event loop.
package final class TLSCounters {
    /// Kinds of failure a label can name.
    package enum Failure: Int, CaseIterable, Sendable {
        /// Too slow.
        case timeout
        /// A server name no certificate covers.
        case serverName
        /// No protocol, version, cipher, group or signature in common.
        case noOverlap
        /// A certificate that does not verify, or of somebody else.
        case certificate
        /// The connection ended in the middle.
        case closed
        /// Anything else.
        case other

        /// The value of the label.
        package var name: String {
            switch self {
            case .timeout: "timeout"
            case .serverName: "server_name"
            case .noOverlap: "no_overlap"
            case .certificate: "certificate"
            case .closed: "closed"
            case .other: "other"
            }
        }
    }

    private var full: [Int]
    private var resumed: [Int]
    private var failures: [Int]
    /// Connections that ended without close_notify after the handshake.
    package private(set) var truncations = 0
    /// Bytes read from and given to the network, handshakes included.
    package private(set) var (receivedBytes, sentBytes) = (0, 0)

    /// All counts zero.
    package init() {
        let combinations = TLSVersion.allCases.count * TLSCipher.allCases.count
        self.full = Array(repeating: 0, count: combinations)
        self.resumed = Array(repeating: 0, count: combinations)
        self.failures = Array(repeating: 0, count: Failure.allCases.count)
    }

    /// Handshakes finished with this version and cipher, resumed or full.
    package func handshakes(version: TLSVersion, cipher: TLSCipher, isResumed: Bool) -> Int {
        let index = Self.index(version, cipher)
        return isResumed ? self.resumed[index] : self.full[index]
    }

    /// Handshakes that failed for this reason.
    package func failures(_ kind: Failure) -> Int {
        self.failures[kind.rawValue]
    }

    func countHandshake(_ session: TLSSessionInfo) {
        let index = Self.index(session.version, session.cipher)
        if session.isResumed { self.resumed[index] += 1 } else { self.full[index] += 1 }
    }

    func countReceived(_ bytes: Int) { self.receivedBytes &+= bytes }

    func countSent(_ bytes: Int) { self.sentBytes &+= bytes }

    func countTruncation() {
        self.truncations += 1
    }

    func countFailure(_ error: TLSError) {
        let kind: Failure =
            switch error {
            case .handshakeTimeout: .timeout
            case .unknownServerName: .serverName
            case .noApplicationProtocol: .noOverlap
            case .peerCertificateRefused, .peerIdentityRefused, .peerDenied: .certificate
            case .closedDuringHandshake: .closed
            // handshake_failure and protocol_version: RFC 8446, 6.2.
            case .handshakeFailed(_, alert: 40), .handshakeFailed(_, alert: 70): .noOverlap
            default: .other
            }
        self.failures[kind.rawValue] += 1
    }

    private static func index(_ version: TLSVersion, _ cipher: TLSCipher) -> Int {
        version.rawValue * TLSCipher.allCases.count + cipher.rawValue
    }
}
