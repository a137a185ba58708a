import ArgumentParser
import Foundation
import HTTPTransport
import NIOCore
import TLS
import Testing

@testable import LoadTest
@testable import scoregate

/// What each option of `scoregate load` becomes in the plan of the run.
struct LoadOptionTests {
    /// Options, and what they are to do.
    struct Reading: Sendable, CustomTestStringConvertible {
        let arguments: [String]
        let holds: @Sendable (LoadPlan) -> Bool

        init(_ arguments: [String], _ holds: @escaping @Sendable (LoadPlan) -> Bool) {
            self.arguments = arguments
            self.holds = holds
        }

        var testDescription: String { self.arguments.joined(separator: " ") }
    }

    private static func command(
        _ arguments: [String], _ url: String = "https://localhost:8443"
    ) throws -> LoadCommand {
        try LoadCommand.parse([url] + arguments)
    }

    private static func body(_ plan: LoadPlan) -> String? {
        plan.request.payloads.first?.constant.map { String(buffer: $0) }
    }

    @Test(
        "how requests come",
        arguments: [
            Reading([]) {
                $0.target.address == .host("localhost", port: 8443) && $0.seconds == 10
                    && $0.request.method == nil && $0.request.payloads.isEmpty
                    && $0.tls.resumedShare == 0 && $0.window == nil && $0.faults == FaultPlan()
            },
            Reading(["--arrivals", "poisson"]) {
                guard case .open(_, .poisson) = $0.model else { return false }
                return true
            },
            Reading(["--rate", "100@10s,500", "--duration", "5s"]) { $0.seconds == 15 },
            Reading(["--closed", "--duration", "3s"]) { $0.model == .closed(seconds: 3) },
            Reading(["--warm-up", "2s"]) { $0.warmUp == .seconds(2) },
            Reading(["--http", "2"]) { $0.http == .http2 },
            Reading(["--connections", "7", "--streams", "9"]) {
                $0.connections == 7 && $0.streams == 9
            },
            Reading(["--requests-per-connection", "3"]) { $0.requestsPerConnection == 3 },
            Reading(["--workers", "4"]) { $0.workers == 4 },
            Reading(["--timeout", "5s"]) { $0.timeout == .seconds(5) },
            Reading(["--outstanding", "10"]) { $0.outstanding == 10 },
            Reading(["--connect-to", "127.0.0.1:9"]) {
                $0.target.address == .host("127.0.0.1", port: 9)
                    && $0.target.authority == "localhost:8443"
            },
            Reading(["--connect-to", "unix:/run/a.sock"]) {
                $0.target.address == .unix(path: "/run/a.sock")
            },
            Reading(["--duration", "31s", "--at", "30s echo a b", "--at", "1s true"]) {
                $0.marks == [
                    MarkPlan(at: .seconds(30), command: "echo a b"),
                    MarkPlan(at: .seconds(1), command: "true"),
                ]
            },
            Reading(["--cancel", "5%@100ms"]) {
                $0.faults.cancelledShare == 0.05 && $0.faults.cancelAfter == .milliseconds(100)
            },
            Reading(["--slow-read", "64k", "--slow-send", "1k"]) {
                $0.faults.readRate == 65_536 && $0.faults.sendRate == 1024
            },
            Reading(["--window", "250ms"]) { $0.window == .milliseconds(250) },
        ])
    func traffic(_ reading: Reading) throws {
        let command = try Self.command(reading.arguments)
        #expect(try reading.holds(command.plan()))
    }

    @Test(
        "what is sent",
        arguments: [
            Reading(["--method", "put"]) { $0.request.method == .put },
            Reading(["--data", "x"]) { Self.body($0) == "x" },
            Reading(["--header", "X-A: b c", "--deployment", "blue"]) {
                $0.request.fields.map(\.name) == ["x-a", "azureml-model-deployment"]
                    && $0.request.fields.map(\.value) == ["b c", "blue"]
            },
            Reading(["--key-file", "/k:3", "--key-file", "/l"]) {
                $0.request.keys.map(\.path) == ["/k", "/l"]
                    && $0.request.keys.map(\.weight) == [3, 1]
            },
            Reading(["--request-ids"]) { $0.request.hasRequestIDs },
            Reading(["--api", "azureml"]) {
                $0.target.path == "/score" && Self.body($0)?.contains("input_data") == true
            },
            Reading(["--api", "kserve", "--model", "iris"]) {
                $0.target.path == "/v2/models/iris/infer"
                    && Self.body($0)?.contains(#""inputs""#) == true
            },
            Reading(["--api", "openai-embeddings", "--model", "m", "--prompt", "p"]) {
                $0.target.path == "/v1/embeddings"
                    && Self.body($0) == #"{"model": "m", "input": "p"}"#
            },
            Reading(["--api", "openai-chat", "--maximum-tokens", "7"]) {
                $0.target.path == "/v1/chat/completions" && $0.api == .openAIChat
                    && Self.body($0)?.contains(#""max_tokens": 7"#) == true
            },
            Reading(["--slo", "latency<1s"]) { $0.serviceLevel.latency == .seconds(1) },
        ])
    func request(_ reading: Reading) throws {
        let command = try Self.command(reading.arguments)
        #expect(try reading.holds(command.plan()))
    }

    @Test(
        "what TLS does",
        arguments: [
            Reading(["--ca", "/r"]) { $0.tls.trustRoots == "/r" },
            Reading(["--cert", "/c", "--cert-key", "/k"]) {
                $0.tls.identity?.chain == "/c" && $0.tls.identity?.key == "/k"
            },
            Reading(["--peer-identity", "spiffe://a/agent/b", "--sni", "x.y"]) {
                $0.tls.peerIdentity == "spiffe://a/agent/b" && $0.tls.serverName == "x.y"
            },
            Reading(["--tls-version", "1.2"]) { $0.tls.version == .tls12 },
            Reading(["--ciphers", "TLS_AES_128_GCM_SHA256,tls_aes_256_gcm_sha384"]) {
                $0.tls.cipherSuites == [.aes128GCM, .aes256GCM]
            },
            Reading(["--groups", "P-384,X25519"]) {
                $0.tls.groups?.map(\.name) == ["P-384", "X25519"]
            },
            Reading(["--handshake", "mix:0.8"]) { $0.tls.resumedShare == 0.8 },
            Reading(["--handshake", "resume", "--session-file", "/s"]) {
                $0.tls.resumedShare == 1 && $0.tls.sessionFile == "/s"
            },
            Reading(["--handshakes-only"]) { $0.tls.isHandshakeOnly && $0.http == .http1 },
        ])
    func encryption(_ reading: Reading) throws {
        let command = try Self.command(reading.arguments)
        #expect(try reading.holds(command.plan()))
    }

    @Test("what is asked of the run")
    func expectations() throws {
        let asked = try Self.command([
            "--maximum-errors", "5%", "--maximum-lag", "3ms", "--fail-if", "p99>5ms",
        ]).report.expectations()
        #expect(asked.maximumErrors == 0.05)
        #expect(asked.maximumLag == .milliseconds(3))
        #expect(asked.failIf.map(\.text) == ["p99>5ms"])
        #expect(try Self.command(["--expect-no-errors"]).report.expectations().maximumErrors == 0)
    }

    @Test("what is other for the second URL")
    func second() throws {
        let command = try Self.command([
            "--vs", "https://b", "--vs-connect-to", "127.0.0.1:7", "--vs-key-file", "/b:2",
            "--key-file", "/a", "--connect-to", "127.0.0.1:8",
        ])
        var other = try command.plan(for: "https://b", connectTo: command.comparison.vsConnectTo)
        try command.comparison.apply(toSecond: &other)
        #expect(other.target.host == "b")
        #expect(other.target.address == .host("127.0.0.1", port: 7))
        #expect(other.request.keys.map(\.path) == ["/b"])
        let first = try command.plan()
        #expect(first.target.address == .host("127.0.0.1", port: 8))
        #expect(first.request.keys.map(\.path) == ["/a"])
        // The same URL at another place is another server.
        let same = try command.plan(for: command.url, connectTo: command.comparison.vsConnectTo)
        #expect(same.target.address == .host("127.0.0.1", port: 7))
    }

    @Test(
        "options that contradict each other",
        arguments: [
            ["--handshakes-only", "--http", "2"], ["--handshakes-only", "--data", "x"],
            ["--handshakes-only", "--key-file", "/k"],
            ["--handshakes-only", "--requests-per-connection", "3"],
            ["--handshakes-only", "--api", "openai-chat"],
            ["--handshakes-only", "--slow-read", "1k"],
            ["--session-file", "/s"], ["--window", "1ms"], ["--window", "11s"],
            ["--tls-version", "1.2", "--ciphers", "TLS_AES_256_GCM_SHA384"],
            ["--tls-version", "1.3", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"],
            [
                "--tls-version", "1.3", "--ciphers",
                "TLS_AES_256_GCM_SHA384,ECDHE-RSA-AES128-GCM-SHA256",
            ],
            ["--at", "10s true"], ["--closed", "--duration", "1s", "--at", "5s true"],
            ["--rate", "5@1s,5@2s", "--at", "3s true"],
            ["--closed", "--rate", "5"], ["--closed", "--arrivals", "poisson"],
            ["--http", "1.1", "--streams", "3"],
            ["--handshakes-only", "--streams", "3"], ["--rate", "5@1s", "--duration", "3s"],
        ])
    func contradictions(_ arguments: [String]) throws {
        let command = try Self.command(arguments)
        #expect(throws: LoadError.self) { try command.plan() }
    }

    @Test(
        "without TLS there are no handshakes, certificates, versions or streams of HTTP/2 to choose",
        arguments: [
            ["--handshakes-only"], ["--ca", "/r"], ["--cert", "/c", "--cert-key", "/k"],
            ["--peer-identity", "spiffe://a/agent/b"], ["--sni", "x.y"], ["--tls-version", "1.3"],
            ["--ciphers", "TLS_AES_256_GCM_SHA384"], ["--groups", "X25519"],
            ["--handshake", "resume"], ["--handshake", "resume", "--session-file", "/s"],
            ["--streams", "3"], ["--vs", "http://b", "--ca", "/r"],
        ])
    func inTheClear(_ arguments: [String]) throws {
        let command = try Self.command(arguments, "http://localhost")
        #expect(throws: LoadError.self) { try command.plan() }
    }

    @Test("what is about TLS goes with either URL of two; streams go with HTTP/2 in the clear")
    func halfInTheClear() throws {
        let first = try Self.command(["--vs", "https://b", "--ca", "/r"], "http://a")
        #expect(try first.plan().tls.trustRoots == "/r")
        let second = try Self.command(["--vs", "http://b", "--ca", "/r"])
        #expect(try second.plan(for: "http://b", connectTo: nil).target.isEncrypted == false)
        let streams = try Self.command(["--http", "2", "--streams", "3"], "http://a")
        #expect(try streams.plan().streams == 3)
    }
}
