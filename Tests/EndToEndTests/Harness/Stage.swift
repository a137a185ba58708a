import NIOCore
import Testing

/// How a gateway is set up for tests.
struct StageSetup: Sendable {
    /// A YAML flow mapping.
    var limits = "{}"
    var trustedProxies = "[]"
    var proxyProtocol = "none"
    /// Further top-level lines, each with its end.
    var lines = ""
    /// Further lines of the listener's `tls`, each with its indentation of six.
    var tlsLines = ""
    /// Further lines of the endpoint, each with its indentation of four.
    var endpointLines = ""
    /// Further lines of the deployment, each with its indentation of eight.
    var deploymentLines = ""
    var requestTimeoutMilliseconds = 20000
    /// Further deployments of the endpoint, indentation of six.
    var deployments = ""
    var traffic = "{blue: 100}"
    /// Whether the backend is behind mutual TLS; else on plain loopback.
    var isBackendEncrypted = true
    /// Replaces the endpoints; told the backend's URL.
    var endpoints: (@Sendable (String) -> String)?

    static let plain = Self()
}

/// A gateway before a recording backend, and what is needed to talk to it.
final class Stage: Sendable {
    let materials: Materials
    let backend: RecordingBackend
    let gateway: GatewayProcess
    let key: String
    let port: Int

    private init(
        materials: Materials, backend: RecordingBackend, gateway: GatewayProcess, key: String,
        port: Int
    ) {
        self.materials = materials
        self.backend = backend
        self.gateway = gateway
        self.key = key
        self.port = port
    }

    /// The stage of the suite that runs.
    @TaskLocal static var shared: Stage?

    /// The stage of the suite, which has the trait ``Testing/Trait/stage(_:)``.
    static var current: Stage {
        get throws { try #require(Self.shared) }
    }

    static func start(
        _ setup: StageSetup = .plain, materials: Materials? = nil
    ) async throws -> Stage {
        let materials = try materials ?? Materials()
        let backend = try await RecordingBackend.start(
            setup.isBackendEncrypted
                ? .mutualTLS(materials.backend, root: materials.root) : .loopback)
        let configuration = try materials.write(
            "gateway.yaml", Self.configuration(setup, backend: backend.url))
        let gateway = try await GatewayProcess.start(configuration: configuration)
        do {
            return Stage(
                materials: materials, backend: backend, gateway: gateway,
                key: try await gateway.regenerateKey(), port: try gateway.port)
        } catch {
            await gateway.end()
            throw error
        }
    }

    func stop() async {
        await self.gateway.end()
        await self.backend.stop()
    }

    /// The whole configuration; paths are relative to its folder.
    static func configuration(_ setup: StageSetup, backend: String) -> String {
        let identity =
            setup.isBackendEncrypted
            ? "        backend_identity: spiffe://test.local/agent/blue\n" : ""
        let endpoints =
            setup.endpoints?(backend) ?? """
                  iris:
                \(setup.endpointLines)    traffic: \(setup.traffic)
                    deployments:
                      blue:
                        backends: ["\(backend)"]
                \(identity)\(setup.deploymentLines)\
                        request_settings: {request_timeout_ms: \(setup.requestTimeoutMilliseconds)}
                \(setup.deployments)
                """
        return """
            trust_domain: test.local
            service: {kind: gateway, name: edge}
            state: state
            root_key: {file: root.key}
            workers: 1
            drain_timeout_ms: 1000
            access_log: {path: access.log}
            \(setup.lines)\
            trusted_proxies: \(setup.trustedProxies)
            limits: \(setup.limits)
            listeners:
              - address: 127.0.0.1:0
                proxy_protocol: \(setup.proxyProtocol)
                tls:
                  certificates: [{chain: server.pem, key: server.key}]
            \(setup.tlsLines)\
            identity: {chain: gateway.pem, key: gateway.key, trust_roots: root.pem}
            endpoints:
            \(endpoints)
            """
    }

    func connect(
        serverName: String? = nil, alpn: [String] = ["http/1.1"]
    ) async throws -> RawClient {
        try await RawClient.connect(
            port: self.port, root: self.materials.root, serverName: serverName, alpn: alpn)
    }

    /// A request with the right key; `lines` end with CRLF each.
    func request(
        _ method: String = "POST", _ target: String = "/score", lines: String = "",
        body: String = "", host: String = "localhost"
    ) -> String {
        let length = method == "POST" ? "Content-Length: \(body.utf8.count)\r\n" : ""
        return """
            \(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\
            Authorization: Bearer \(self.key)\r\n\(length)\(lines)\r\n\(body)
            """
    }

    /// Sends one request on a connection of its own and gives its answer.
    func exchange(_ request: String, method: String = "POST") async throws -> RawAnswer {
        let client = try await self.connect()
        await client.send(request)
        return try await client.answer(method: method)
    }

    /// Shows that the next request works; the backend sees exactly it.
    func expectNextRequestWorks(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let answer = try await self.exchange(self.request(body: "next"))
        #expect(answer.status == 200, sourceLocation: sourceLocation)
        #expect(answer.text == #"{"received":4}"#, sourceLocation: sourceLocation)
    }
}

/// Starts a ``Stage`` before a suite's tests and stops it after them.
struct StageTrait: SuiteTrait, TestScoping {
    let setup: StageSetup

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let stage = try await Stage.start(self.setup)
        do {
            try await Stage.$shared.withValue(stage) { try await function() }
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }
}

extension Trait where Self == StageTrait {
    /// A gateway for all tests of the suite.
    static func stage(_ setup: StageSetup = .plain) -> StageTrait { StageTrait(setup: setup) }
}
