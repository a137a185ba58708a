internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import TLS

/// What is known of the client at the other end of one connection.
///
/// Made at the connection's first request, when TLS is done; loop-bound.
final class ClientConnection {
    /// The peer, or the client a PROXY header named.
    let address: IPAddress?
    /// Its text, for `x-forwarded-for` and the log.
    let addressText: String
    /// The name in SNI that Host must be, in lower case; nil if the client sent none.
    let serverName: [UInt8]?
    let tls: TLSSessionInfo?
    /// SPIFFE ID, or else the subject, of the client's verified certificate.
    let peerIdentity: String?
    /// Whether the peer's `x-forwarded-for` is believed.
    let isTrustedProxy: Bool
    private let forwarded: FieldBlock
    /// The endpoint key this connection proved last.
    let provenToken = ProvenToken()

    init(channel: any Channel, proxied: SocketAddress?, tls: TLSHandler, snapshot: Snapshot) {
        let peer = IPAddress(channel.remoteAddress)
        let client = IPAddress(proxied) ?? peer
        self.address = client
        self.addressText = client.map(\.description) ?? "unix"
        self.forwarded = Self.forwardedFields(self.addressText)
        let session = tls.session
        // A gateway names the agent in SNI and the client's host in Host.
        self.serverName =
            snapshot.isAgent ? nil : session?.serverName.map { Array($0.utf8) }
        self.tls = session
        self.peerIdentity = session?.peer.flatMap { $0.identity ?? $0.subject }
        self.isTrustedProxy = snapshot.configuration.trusts(client)
    }

    /// What a backend is told of the client that sent `head`.
    func forwardedFields(of head: MessageHead, in snapshot: Snapshot) -> FieldBlock {
        guard self.isTrustedProxy else { return self.forwarded }
        return Self.forwardedFields(self.origin(of: head, in: snapshot.configuration))
    }

    private static func forwardedFields(_ origin: String) -> FieldBlock {
        FieldBlock(["x-forwarded-for": origin, "x-forwarded-proto": "https"])
    }

    /// The client the request comes from: this peer, or where it is a trusted proxy, the rightmost
    /// address of `x-forwarded-for` that is not one.
    private func origin(of head: MessageHead, in configuration: GatewayConfiguration) -> String {
        guard self.isTrustedProxy else { return self.addressText }
        for field in head.fields.reversed() where field.name == .xForwardedFor {
            for text in head.string(field.valueRange).split(separator: ",").reversed() {
                let trimmed =
                    text.drop { $0 == " " || $0 == "\t" }
                    .split(whereSeparator: { $0 == " " || $0 == "\t" }).first ?? ""
                guard let address = IPAddress(trimmed) else { return self.addressText }
                if !configuration.trusts(address) { return address.description }
            }
        }
        return self.addressText
    }
}

extension GatewayConfiguration {
    /// Whether `address` is one of the trusted proxies.
    func trusts(_ address: IPAddress?) -> Bool {
        guard let address else { return false }
        return self.trustedProxies.contains { $0.contains(address) }
    }
}

extension IPAddress {
    /// That of one end of a connection; nil for a Unix socket.
    init?(_ address: SocketAddress?) {
        guard let address = address?.ipAddress.flatMap({ IPAddress($0) }) else { return nil }
        self = address
    }
}
