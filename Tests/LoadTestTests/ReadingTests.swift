import HTTPTransport
import NIOCore
import Testing

@testable import LoadTest

/// What the command line has, read into values.
struct ReadingTests {
    @Test(
        "durations",
        arguments: [
            ("250us", 250_000), ("5ms", 5_000_000), ("30s", 30_000_000_000),
            ("1.5m", 90_000_000_000),
            ("1h", 3_600_000_000_000), ("0s", 0),
        ])
    func durations(_ text: String, _ nanoseconds: Int64) {
        #expect(Quantity.duration(text) == .nanoseconds(nanoseconds))
    }

    @Test(
        "what is no duration",
        arguments: ["", "5", "s", "-5s", "5 s", "1e3s", "0x5s", "9999999999h"])
    func noDuration(_ text: String) { #expect(Quantity.duration(text) == nil) }

    @Test("bytes and shares")
    func bytesAndShares() {
        #expect(Quantity.bytes("64k") == 65_536)
        #expect(Quantity.bytes("1.5M") == 1_572_864)
        #expect(Quantity.bytes("12") == 12)
        #expect(Quantity.bytes("12x") == nil)
        #expect(Quantity.bytes("10000000000G") == nil)
        #expect(Quantity.bytes("1000000000000G") == nil)
        #expect(Quantity.share("5%") == 0.05)
        #expect(Quantity.share("0.8") == 0.8)
        #expect(Quantity.share("101%") == nil)
    }

    @Test(
        "numbers as people read them",
        arguments: [
            (873_000.0, "873 µs"), (5_020_000, "5.02 ms"), (1_200_000_000, "1.20 s"), (12, "12 ns"),
            (25_670_000, "25.7 ms"),
        ])
    func times(_ nanoseconds: Double, _ text: String) {
        #expect(Quantity.text(nanoseconds: nanoseconds) == text)
    }

    @Test("URLs")
    func urls() throws {
        let plain = try LoadTarget("https://Example.com/score?x=1")
        #expect(plain.isEncrypted)
        #expect(plain.host == "example.com")
        #expect(plain.address == .host("example.com", port: 443))
        #expect(plain.path == "/score?x=1")
        #expect(plain.authority == "example.com")
        let address = try LoadTarget("http://[::1]:8080")
        #expect(address.address == .host("::1", port: 8080))
        #expect(address.authority == "[::1]:8080")
        #expect(address.path == "/")
        let elsewhere = try LoadTarget("https://iris.example.com:8443/a", connectTo: "127.0.0.1:9")
        #expect(elsewhere.address == .host("127.0.0.1", port: 9))
        #expect(elsewhere.authority == "iris.example.com:8443")
        let socket = try LoadTarget("http://localhost/a", connectTo: "unix:/run/a.sock")
        #expect(socket.address == .unix(path: "/run/a.sock"))
        #expect(try LoadTarget("https://a?b").path == "/?b")
    }

    @Test(
        "what is sent stays on this machine at a loopback address, a Unix socket or localhost alone",
        arguments: [
            ("127.0.0.1", true), ("127.1.2.3", true), ("[::1]", true), ("localhost", true),
            ("127.corp.example", false), ("127.0.0.1.example", false), ("127.0.0", false),
            ("localhost.example", false), ("128.0.0.1", false), ("[::2]", false),
        ])
    func local(_ host: String, _ isLocal: Bool) throws {
        #expect(try LoadTarget("http://\(host):1/").isLocal == isLocal)
        #expect(try LoadTarget("http://a/", connectTo: "\(host):1").isLocal == isLocal)
        #expect(try LoadTarget("http://\(host)/", connectTo: "unix:/a").isLocal)
    }

    @Test(
        "what is no URL",
        arguments: [
            "", "example.com", "ftp://a/", "https://", "https:///x", "https://a:0/",
            "https://a:99999/",
            "https://a:b/", "https://user@a/", "https://a/ b", "https://a/#b", "https://a_ä/",
        ])
    func noURL(_ url: String) {
        #expect(throws: LoadError.self) { try LoadTarget(url) }
    }

    @Test("conditions say what they found")
    func assertions() throws {
        #expect(try Assertion("p99 > 5ms").limit == 0.005)
        #expect(try Assertion("p99.9>=1s").metric == .percentile(.latency, 99.9))
        #expect(try Assertion("ttft.p90<300ms").metric == .percentile(.firstToken, 90))
        #expect(try Assertion("first-byte.max>1s").metric == .maximum(.firstByte))
        #expect(try Assertion("errors>1%").limit == 0.01)
        #expect(try Assertion("throughput<1000/s").limit == 1000)
    }

    @Test(
        "what is no condition",
        arguments: ["", "p99", "p98>5ms", "p99>5", "errors>5ms", "foo.p99>5ms", "p99=5ms", ">5ms"])
    func noAssertion(_ text: String) {
        #expect(throws: LoadError.self) { try Assertion(text) }
    }

    @Test("goodput's limits")
    func serviceLevel() throws {
        let level = try ServiceLevel("latency<1s,ttft<200ms,tpot<50ms")
        #expect(
            level.isKept(
                latency: .milliseconds(900), firstToken: .milliseconds(100),
                perOutputToken: .milliseconds(49)))
        #expect(
            !level.isKept(latency: .milliseconds(900), firstToken: nil, perOutputToken: nil))
        #expect(
            !level.isKept(
                latency: .seconds(1), firstToken: .milliseconds(1), perOutputToken: nil))
        #expect(throws: LoadError.self) { try ServiceLevel("p99<5ms") }
    }

    @Test("secrets of the command line are masked")
    func masks() {
        let text = SecretMask.command([
            "scoregate", "load", "https://a/b?api-key=abc&v=1&sig=xyz", "--header",
            "x-api-key: hunter2", "--header", "accept: */*", "--data", "it's",
        ])
        #expect(
            text
                == "scoregate load 'https://a/b?api-key=***&v=1&sig=***' --header 'x-api-key: ***' "
                + "--header 'accept: */*' --data 'it'\\''s'")
    }

    @Test("a report's URL is masked as the command line is")
    func masksURL() throws {
        let plan = LoadPlan(
            target: try LoadTarget("https://a/b?c=sgk1p_0aZ&key=k"), model: .closed(seconds: 1))
        #expect(PlanSummary(plan, []).url == "https://a/b?c=***&key=***")
    }

    @Test("tokens and endpoint keys are masked wherever they stand")
    func masksTokens() {
        let text = SecretMask.command([
            "scoregate", "load", "https://a/b", "--at",
            "5s curl -H 'authorization: bearer eyJh.bGci_-~+/=' -H \"Authorization: Bearer $KEY\" b",
            "--data", #"{"a": "sgk1p_0aZ", "b": "xsgk1s_9-_y"}"#, "--at=1s echo sgk1p_0aZ",
        ])
        #expect(!text.contains("eyJh") && !text.contains("0aZ") && !text.contains("9-_y"))
        #expect(text.contains("bearer ***"))
        #expect(text.contains(#"Bearer $KEY"#))
        #expect(text.contains(#"{"a": "***", "b": "x***"}"#))
        #expect(text.contains("--at=1s echo ***"))
    }
}
