internal import Synchronization
package import TLS

/// The TLS of a control server, replaceable while it serves.
///
/// Connections keep what they began with; new ones get what was adopted last.
package final class ControlTLS: Sendable {
    private let resources: TLSWorkerResources
    private let ticketKeys = TLSTicketKeys()
    private let context: Mutex<TLSServerContext>
    /// Whether there is no connection without a client's certificate.
    let asksForCertificates: Bool

    /// Reads the files that `configuration` names.
    package init(_ configuration: TLSServerConfiguration) throws(TLSError) {
        self.asksForCertificates = configuration.clientAuthentication == .required
        self.resources = try TLSWorkerResources()
        self.context = Mutex(
            try TLSServerContext(
                configuration, resources: self.resources, ticketKeys: self.ticketKeys))
    }

    /// Reads the files again; on failure what was there stays.
    package func adopt(_ configuration: TLSServerConfiguration) throws(TLSError) {
        precondition(
            self.asksForCertificates == (configuration.clientAuthentication == .required),
            "what a listener asks of its clients is fixed at the start")
        let new = try TLSServerContext(
            configuration, resources: self.resources, ticketKeys: self.ticketKeys)
        self.context.withLock { $0 = new }
    }

    var current: TLSServerContext { self.context.withLock { $0 } }
}
