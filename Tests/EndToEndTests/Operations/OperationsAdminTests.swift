import Foundation
import NIOCore
import Testing

/// What the admin listener tells, and to whom.
@Suite("Operations: admin listener")
struct OperationsAdminTests {
    @Test("/metrics is what Prometheus reads, and has every family")
    func metrics() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            installation.backend.script(
                "/broken",
                [
                    .receiveRequest,
                    .send(Array("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".utf8)),
                ])
            for target in ["/score", "/score", "/broken"] {
                _ = try await installation.status(key, target)
            }
            #expect(try await installation.status("wrong") == 401)
            let resumed = try await installation.shell(
                """
                for option in -sess_out -sess_in; do
                (printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n') |
                openssl s_client -quiet -tls1_2 -connect 127.0.0.1:\(installation.gateway.port) \
                -servername localhost $option session; done
                """)
            #expect(resumed.output.contains("401"))
            let (text, status) = try await installation.admin("/metrics")
            #expect(status == 200)
            try installation.write("metrics", "\(text)\n")
            if isInstalled("promtool") {
                let checked = try await installation.shell("promtool check metrics <metrics")
                #expect(checked.code == 0, "\(checked.errors)")
                #expect(checked.errors.isEmpty)
            }
            for line in [
                #"gateway_requests_total{endpoint="iris",deployment="blue",status="200"} 2"#,
                #"gateway_requests_total{endpoint="iris",deployment="blue",status="424"} 1"#,
                #"gateway_requests_total{endpoint="iris",deployment="",status="401"} 3"#,
                #"gateway_request_duration_seconds_count{endpoint="iris",deployment="blue"} 3"#,
                #"gateway_tls_handshakes_total{side="client",kind="full",version="TLSv1.3",cipher="TLS_"#,
                #"gateway_tls_handshakes_total{side="client",kind="resumed",version="TLSv1.2",cipher="ECDHE"#,
                #"gateway_connections "#, #"gateway_connections_accepted_total "#,
                #"gateway_backend_connections{endpoint="iris",deployment="blue",backend="http://"#,
                #"gateway_backend_idle_connections{"#,
                #"gateway_certificate_not_after_seconds{use="listener""#,
                #"gateway_certificate_not_after_seconds{use="identity""#,
                #"gateway_endpoint_key_created_seconds{endpoint="iris",slot="primary"}"#,
                "gateway_workers 2",
            ] {
                #expect(text.contains("\n\(line)"), "\(line)")
            }
            #expect(!text.contains(key))
        }
    }

    @Test("Over its socket, only for its owner; health says how it stands")
    func socket() async throws {
        try await Installation.run { installation in
            #expect(try await installation.admin("/healthz").status == 200)
            #expect(
                try await installation.admin("/readyz").body == #"{"reasons":[],"status":"ready"}"#)
            #expect(try await installation.admin("/nothing").status == 404)
            let attributes = try FileManager.default.attributesOfItem(
                atPath: installation.path("admin.sock"))
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            #expect(try await installation.command("health").code == 0)
            try await installation.gateway.end()
            let none = try await installation.command("health")
            #expect(none.code == 3)
            #expect(none.errors.contains("no answer from the admin listener"))
        }
    }

    @Test("Another gateway at the same socket is refused; the socket goes with its gateway")
    func sameSocket() async throws {
        try await Installation.run { installation in
            #expect(try await installation.logged("admin listening"))
            let second = try GatewayProcess.launch(configuration: installation.configuration)
            await second.exit.wait(.seconds(60)) { $0 != nil }
            #expect(second.exit.value == 3)
            #expect(second.errors.value.contains("admin.sock is in use"), "\(second.errors.value)")
            #expect(try await installation.command("health").code == 0)
            let socket = installation.path("admin.sock")
            try installation.gateway.signal(SIGKILL)
            try await installation.gateway.exit.wait { $0 != nil }
            #expect(FileManager.default.fileExists(atPath: socket))
            // What a gateway that was killed has left is nobody's.
            try await installation.start()
            #expect(try await installation.logged("admin listening"))
            #expect(try await installation.gateway.end() == 0)
            #expect(!FileManager.default.fileExists(atPath: socket))
        }
    }

    @Test("Over mutual TLS, only with a certificate of the trust domain")
    func mutualTLS() async throws {
        let port = try await FreePort.find()
        let setup = Installation.Setup(admin: "127.0.0.1:\(port)")
        try await Installation.run(setup) { installation in
            #expect(try await installation.logged("admin listening"))
            let health = try await installation.command("health")
            #expect(health.code == 0, "\(health.errors)")
            let curl = "curl --silent --insecure https://127.0.0.1:\(port)/readyz"
            #expect(try await installation.shell(curl).code != 0)
            let known = try await installation.shell(
                "\(curl) --cert certs/caller.pem --key certs/caller.key")
            #expect(known.output == #"{"reasons":[],"status":"ready"}"#)
            let foreign = try await installation.shell(
                """
                openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout x.key -out x.pem 2>/dev/null
                \(curl) --cert x.pem --key x.key
                """)
            #expect(foreign.code != 0)
            #expect(foreign.output.isEmpty)
        }
    }

    @Test("Under mutual TLS it shows a renewed identity after a reload")
    func renewed() async throws {
        let port = try await FreePort.find()
        let setup = Installation.Setup(admin: "127.0.0.1:\(port)")
        try await Installation.run(setup) { installation in
            #expect(try await installation.logged("admin listening"))
            let shown = """
                openssl s_client -connect 127.0.0.1:\(port) -cert certs/caller.pem \
                -key certs/caller.key </dev/null 2>/dev/null | openssl x509 -noout -serial
                """
            let stored = "openssl x509 -noout -serial -in certs/gateway.pem"
            let old = try await installation.shell(shown).output
            #expect(try await installation.shell(stored).output == old)
            try await installation.issueIdentity("gateway/edge", name: "gateway")
            let new = try await installation.shell(stored).output
            #expect(new != old)
            #expect(try await eventually { try await installation.shell(shown).output == new })
        }
    }

    @Test("Losing the state folder makes it not ready, getting it back ready again")
    func stateLost() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            #expect(installation.move("state", to: "lost"))
            #expect(try await eventually { try await installation.admin("/readyz").status == 503 })
            let answer = try await installation.admin("/readyz").body
            #expect(answer.contains("the state cannot be read"))
            // For ten seconds keys are believed still; after that a revoked one might be.
            #expect(try await installation.status(key) == 200)
            #expect(
                try await eventually(every: .milliseconds(200)) {
                    try await installation.status(key) == 503
                })
            #expect(installation.move("lost", to: "state"))
            #expect(try await eventually { try await installation.admin("/readyz").status == 200 })
            #expect(try await eventually { try await installation.status(key) == 200 })
        }
    }
}
