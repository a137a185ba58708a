package import NIOCore
package import TLS

/// One request and its whole answer, for commands and probes; never on the data path.
package struct HTTPFetch: Sendable {
    /// Where to ask.
    package var address: ConnectionPool.Address
    /// How to reach it; nil for a Unix socket or loopback without TLS.
    package var tls: TLSClientConfiguration?
    /// GET unless set.
    package var method = HTTPMethod.get
    /// Path and query.
    package var target: String
    /// Host, and whatever else is to be sent; framing is added.
    package var fields: [(name: String, value: String)]
    /// The request's body; none if empty.
    package var body: [UInt8] = []
    /// From the call to the answer's end.
    package var timeout = TimeAmount.seconds(10)

    /// The whole answer.
    package struct Answer: Sendable {
        /// The answer's status.
        package let status: Int
        /// Names in the case they came in.
        package let fields: [(name: String, value: String)]
        /// At most 16 MiB.
        package internal(set) var body: [UInt8]
        /// What TLS agreed on.
        package let session: TLSSessionInfo?

        /// The value of the first field of that name, in any case.
        package func value(of name: String) -> String? {
            self.fields.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    /// A request of `target` at `address`.
    package init(
        _ target: String, at address: ConnectionPool.Address, tls: TLSClientConfiguration? = nil,
        fields: [(name: String, value: String)] = []
    ) {
        self.target = target
        self.address = address
        self.tls = tls
        self.fields = fields
    }

    /// Asks, on a connection of its own.
    ///
    /// - Throws: ``StreamError`` if there is no whole answer in time; ``TLSError`` if `tls` cannot be.
    package func answer() async throws -> Answer {
        let client = try HTTPClient(self.address, tls: self.tls)
        var request = HTTPClient.Request(self.target, fields: self.fields)
        request.method = self.method
        request.body = self.body
        do {
            let answer = try await client.answer(to: request, timeout: self.timeout)
            await client.stop()
            return answer
        } catch {
            await client.stop()
            throw error
        }
    }
}
