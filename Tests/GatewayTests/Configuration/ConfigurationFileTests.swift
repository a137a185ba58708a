import Cryptography
import ServiceConfiguration
import Testing

@testable import Gateway

/// One problem: what in ``ConfigurationFileTests/valid`` is replaced by what, and what is said.
struct ConfigurationCase: Sendable, CustomTestStringConvertible {
    let old: String
    let new: String
    let problems: [String]

    init(_ old: String, _ new: String, _ problems: String...) {
        self.old = old
        self.new = new
        self.problems = problems
    }

    var testDescription: String { self.new.isEmpty ? "without \(self.old)" : self.new }
}

@Suite struct ConfigurationFileTests {
    /// Everything a configuration may say so far.
    static let valid = """
        trust_domain: scoregate.local
        service: {kind: gateway, name: edge}
        state: ./state
        root_key: {file: root.key}
        workers: 2
        access_log: {path: stdout, format: json}
        drain_timeout_ms: 30000
        trusted_proxies: [10.0.0.0/8, "fd00::/8"]
        limits: {connections: 10000, header_bytes: 65536, body_bytes: 104857600, idle_timeout_ms: 60000}
        listeners:
          - address: 0.0.0.0:8443
            proxy_protocol: v2
            tls:
              certificates: [{chain: gateway.pem, key: gateway.key}]
              minimum_version: "1.2"
              client_authentication: optional
              client_trust_roots: roots.pem
        admin: {address: "unix:./state/admin.sock"}
        identity: {chain: identity.pem, key: identity.key, trust_roots: roots.pem}
        endpoints:
          iris:
            hosts: [IRIS.example.com.]
            path_prefix: /iris
            auth_mode: key
            wire_compatibility: managed
            traffic: {blue: 90, green: 10}
            hbi: false
            limits: {body_bytes: 1000}
            deployments:
              blue:
                backends: ["https://127.0.0.1:5443", "https://blue.example.com"]
                backend_identity: spiffe://scoregate.local/agent/blue
                protocol: http1
                request_settings: {request_timeout_ms: 1000}
                retry_stale: true
              green:
                backends: ["unix:/run/model.sock", "http://127.0.0.1:5001", "http://[::1]:5001"]
          wine:
            hosts: [wine.apps.example.com]
            auth_mode: mtls
            deployments: {only: {backends: ["http://localhost:5002"]}}
        """

    @Test("every key that is acted on is read")
    func valid() throws {
        let folder = try ConfigurationFolder()
        #expect(folder.problems(Self.valid) == [])
        let read = try folder.read(Self.valid)
        #expect(read.spiffeID.text == "spiffe://scoregate.local/gateway/edge")
        #expect(read.stateDirectory == "\(folder.path)/state")
        #expect(read.rootKeyFile == "\(folder.path)/root.key")
        #expect(read.workers == 2)
        #expect(read.accessLog == .standardOutput)
        #expect(read.admin?.address == .unix(path: "\(folder.path)/state/admin.sock"))
        #expect(read.listeners[0].address == .ip(IPAddress(ipv4: 0), port: 8443))
        #expect(read.listeners[0].proxyProtocol == .v2)
        #expect(
            read.listeners[0].tls.clientAuthentication
                == .optional(trustRoots: "\(folder.path)/roots.pem"))
        let iris = read.endpoints[0]
        #expect(iris.hosts == ["iris.example.com"])
        #expect(iris.pathPrefix == "/iris")
        #expect(iris.bodyBytes == 1000)
        #expect(iris.deployments.map(\.trafficPercent) == [90, 10])
        #expect(
            iris.deployments[0].backends.map(\.description) == [
                "https://127.0.0.1:5443", "https://blue.example.com:443",
            ])
        #expect(
            iris.deployments[0].backendIdentity
                == .spiffeID(try SPIFFEID("spiffe://scoregate.local/agent/blue")))
        #expect(iris.deployments[0].requestTimeoutMilliseconds == 1000)
        #expect(iris.deployments[0].retriesStaleConnections)
        #expect(iris.deployments[1].requestTimeoutMilliseconds == 5000)
        #expect(
            iris.deployments[1].backends.map(\.description) == [
                "unix:/run/model.sock", "http://127.0.0.1:5001", "http://[::1]:5001",
            ])
        let wine = read.endpoints[1]
        #expect(wine.authentication == .mutualTLS)
        #expect(wine.bodyBytes == 104_857_600)
        #expect(wine.deployments[0].trafficPercent == 100)
        #expect(wine.deployments[0].backends == [.http(IPAddress(ipv4: 0x7f00_0001), port: 5002)])
    }

    @Test("each problem is named where it stands", arguments: Self.cases)
    func problem(_ example: ConfigurationCase) throws {
        let folder = try ConfigurationFolder()
        #expect(Self.valid.contains(example.old))
        let yaml = Self.valid.replacing(example.old, with: example.new, maxReplacements: 1)
        let problems = folder.problems(yaml)
        #expect(problems.count == example.problems.count, "\(problems)")
        for (problem, expected) in zip(problems, example.problems) {
            // "…" stands for what OpenSSL or the clock says.
            if expected.hasSuffix("…") {
                #expect(problem.hasPrefix(expected.dropLast()))
            } else {
                #expect(problem == expected)
            }
        }
    }

    @Test("all problems of a file are reported, in its order")
    func several() throws {
        let folder = try ConfigurationFolder()
        let yaml = Self.valid.replacing("workers: 2", with: "workers: many")
            .replacing("drain_timeout_ms", with: "drain_timeout")
            .replacing("retry_stale: true", with: "retry_stale: yes")
        #expect(
            folder.problems(yaml) == [
                "5:10: expected a whole number, found text",
                "7:1: unknown key \"drain_timeout\"; did you mean \"drain_timeout_ms\"?",
                "35:22: expected true or false, found text",
            ])
    }

    @Test("a problem begins with file, line and column")
    func position() throws {
        let folder = try ConfigurationFolder()
        #expect(throws: InvalidConfiguration.self) { try folder.read("listners: []") }
        do throws(InvalidConfiguration) {
            _ = try folder.read(Self.valid.replacing("listeners", with: "listners"))
        } catch {
            #expect(
                error.problems.last?.description
                    == "\(folder.path)/gateway.yaml:10:1: unknown key \"listners\"; "
                    + "did you mean \"listeners\"?")
        }
    }

    @Test("a file that is missing, empty or not YAML is said to be")
    func unreadable() throws {
        let folder = try ConfigurationFolder()
        #expect(folder.problems("# nothing") == ["the file is empty"])
        #expect(folder.problems("a: [1") == ["2:1: not YAML: did not find expected ',' or ']'"])
        #expect(throws: InvalidConfiguration.self) {
            try GatewayConfiguration.read(path: "\(folder.path)/none.yaml", environment: [:])
        }
    }

    @Test("a sole endpoint may have no hosts, and keys need a root key")
    func sole() throws {
        let folder = try ConfigurationFolder()
        let yaml = """
            state: state
            listeners: [{address: "[::]:0", tls: {certificates: [{chain: gateway.pem, key: gateway.key}]}}]
            endpoints: {iris: {deployments: {blue: {backends: ["http://127.0.0.1:1"]}}}}
            """
        #expect(
            folder.problems(yaml) == [
                "3:19: endpoint keys need \"root_key\": it seals what they are checked with"
            ])
        #expect(folder.problems(yaml + "\nroot_key: {file: root.key}") == [])
    }

    @Test("the root key may be a credential of systemd")
    func credential() throws {
        let folder = try ConfigurationFolder()
        let yaml = Self.valid.replacing("{file: root.key}", with: "{credential: root.key}")
        #expect(folder.problems(yaml, environment: ["CREDENTIALS_DIRECTORY": folder.path]) == [])
        #expect(
            folder.problems(yaml) == [
                "4:24: there is no $CREDENTIALS_DIRECTORY: start by systemd with LoadCredential="
            ])
    }

    @Test(
        "what stands in the place of a secret is never shown",
        arguments: [
            (
                "root_key: {file: root.key}", "root_key: sk-live",
                "4:11: expected a mapping, found text"
            ),
            (
                "root_key: {file: root.key}", "root_key: 12345678",
                "4:11: expected a mapping, found a number"
            ),
            (
                "root_key: {file: root.key}", "root_key: [sk-live]",
                "4:11: expected a mapping, found a list"
            ),
            (
                "root_key: {file: root.key}", "root_key: {credential: sk/live}",
                "4:24: this is not a credential's name: it must not contain /"
            ),
            (
                "root_key: {file: root.key}", "root_key: {credential: sk-live}",
                "4:24: there is no $CREDENTIALS_DIRECTORY: start by systemd with LoadCredential="
            ),
            (
                "        protocol: http1", "        credentials: {x-api-key: sk-live}",
                "33:34: expected a mapping, found text"
            ),
            (
                "        protocol: http1", "        credentials: {x-api-key: \"sk-live\"}",
                "33:34: expected a mapping, found text in quotes"
            ),
            (
                "        protocol: http1",
                "        credentials: {x-api-key: {secret: \"sk live\"}}",
                "33:43: this is not of the form wanted here: 1 to 127 letters, digits and dashes"
            ),
            (
                "workers: 2",
                "azure: {tenant_id: t, client_id: a, client_secret: sk-live}",
                "5:52: expected a mapping, found text"
            ),
            (
                "identity: {chain: identity.pem, key: identity.key, trust_roots: roots.pem}",
                "identity: {vault: {token: sk-live}, directory: identity}",
                "19:27: expected a mapping, found text"
            ),
        ])
    func misplacedSecret(_ old: String, _ new: String, _ expected: String) throws {
        let folder = try ConfigurationFolder()
        #expect(Self.valid.contains(old))
        let problems = folder.problems(
            Self.valid.replacing(old, with: new, maxReplacements: 1))
        #expect(problems.contains(expected), "\(problems)")
        #expect(!problems.contains { $0.contains("live") || $0.contains("12345678") })
    }

    @Test("secrets in variables of ours are refused, in others noticed")
    func environment() throws {
        let folder = try ConfigurationFolder()
        let environment = [
            "SCOREGATE_ROOT_KEY": "x", "SCOREGATE_ROOT_KEY_FILE": "/x", "SCOREGATE_TOKEN": "",
            "AWS_SECRET_ACCESS_KEY": "x", "PINE": "x", "PGPASSWORD": "x",
        ]
        #expect(
            folder.problems(Self.valid, environment: environment) == [
                "environment variable SCOREGATE_ROOT_KEY carries a secret: put it into a file of "
                    + "mode 0600"
            ])
        #expect(
            SecretEnvironment.doubtful(in: environment) == ["AWS_SECRET_ACCESS_KEY", "PGPASSWORD"])
    }

    @Test("a request for the keys of TLS sessions is refused")
    func keyLog() throws {
        let folder = try ConfigurationFolder()
        #expect(folder.problems(Self.valid, environment: ["SSLKEYLOGFILE": ""]) == [])
        #expect(
            folder.problems(Self.valid, environment: ["SSLKEYLOGFILE": "/tmp/keys"]) == [
                "environment variable SSLKEYLOGFILE asks for the keys of TLS sessions in a file; "
                    + "scoregate never writes them: unset it"
            ])
    }

    @Test("a key that others may read is refused")
    func openKeys() throws {
        let folder = try ConfigurationFolder()
        try folder.write("gateway.key", "x", mode: 0o644)
        try folder.write("root.key", "x", mode: 0o660)
        let problem = "holds a secret but its mode 0644 lets group or others at it: chmod 600"
        #expect(
            folder.problems(Self.valid) == [
                "4:18: root key root.key: "
                    + problem.replacing("0644", with: "0660"),
                "14:48: gateway.key: \(problem)",
            ])
    }
}
