import HTTPTransport
import NIOCore
import Testing

@testable import Gateway

@Suite("Routing")
struct RouterTests {
    private static func endpoint(
        _ name: String, hosts: [String], prefix: String? = nil,
        shares: [(String, Int)] = [("blue", 100)],
        index: Int = 0
    ) throws -> Endpoint {
        try Endpoint(
            index: index,
            configuration: EndpointConfiguration(
                name: name, hosts: hosts, pathPrefix: prefix, authentication: .key,
                wireCompatibility: .managed, bodyBytes: 1,
                deployments: shares.map {
                    DeploymentConfiguration(
                        name: $0.0, trafficPercent: $0.1, backends: [.unix(path: "/s")],
                        backendIdentity: .host, version: .http1,
                        requestTimeoutMilliseconds: 1000,
                        retriesStaleConnections: false)
                }), firstDeployment: 0)
    }

    private static func head(_ host: String?, _ path: String, _ fields: String = "") throws
        -> MessageHead
    {
        var parser = HTTP1RequestParser(limits: HTTPLimits())
        let head = MessageHead()
        var input = ByteBuffer(
            string: host.map { "GET \(path) HTTP/1.1\r\nHost: \($0)\r\n\(fields)\r\n" }
                ?? "GET \(path) HTTP/1.0\r\n\r\n")
        #expect(try parser.parse(&input, into: head))
        return head
    }

    private static func text(_ match: Router.Match) -> String {
        switch match {
        case .endpoint(let endpoint, let stripped): "\(endpoint.configuration.name) \(stripped)"
        case .misdirected: "misdirected"
        case .unknownPath(let endpoints): "unknown \(endpoints.count)"
        }
    }

    @Test(
        "host and path find the endpoint",
        arguments: [
            ("a.example", "/score", nil, "plain 0"), ("A.Example.", "/", nil, "plain 0"),
            ("a.example:443", "/score", nil, "plain 0"),
            ("a.example", "/score", "a.example", "plain 0"),
            ("a.example", "/score", "b.example", "misdirected"),
            ("b.example", "/one/score", nil, "one 4"), ("b.example", "/one", nil, "one 4"),
            ("b.example", "/one/two/score", nil, "two 8"),
            ("b.example", "/%6fne/score", nil, "one 6"), ("b.example", "/on%65", nil, "one 6"),
            ("b.example", "/%6fnely", nil, "unknown 4"), ("b.example", "/on%65l", nil, "unknown 4"),
            ("b.example", "/on%66/", nil, "unknown 4"),
            ("b.example", "/onely", nil, "unknown 4"), ("b.example", "/", nil, "unknown 4"),
            ("b.example", "/api/v1/service/two/score", nil, "two 19"),
            ("c.example", "/score", nil, "misdirected"), (nil, "/score", nil, "misdirected"),
        ] as [(String?, String, String?, String)])
    func routes(host: String?, path: String, serverName: String?, expected: String) throws {
        let router = Router(endpoints: [
            try Self.endpoint("plain", hosts: ["a.example"]),
            try Self.endpoint("one", hosts: ["b.example"], prefix: "/one"),
            try Self.endpoint("two", hosts: ["b.example"], prefix: "/one/two"),
        ])
        let match = router.route(
            try Self.head(host, path), serverName: serverName.map { Array($0.utf8) })
        #expect(Self.text(match) == expected)
    }

    @Test("another host than that of SNI is asked about, in lower case and without its port")
    func otherHost() throws {
        let router = Router(endpoints: [try Self.endpoint("plain", hosts: ["a.example"])])
        for (answer, expected) in [(true, "plain 0"), (false, "misdirected")] {
            var asked: [String] = []
            let match = router.route(
                try Self.head("A.example:443", "/"), serverName: Array("b.example".utf8)
            ) { host in
                asked.append(host.lowercasedText)
                return answer
            }
            #expect(Self.text(match) == expected)
            #expect(asked == ["a.example"])
        }
    }

    @Test("a sole endpoint without hosts answers to any host, and to none")
    func anyHost() throws {
        let router = Router(endpoints: [try Self.endpoint("sole", hosts: [])])
        for host in ["x", "127.0.0.1:8443", "[::1]:8443", nil] {
            #expect(Self.text(router.route(try Self.head(host, "/x"), serverName: nil)) == "sole 0")
        }
    }

    @Test("traffic is shared as configured, and a name overrides it")
    func shares() throws {
        let endpoint = try Self.endpoint(
            "e", hosts: [], shares: [("blue", 70), ("green", 30), ("dark", 0)])
        var random = FastRandom()
        let head = try Self.head("h", "/")
        var counts: [String: Int] = [:]
        for _ in 0..<10_000 {
            counts[
                try endpoint.deployment(for: head, random: &random).configuration.name, default: 0] +=
                1
        }
        // Ten standard deviations around 7000 of 10,000.
        #expect((6540...7460).contains(counts["blue"] ?? 0))
        #expect((counts["blue"] ?? 0) + (counts["green"] ?? 0) == 10_000)
        let pinned = try Self.head("h", "/", "azureml-model-deployment: dark\r\n")
        #expect(try endpoint.deployment(for: pinned, random: &random).configuration.name == "dark")
        let unknown = try Self.head("h", "/", "azureml-model-deployment: darker\r\n")
        #expect(throws: GatewayError.self) {
            () throws in _ = try endpoint.deployment(for: unknown, random: &random)
        }
        let none = try Self.endpoint("n", hosts: [], shares: [("blue", 0)])
        #expect(throws: GatewayError.self) {
            () throws in _ = try none.deployment(for: head, random: &random)
        }
    }
}
