import NIOCore
import Testing

/// A listener behind a proxy that says who the client is.
@Suite("PROXY protocol", .serialized)
struct ProxyProtocolTests {
    private static let text = Array("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n".utf8)
    private static let binary: [UInt8] =
        [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12]
        + [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 187]
    private static let local: [UInt8] = Array(Self.binary[..<12]) + [0x20, 0, 0, 0]

    @Test("The header's address is the client's; a connection without a right header ends")
    func versions() async throws {
        for (version, header, wrong) in [
            ("v1", Self.text, [Self.binary, Array("PROXY TCP4 1.2.3\r\n".utf8), []]),
            ("v2", Self.binary, [Self.text, Array(Self.binary[..<12]) + [0x31, 0x11, 0, 0], []]),
        ] {
            let stage = try await Stage.start(
                StageSetup(trustedProxies: "[127.0.0.0/8]", proxyProtocol: version))
            do {
                #expect(try await Self.ask(stage, header) == 200)
                let seen = stage.backend.requests.last
                #expect(seen?["x-forwarded-for"] == "192.0.2.7")
                for preface in wrong { #expect(try await Self.ask(stage, preface) == nil) }
                // The proxy is trusted; who is behind it and has no name is not.
                let nameless = version == "v2" ? Self.local : Array("PROXY UNKNOWN\r\n".utf8)
                #expect(
                    try await Self.ask(stage, nameless, lines: "X-Forwarded-For: 192.0.2.9\r\n")
                        == 200)
                #expect(stage.backend.requests.count == 2)
                #expect(stage.backend.requests.last?["x-forwarded-for"] == "127.0.0.1")
            } catch {
                await stage.stop()
                throw error
            }
            await stage.stop()
        }
    }

    @Test("Nobody but a trusted proxy may connect")
    func untrusted() async throws {
        let stage = try await Stage.start(
            StageSetup(trustedProxies: "[10.0.0.0/8]", proxyProtocol: "v1"))
        let status = try? await Self.ask(stage, Self.text)
        #expect(status == .some(nil))
        #expect(stage.backend.byteCount == 0)
        await stage.stop()
    }

    @Test(
        "Who connects to a Unix socket is believed where trusted_proxies has unix, and never named unix",
        arguments: [true, false])
    func unixSocket(isTrusted: Bool) async throws {
        var setup = Installation.Setup(lines: isTrusted ? "trusted_proxies: [unix]" : "")
        setup.listeners = ["none", isTrusted ? "v1" : nil].compactMap { $0 }.map { version in
            """
              - address: "unix:\(version).sock"
                proxy_protocol: \(version)
                tls: {certificates: [{chain: certs/server.pem, key: certs/server.key}]}

            """
        }.joined()
        try await Installation.run(setup) { installation in
            let key = try await installation.key()
            func ask(_ socket: String, _ options: String...) async throws -> String {
                try await Command.run(
                    "/usr/bin/curl",
                    [
                        "--silent", "--show-error", "--cacert", installation.trustRoot,
                        "--unix-socket", installation.path(socket), "--header",
                        "Authorization: Bearer \(key)", "--data", "{}", "--output", "/dev/null",
                        "--write-out", "%{http_code}", "https://localhost/score",
                    ] + options
                ).output
            }
            #expect(try await ask("none.sock") == "200")
            #expect(installation.backend.requests.last?.values("x-forwarded-for") == [])
            let claim = "X-Forwarded-For: 192.0.2.9"
            #expect(try await ask("none.sock", "--header", claim) == "200")
            #expect(
                installation.backend.requests.last?.values("x-forwarded-for")
                    == (isTrusted ? ["192.0.2.9"] : []))
            if isTrusted {
                #expect(try await ask("v1.sock", "--haproxy-protocol") == "200")
                #expect(try await ask("v1.sock") == "000")
            }
        }
    }

    @Test("Behind a trusted proxy the client is who x-forwarded-for says: in the log too")
    func forwardedFor() async throws {
        let stage = try await Stage.start(StageSetup(trustedProxies: "[127.0.0.0/8, 10.0.0.0/8]"))
        do {
            let fields = "X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\nX-Forwarded-For: 10.0.0.3\r\n"
            let answer = try await stage.exchange(stage.request(lines: fields))
            #expect(answer.status == 200)
            #expect(stage.backend.requests.last?.values("x-forwarded-for") == ["198.51.100.7"])
            // No address, and none but proxies: the peer's own.
            for wrong in ["unknown", "198.51.100.7, <b>", "10.0.0.1, 10.0.0.2", ""] {
                _ = try await stage.exchange(
                    stage.request(lines: "X-Forwarded-For: \(wrong)\r\n"))
                #expect(stage.backend.requests.last?.values("x-forwarded-for") == ["127.0.0.1"])
            }
            let log = try await stage.accessLog(5)
            #expect(log.count { $0.contains(#""PeerAddress":"198.51.100.7""#) } == 1)
            #expect(log.count { $0.contains(#""PeerAddress":"127.0.0.1""#) } == 4)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    /// The status of a request after `preface`; nil if there is no handshake.
    private static func ask(
        _ stage: Stage, _ preface: [UInt8], lines: String = ""
    ) async throws -> Int? {
        let client = try await RawClient.connect(
            port: stage.port, root: stage.materials.root, preface: preface)
        guard client.received.value.hasHandshake else { return nil }
        await client.send(stage.request(lines: lines, body: "hello"))
        return try await client.answer().status
    }
}
