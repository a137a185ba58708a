package import NIOCore

/// What clients of a control server may use up.
package struct ControlLimits: Sendable {
    /// Most connections at a time; more wait in the kernel's queue.
    package var connections = 1024
    /// Most connections at a time of one source, others of which are closed at once; nil for no bound.
    package var connectionsPerSource: Int?
    /// Which source a client's address belongs to: which addresses are one's is not known here.
    package var source: @Sendable (_ address: String) -> String = { $0 }
    /// Most bytes of a request's body: 64 KiB.
    package var bodyBytes = 65_536
    /// From the head of a request to the end of its body.
    package var requestTimeout = TimeAmount.seconds(10)
    /// How long a connection may be without a request, and how long a head may take.
    package var idleTimeout = TimeAmount.seconds(60)
    /// How long a client may take for one piece of an answer.
    package var writeTimeout = TimeAmount.seconds(30)
    /// How long answers may take once the server was told to stop.
    package var drainTimeout = Duration.seconds(10)

    /// The defaults.
    package init() {}
}
