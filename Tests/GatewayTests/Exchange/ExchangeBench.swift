import Cryptography
import Glibc
import HTTPTransport
import Logging
import NIOCore
import NIOPosix
import State
import Synchronization
import TLS
import Testing

@testable import Gateway

/// A gateway of one endpoint on loopback, before backends that do what a test says.
final class ExchangeBench: Sendable {
    let gateway: Gateway
    let key: String
    let backends: [ScriptedBackend]
    private let path: String
    private let ring: Mutex<EndpointKeyRing>
    /// Removes the folder when the bench goes.
    private let folder: KeptFolder

    /// Starts a gateway whose configuration `change` may change before.
    init(
        _ backends: [ScriptedBackend], extraPorts: [Int] = [],
        wire: EndpointConfiguration.WireCompatibility = .managed,
        change: (inout GatewayConfiguration) -> Void = { _ in }
    ) async throws {
        let folder = try ConfigurationFolder()
        self.folder = KeptFolder(folder)
        self.path = folder.path
        self.backends = backends
        let addresses = (extraPorts + backends.map(\.port)).map { "http://127.0.0.1:\($0)" }
        var configuration = try folder.read(
            """
            trust_domain: scoregate.local
            service: {kind: gateway, name: edge}
            state: ./state
            root_key: {file: root.key}
            workers: 1
            limits: {connections: 100}
            listeners:
              - address: 127.0.0.1:0
                tls: {certificates: [{chain: gateway.pem, key: gateway.key}]}
            endpoints:
              iris:
                auth_mode: key
                wire_compatibility: \(wire.rawValue)
                traffic: {blue: 100}
                deployments:
                  blue:
                    backends: [\(addresses.joined(separator: ", "))]
                    protocol: http1
            """)
        change(&configuration)
        let store = try StateStore(
            folder: configuration.stateDirectory,
            rootKey: try RootKey.read(path: "\(folder.path)/root.key"))
        let ring = EndpointKeyRing(store: store, actor: "test")
        let issued = try ring.regenerate(endpoint: "iris", slot: .primary)
        self.key = String(
            decoding: (0..<issued.key.text.count).map { issued.key.text.bytes.byte(at: $0) },
            as: UTF8.self)
        self.ring = Mutex(ring)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        self.gateway = try await Gateway.start(configuration, logger: logger)
    }

    func stop() async {
        await self.gateway.stop()
        for backend in self.backends { await backend.stop() }
    }

    func revoke() throws {
        _ = try self.ring.withLock { try $0.revoke(endpoint: "iris", slot: .primary) }
    }

    /// Replaces the key; the one the bench asks with stays good for the grace.
    func regenerate(graceMilliseconds: Int64) throws {
        _ = try self.ring.withLock {
            try $0.regenerate(
                endpoint: "iris", slot: .primary, graceMilliseconds: graceMilliseconds)
        }
    }

    /// Asks once; `key` nil sends no Authorization.
    func ask(
        _ method: HTTPMethod = .get, _ target: String = "/score",
        fields: [(name: String, value: String)] = [], body: [UInt8] = [],
        authorization: String? = ""
    ) async throws -> HTTPFetch.Answer {
        var fetch = HTTPFetch(
            target,
            at: .host("127.0.0.1", port: self.gateway.addresses[0].port ?? 0),
            tls: TLSClientConfiguration(
                trustRoots: "\(self.path)/roots.pem", peer: .dnsName("iris.example.com")))
        fetch.method = method
        fetch.body = body
        fetch.fields = [("Host", "iris.example.com")] + fields
        if let authorization {
            fetch.fields.append(
                ("Authorization", authorization.isEmpty ? "Bearer \(self.key)" : authorization))
        }
        return try await fetch.answer()
    }
}

/// Keeps a folder, and does nothing else with it: hence Sendable.
private final class KeptFolder: @unchecked Sendable {
    private let folder: ConfigurationFolder
    init(_ folder: ConfigurationFolder) { self.folder = folder }
}

/// What a backend does with a request.
enum Reply: Sendable {
    case send(String)
    case sendAndClose(String)
    case close
    case nothing

    static func ok(_ body: String = "ok") -> Reply {
        .send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }
}

/// A plain backend on loopback that answers by a script and remembers what it was asked.
final class ScriptedBackend: Sendable {
    /// The number of the connection and of the request on it, both from 1, and the request.
    typealias Script = @Sendable (_ connection: Int, _ request: Int, _ text: String) -> Reply

    let port: Int
    private let group: MultiThreadedEventLoopGroup
    private let record: Record

    final class Record: Sendable {
        let requests = Mutex<[String]>([])
        let connections = Atomic<Int>(0)
    }

    init(_ script: @escaping Script) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let record = Record()
        let channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                let number = record.connections.add(1, ordering: .relaxed).newValue
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ScriptHandler(number, record, script))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.group = group
        self.record = record
        self.port = channel.localAddress?.port ?? 0
    }

    /// A port at which nobody listens, nor will: a socket stays bound to it.
    static func freePort() async throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 0)
        let bound = unsafe address.withSockAddr { unsafe bind(descriptor, $0, socklen_t($1)) }
        try #require(bound == 0)
        // Not by the members of sockaddr_in: which module has them differs from build to build.
        var name: [UInt16] = Array(repeating: 0, count: 8)
        var size = socklen_t(name.count * 2)
        let named = unsafe name.withUnsafeMutableBytes {
            unsafe getsockname(
                descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
        }
        try #require(named == 0)
        // The port is the second two bytes (ip(7)).
        return Int(UInt16(bigEndian: name[1]))
    }

    var requests: [String] { self.record.requests.withLock { $0 } }

    func stop() async {
        try? await self.group.shutdownGracefully()
    }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connection: Int
    private let record: ScriptedBackend.Record
    private let script: ScriptedBackend.Script
    private var count = 0
    private var input = ""

    init(
        _ connection: Int, _ record: ScriptedBackend.Record,
        _ script: @escaping ScriptedBackend.Script
    ) {
        self.connection = connection
        self.record = record
        self.script = script
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input += String(buffer: Self.unwrapInboundIn(data))
        while let headEnd = self.input.firstRange(of: "\r\n\r\n") {
            let head = self.input[..<headEnd.lowerBound]
            let length =
                head.split(separator: "\r\n").compactMap { line in
                    line.hasPrefix("content-length: ") ? Int(line.dropFirst(16)) : nil
                }.first ?? 0
            let rest = self.input.utf8[headEnd.upperBound...]
            guard rest.count >= length else { return }
            let text = String(self.input.utf8.prefix(self.input.utf8.count - rest.count + length))
            self.input = String(rest.dropFirst(length)) ?? ""
            self.count += 1
            self.record.requests.withLock { $0.append(text ?? "") }
            switch self.script(self.connection, self.count, text ?? "") {
            case .send(let reply):
                context.writeAndFlush(
                    Self.wrapOutboundOut(ByteBuffer(string: reply)), promise: nil)
            case .sendAndClose(let reply):
                context.writeAndFlush(
                    Self.wrapOutboundOut(ByteBuffer(string: reply)), promise: nil)
                context.close(promise: nil)
                return
            case .close:
                context.close(promise: nil)
                return
            case .nothing:
                break
            }
        }
    }
}
