internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import TLS

/// Where a request comes from.
struct ClientOrigin {
    /// nil for a Unix socket.
    let address: IPAddress?
    /// Its text, for the log.
    let text: String

    init(_ address: IPAddress?) {
        self.address = address
        self.text = address.map(\.description) ?? "unix"
    }
}

/// What is known of the client at the other end of one connection.
///
/// Made at the connection's first request, when TLS is done; loop-bound.
final class ClientConnection {
    /// The peer, or the client a PROXY header named.
    let origin: ClientOrigin
    /// A Host field of where the connection came to, for requests without one.
    let ownHost: FieldBlock
    /// The name in SNI that Host must be, in lower case; nil if the client sent none.
    let serverName: [UInt8]?
    let tls: TLSSessionInfo?
    /// What its handshake was made with.
    private let server: TLSServerContext
    /// SPIFFE ID, or else the subject, of the client's verified certificate.
    let peerIdentity: String?
    /// Whether the peer's `x-forwarded-for` is believed.
    let isTrustedProxy: Bool
    private let forwarded: FieldBlock
    /// The endpoint key this connection proved last.
    let provenToken = ProvenToken()

    init(
        channel: any Channel, proxy: ProxyProtocolHandler?, isOnUnixSocket: Bool, tls: TLSHandler,
        server: TLSServerContext, snapshot: Snapshot
    ) {
        self.server = server
        let peer = IPAddress(channel.remoteAddress)
        let named = IPAddress(proxy?.source)
        let client = named ?? peer
        self.origin = ClientOrigin(client)
        self.ownHost = FieldBlock(["host": Self.hostText(channel.localAddress)])
        self.forwarded = Self.forwardedFields(self.origin)
        let session = tls.session
        // A gateway names the agent in SNI and the client's host in Host.
        self.serverName =
            snapshot.isAgent ? nil : session?.serverName.map { Array($0.utf8) }
        self.tls = session
        self.peerIdentity = session?.peer.flatMap { $0.identity ?? $0.subject }
        // Behind a PROXY header that names nobody may be anyone.
        self.isTrustedProxy = snapshot.configuration.trusts(
            proxy == nil ? peer : named, isOnUnixSocket: proxy == nil && isOnUnixSocket)
    }

    /// Whether requests for this host may come over the connection beside those for the server name:
    /// a client of HTTP/2 sends them where one certificate covers both (RFC 9113, 9.1.1).
    func mayCarry(_ host: Span<UInt8>) -> Bool {
        guard let serverName = self.tls?.serverName else { return false }
        return self.server.covers(host.lowercasedText, forClientsOf: serverName)
    }

    /// What a backend is told of the client that sent a request; `origin` is who is behind this one.
    func forwardedFields(_ origin: ClientOrigin?) -> FieldBlock {
        origin.map { Self.forwardedFields($0) } ?? self.forwarded
    }

    /// A client on a Unix socket has no address to tell.
    private static func forwardedFields(_ origin: ClientOrigin) -> FieldBlock {
        guard let address = origin.address else {
            return FieldBlock(["x-forwarded-proto": "https"])
        }
        return FieldBlock(["x-forwarded-for": "\(address)", "x-forwarded-proto": "https"])
    }

    /// The client behind this one, where it is a trusted proxy: the rightmost address of
    /// `x-forwarded-for` that is none; nil if this one is the client itself.
    func origin(of head: MessageHead, in snapshot: Snapshot) -> ClientOrigin? {
        guard self.isTrustedProxy else { return nil }
        for field in head.fields.reversed() where field.name == .xForwardedFor {
            for text in head.string(field.valueRange).split(separator: ",").reversed() {
                let trimmed =
                    text.drop { $0 == " " || $0 == "\t" }
                    .split(whereSeparator: { $0 == " " || $0 == "\t" }).first ?? ""
                guard let address = IPAddress(trimmed) else { return nil }
                if !snapshot.configuration.trusts(address) { return ClientOrigin(address) }
            }
        }
        return nil
    }

    /// Address and port as Host has them (RFC 9110, 7.2); "localhost" for a Unix socket.
    private static func hostText(_ address: SocketAddress?) -> String {
        guard let ip = IPAddress(address), let port = address?.port else { return "localhost" }
        return ip.isIPv4 ? "\(ip):\(port)" : "[\(ip)]:\(port)"
    }
}

extension GatewayConfiguration {
    /// Whether `address` is one of the trusted proxies.
    func trusts(_ address: IPAddress) -> Bool {
        self.trustedProxies.contains { $0.contains(address) }
    }

    /// Whether the peer at this address is one, who has none on a Unix socket.
    func trusts(_ address: IPAddress?, isOnUnixSocket: Bool) -> Bool {
        address.map { self.trusts($0) } ?? (isOnUnixSocket && self.trustsUnixSockets)
    }
}

extension IPAddress {
    /// That of one end of a connection; nil for a Unix socket.
    init?(_ address: SocketAddress?) {
        guard let address = address?.ipAddress.flatMap({ IPAddress($0) }) else { return nil }
        self = address
    }
}
