import Foundation
import NIOCore
import Testing

/// TLS as tools from outside see it.
@Suite("Operations: TLS from outside")
struct OperationsTLSTests {
    /// ECDSA and RSA side by side; then [::] with TLS 1.3 alone, and two ways with client certificates.
    private static let setup = Installation.Setup(
        listeners: """
              - address: "[::]:0"
                tls:
                  certificates: [{chain: certs/server.pem, key: certs/server.key}]
                  minimum_version: "1.3"
              - address: 127.0.0.1:0
                tls:
                  certificates: [{chain: certs/server.pem, key: certs/server.key}]
                  client_authentication: optional
                  client_trust_roots: certs/ca.pem
              - address: "[::1]:0"
                tls:
                  certificates: [{chain: certs/server.pem, key: certs/server.key}]
                  client_authentication: required
                  client_trust_roots: certs/ca.pem

            """)

    /// An installation with both kinds of certificate; told a key and the ports of its listeners.
    private static func run(
        _ setup: Installation.Setup = Self.setup,
        _ body: (Installation, _ key: String, _ ports: [Int]) async throws -> Void
    ) async throws {
        try await Installation.run(setup, starts: false) { installation in
            try await installation.issueServer(["--algorithm", "rsa"], name: "rsa")
            let pair = "{chain: certs/server.pem, key: certs/server.key}"
            try installation.write(
                "gateway.yaml",
                installation.text.replacing(
                    "[\(pair)]", with: "[\(pair), {chain: certs/rsa.pem, key: certs/rsa.key}]",
                    maxReplacements: 1))
            try await installation.start()
            let ports = try installation.gateway.addresses.compactMap {
                $0.split(separator: ":").last.flatMap { Int($0) }
            }
            try await body(installation, installation.key(), ports)
        }
    }

    @Test("openssl s_client: versions, names, certificates, resumption, no renegotiation")
    func client() async throws {
        try await Self.run { installation, key, ports in
            let connect = "openssl s_client -connect 127.0.0.1:\(ports[0])"
            let named = "\(connect) -servername localhost -CAfile certs/ca.pem -verify_return_error"
            for (arguments, expected) in [
                ("-tls1_2", "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
                ("-tls1_3", "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"),
                ("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "Server public key is 2048 bit"),
                ("-tls1_3 -sigalgs rsa_pss_rsae_sha256", "Peer signature type: RSA-PSS"),
                ("-tls1_3 -groups P-384", "Server Temp Key: ECDH, secp384r1"),
                ("-alpn h2,http/1.1", "ALPN protocol: h2"),
            ] {
                let outcome = try await installation.shell("\(named) \(arguments) </dev/null")
                #expect(outcome.code == 0, "\(arguments): \(outcome.errors)")
                #expect(outcome.output.contains(expected), "\(arguments): \(outcome.output)")
            }
            for (arguments, expected) in [
                ("-tls1_1 -cipher ALL@SECLEVEL=0", "alert protocol version"),
                ("-tls1_2 -cipher AES128-GCM-SHA256", "alert handshake failure"),
                ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", "alert handshake failure"),
                ("-servername nobody.example.com", "unrecognized name"),
                ("-alpn smtp", "alert no application protocol"),
            ] {
                let outcome = try await installation.shell("\(connect) \(arguments) </dev/null")
                #expect(outcome.code != 0, "\(arguments)")
                #expect(outcome.errors.contains(expected), "\(arguments): \(outcome.errors)")
            }
            for reason in [
                "no certificate covers the server name nobody.example.com",
                "no application protocol in common",
            ] {
                #expect(
                    try await eventually {
                        installation.read("access.log").split(separator: "\n").contains {
                            $0.contains(#""ResponseCodeReason":"tls_handshake_failed""#)
                                && $0.contains(reason)
                        }
                    }, "\(reason)")
            }
            let unnamed = try await installation.shell(
                "\(connect) -noservername -CAfile certs/ca.pem -verify_return_error </dev/null")
            #expect(unnamed.code == 0)

            for version in ["-tls1_2", "-tls1_3"] {
                try installation.write(
                    "request", installation.request(key, lines: "Connection: close\r\n"))
                let resumed = try await installation.shell(
                    """
                    \(named) \(version) -ign_eof -sess_out session <request
                    \(named) \(version) -ign_eof -sess_in session <request
                    """)
                #expect(resumed.output.contains("\nNew, TLSv1"))
                #expect(resumed.output.contains("\nReused, TLSv1"))
                #expect(resumed.output.components(separatedBy: "HTTP/1.1 200 OK").count == 3)
            }
            // The ticket allows none: a client that goes by it never sends early data.
            let ticket = try await installation.shell("openssl sess_id -noout -text -in session")
            #expect(ticket.output.contains("Max Early Data: 0"), "\(ticket.output)")
            let renegotiated = try await installation.shell(
                "(echo R; read -t 2 <>/dev/null || true; sleep 1) | \(named) -tls1_2")
            #expect(renegotiated.errors.contains("no renegotiation"))
            #expect(try await installation.status(key) == 200)
        }
    }

    @Test("IPv4, IPv6, dual stack, TLS 1.3 alone, client certificates none, optional, required")
    func listeners() async throws {
        try await Self.run { installation, key, ports in
            let curl = """
                curl --silent --output /dev/null --write-out '%{http_code}' --cacert certs/ca.pem \
                --header 'Authorization: Bearer \(key)' --data '{}'
                """
            let certificate = "--cert certs/caller.pem --key certs/caller.key"
            for (arguments, expected) in [
                ("https://localhost:\(ports[0])/score", "200"),
                ("https://[::1]:\(ports[1])/score", "200"),
                ("https://127.0.0.1:\(ports[1])/score", "200"),
                ("--tls-max 1.2 https://127.0.0.1:\(ports[1])/score", "000"),
                ("https://127.0.0.1:\(ports[2])/score", "200"),
                ("\(certificate) https://127.0.0.1:\(ports[2])/score", "200"),
                ("https://[::1]:\(ports[3])/score", "000"),
                ("\(certificate) https://[::1]:\(ports[3])/score", "200"),
            ] {
                let outcome = try await installation.shell("\(curl) \(arguments)")
                #expect(outcome.output == expected, "\(arguments)")
            }
        }
    }

    @Test("auth_mode mtls lets in who shows a certificate, key or not")
    func mutualTLS() async throws {
        var setup = Installation.Setup(endpointLines: "    auth_mode: mtls\n")
        setup.tlsLines = """
                  client_authentication: optional
                  client_trust_roots: certs/ca.pem

            """
        try await Installation.run(setup) { installation in
            let curl = """
                curl --silent --output /dev/null --write-out '%{http_code}' --cacert certs/ca.pem \
                --data '{}' https://localhost:\(try installation.gateway.port)/score
                """
            #expect(try await installation.shell(curl).output == "401")
            let known = try await installation.shell(
                "\(curl) --cert certs/caller.pem --key certs/caller.key")
            #expect(known.output == "200")
            #expect(
                try await eventually {
                    installation.read("access.log").contains(
                        #""AuthType":"mtls","IdentityData":"spiffe://scoregate.local/operator/caller""#
                    )
                })
            let keys = try await installation.command("keys", "list", "iris")
            #expect(keys.code == 1)
            #expect(keys.errors.contains("it takes no keys"))
        }
    }

    @Test("sslscan finds no weak protocol, cipher or key")
    func sslscan() async throws {
        guard isInstalled("sslscan") else { return }
        try await Self.run { installation, _, ports in
            let scan = try await installation.shell(
                "sslscan --no-colour --sni-name=localhost 127.0.0.1:\(ports[0])", seconds: 60)
            #expect(scan.code == 0)
            for line in [
                "SSLv2     disabled", "SSLv3     disabled", "TLSv1.0   disabled",
                "TLSv1.1   disabled", "TLSv1.2   enabled", "TLSv1.3   enabled",
                "Session renegotiation not supported",
            ] {
                #expect(scan.output.contains(line), "\(line)")
            }
            let ciphers = scan.output.split(separator: "\n").filter {
                $0.hasPrefix("Accepted") || $0.hasPrefix("Preferred")
            }
            #expect(ciphers.count == 9)
            #expect(ciphers.allSatisfy { $0.contains("GCM") || $0.contains("CHACHA20") })
        }
    }

    @Test("sslyze finds it compliant with Mozilla's intermediate configuration")
    func sslyze() async throws {
        let sslyze = "\(testCache)/clients/bin/sslyze"
        guard FileManager.default.isExecutableFile(atPath: sslyze) else {
            print("SKIPPED: sslyze is not installed (Tests/setup components installs it)")
            return
        }
        try await Self.run { installation, _, ports in
            let scan = try await installation.shell(
                """
                '\(sslyze)' --mozilla_config=intermediate --certinfo_ca_file certs/ca.pem \
                localhost:\(ports[0]) 2>&1
                """, seconds: 100)
            #expect(scan.code == 0, "\(scan.output.suffix(2000))")
            #expect(scan.output.contains("OK - Compliant."))
        }
    }

    @Test("wrk at full speed for two seconds gets no error")
    func wrk() async throws {
        guard isInstalled("wrk") else { return }
        try await Self.run { installation, key, ports in
            try installation.write(
                "request.lua",
                """
                wrk.method = "POST"
                wrk.body = "{}"
                wrk.headers["Authorization"] = "Bearer \(key)"
                """)
            let outcome = try await installation.shell(
                "wrk --threads 1 --connections 8 --duration 2 --script request.lua "
                    + "https://localhost:\(ports[0])/score")
            #expect(outcome.code == 0)
            #expect(outcome.output.contains("Requests/sec:"))
            #expect(!outcome.output.contains("Socket errors"), "\(outcome.output)")
            #expect(!outcome.output.contains("Non-2xx"), "\(outcome.output)")
        }
    }
}
