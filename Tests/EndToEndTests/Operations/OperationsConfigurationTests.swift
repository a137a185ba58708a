import Foundation
import NIOCore
import Testing

/// What keeps a gateway from starting: each its own message and exit code.
@Suite("Operations: configuration errors")
struct OperationsConfigurationTests {
    /// One thing that is wrong.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// 1 if the configuration is refused, 3 if the environment is.
        let code: Int32
        let message: String
        /// Shell commands in the installation's folder that make it wrong.
        let preparation: String
        /// Comes before the program on the command line.
        var prefix = ""

        init(
            _ name: String, _ code: Int32, _ message: String, by preparation: String,
            prefix: String = ""
        ) {
            self.testDescription = name
            self.code = code
            self.message = message
            self.preparation = preparation
            self.prefix = prefix
        }

        /// Wrong by one edit of the file.
        static func edit(
            _ name: String, _ old: String, _ new: String, _ message: String, code: Int32 = 1
        ) -> Case {
            Case(name, code, message, by: "sed -i 's|\(old)|\(new)|' gateway.yaml")
        }
    }

    static let cases: [Case] = [
        .edit(
            "unknown key", "workers:", "workes:",
            #"gateway.yaml:5:1: unknown key "workes"; did you mean "workers"?"#),
        .edit(
            "wrong type", "workers: 2", "workers: many",
            "gateway.yaml:5:10: expected a whole number, found text"),
        .edit(
            "duplicate key", "workers: 2", "workers: 2\\nworkers: 2",
            #"gateway.yaml:5:1: key "workers" stands here more than once"#),
        .edit("anchor", "workers: 2", "workers: \\&a 2", "anchors and aliases are not allowed"),
        .edit("missing file", "server.pem", "nothing.pem", "certs/nothing.pem: no such file"),
        .edit(
            "key of another certificate", "server.key", "caller.key",
            "the key does not belong to the certificate"),
        .edit(
            "host no certificate covers", "traffic", "hosts: [other.example.com]\\n    traffic",
            #"no certificate of a listener covers the host "other.example.com""#),
        .edit(
            "plaintext backend off loopback", "http://127.0.0.1:", "http://192.0.2.1:",
            "would be plaintext beyond this host"),
        .edit(
            "traffic that sums to 90", "blue: 100", "blue: 90",
            "traffic sums to 90; it must be 0 or 100"),
        .edit(
            "a log in the state", "workers: 2", "workers: 2\\nlog: {directory: state/log}",
            "must not lie inside the state folder"),
        .edit(
            "a log in no folder", "workers: 2", "workers: 2\\nlog: {directory: none/log}",
            "the log cannot be opened", code: 3),
        .edit(
            "high business impact without a log", "traffic", "hbi: true\\n    traffic",
            "hbi: true serves nothing unlogged"),
        .edit(
            "mirror traffic, which comes later", "traffic", "mirror_traffic: {a: 1}\\n    traffic",
            "not supported yet: mirror_traffic"),
        .edit(
            "access log in no folder", "path: access.log", "path: none/access.log",
            "cannot be opened", code: 3),
        .edit(
            "admin socket in no folder", "unix:admin.sock", "unix:none/admin.sock",
            "the admin listener", code: 3),
        .edit(
            "root key inside the state", "file: root.key", "file: state/root.key",
            "state/root.key: no such file"),
        .edit(
            "not an address of this machine", "127.0.0.1:0", "192.0.2.1:8443",
            "192.0.2.1:8443 is not an address of this machine", code: 3),
        Case(
            "world-readable key", 1, "server.key: holds a secret but its mode 0644",
            by: "chmod 644 certs/server.key"),
        Case("missing root key", 1, "root.key: no such file", by: "rm root.key"),
        Case(
            "another root key", 3, "not the one this state was made under",
            by: """
                "$SCOREGATE" keys list iris --config gateway.yaml && head -c 32 /dev/urandom >root.key
                """),
        Case(
            "state folder open to others", 3, "open to others: chmod 700",
            by: "mkdir state && chmod 755 state"),
        Case("no configuration", 1, "no such file", by: "rm gateway.yaml"),
        Case(
            "secret in the environment", 1, "environment variable SCOREGATE_API_KEY carries",
            by: "true", prefix: "env SCOREGATE_API_KEY=secret"),
        Case(
            "more connections than open files", 3,
            "limits.connections is 10000, but the process may open 150 files: lower it to 22",
            by: "true", prefix: "prlimit --nofile=150:150"),
        // Root may lock as much as it likes, unless it lacks the capability.
        Case(
            "too little lockable memory", 3, "raise the limit of locked memory (ulimit -l",
            by: "true",
            prefix: "prlimit --memlock=65536:65536"
                + (geteuid() == 0
                    ? " setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock" : "")),
    ]

    @Test("A wrong configuration is refused with its place", arguments: Self.cases)
    func refused(_ wrong: Case) async throws {
        try await Installation.run(starts: false) { installation in
            let program = GatewayProcess.executable.path
            let preparation = try await installation.shell(
                "export SCOREGATE='\(program)'; \(wrong.preparation)")
            #expect(preparation.code == 0, "\(preparation.errors)")
            let outcome = try await installation.shell(
                "exec \(wrong.prefix) '\(program)' serve --config gateway.yaml", seconds: 10)
            #expect(outcome.code == wrong.code, "\(outcome.errors)")
            #expect(outcome.errors.contains(wrong.message), "\(outcome.errors)")
        }
    }

    @Test(
        "check finds what would keep serve from starting, and writes nothing",
        arguments: [
            ("mkdir state && chmod 755 state", "open to others: chmod 700"),
            ("touch state", "is no folder"),
            ("mkdir access.log", "access.log cannot be opened: it is a folder"),
            (
                "sed -i 's|path: access.log|path: none/access.log|' gateway.yaml",
                "none/access.log cannot be opened: "
            ),
            (
                "sed -i 's|workers: 2|log: {directory: none/log}|' gateway.yaml",
                "the log cannot be opened: "
            ),
            (
                "touch log; sed -i 's|workers: 2|log: {directory: log}|' gateway.yaml",
                "is no folder"
            ),
            (
                "sed -i 's|unix:admin.sock|unix:none/admin.sock|' gateway.yaml",
                "cannot listen at unix:"
            ),
            ("touch admin.sock", "is there and is no socket"),
            (
                "touch a.sock; sed -i 's|127.0.0.1:0|unix:a.sock|' gateway.yaml",
                "is there and is no socket"
            ),
        ])
    func checkedPlaces(_ preparation: String, _ message: String) async throws {
        try await Installation.run(starts: false) { installation in
            let preparation = try await installation.shell(preparation)
            #expect(preparation.code == 0, "\(preparation.errors)")
            let before = try await installation.shell("ls -lR --full-time")
            let checked = try await installation.command("check")
            #expect(checked.code == 3, "\(checked)")
            #expect(checked.output.contains(message), "\(checked)")
            #expect(try await installation.shell("ls -lR --full-time").output == before.output)
            let served = try await installation.shell(
                "exec '\(GatewayProcess.executable.path)' serve --config gateway.yaml", seconds: 10)
            #expect(served.code == 3, "\(served)")
            #expect(!served.errors.contains("PathWrongType"))
        }
    }

    @Test("An expired certificate is refused, by check as by serve")
    func expired() async throws {
        try await Installation.run(starts: false) { installation in
            let expired = try ExpiredCertificate.make()
            try installation.write("certs/server.pem", expired.certificate)
            try installation.write("certs/server.key", expired.key, mode: 0o600)
            for command in ["serve", "check"] {
                let outcome = try await installation.command(command)
                #expect(outcome.code == 1)
                #expect(
                    (outcome.output + outcome.errors).contains("the certificate expired on"))
            }
        }
    }

    @Test("A port in use is refused, even where the other is a gateway of the same user")
    func portInUse() async throws {
        try await Installation.run { installation in
            let port = try installation.gateway.port
            try installation.write(
                "second.yaml",
                installation.text.replacing("127.0.0.1:0", with: "127.0.0.1:\(port)")
                    .replacing("unix:admin.sock", with: "unix:second.sock"))
            let outcome = try await GatewayProcess.run([
                "serve", "--config", installation.path("second.yaml"),
            ])
            #expect(outcome.code == 3)
            #expect(outcome.errors.contains("127.0.0.1:\(port) is in use"))
            try installation.write(
                "second.yaml",
                installation.text.replacing("127.0.0.1:0", with: "unix:admin.sock")
                    .replacing("unix:admin.sock\"}", with: "unix:second.sock\"}"))
            let socket = try await GatewayProcess.run([
                "serve", "--config", installation.path("second.yaml"),
            ])
            #expect(socket.code == 3)
            #expect(socket.errors.contains("admin.sock is in use"))
            #expect(try await installation.admin("/healthz").status == 200)
        }
    }

    @Test("Without the right to bind a low port, it says which right is missing")
    func lowPort() async throws {
        let start = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
        let lowest =
            Int(
                (try? String(contentsOfFile: start, encoding: .utf8))?
                    .trimmingCharacters(in: .whitespacesAndNewlines) ?? "") ?? 1024
        guard lowest > 80, isInstalled("setpriv") else {
            print("SKIPPED: every user may bind port 80 here")
            return
        }
        try await Installation.run(starts: false) { installation in
            try installation.write(
                "gateway.yaml", installation.text.replacing("127.0.0.1:0", with: "127.0.0.1:80"))
            // Root without the capability is as good as another user, and can read the files.
            let prefix =
                geteuid() == 0
                ? "setpriv --bounding-set -net_bind_service --inh-caps -net_bind_service" : ""
            let outcome = try await installation.shell(
                """
                exec \(prefix) '\(GatewayProcess.executable.path)' serve --config gateway.yaml
                """, seconds: 10)
            #expect(outcome.code == 3)
            #expect(outcome.errors.contains("need CAP_NET_BIND_SERVICE"), "\(outcome.errors)")
        }
    }

    @Test("Wrong usage is 2, and check tells all problems as JSON")
    func check() async throws {
        #expect(try await GatewayProcess.run(["serve"]).code == 2)
        #expect(try await GatewayProcess.run(["nothing"]).code == 2)
        try await Installation.run(starts: false) { installation in
            let right = try await installation.command("check")
            #expect(right.code == 0)
            #expect(right.output == "ok\n")
            try installation.write(
                "gateway.yaml",
                installation.text.replacing("workers: 2", with: "workers: x")
                    .replacing("blue: 100", with: "blue: 90"))
            let wrong = try await installation.command("check", "--output", "json")
            #expect(wrong.code == 1)
            let answer = try JSONSerialization.jsonObject(with: Data(wrong.output.utf8))
            let problems = (answer as? [String: Any])?["problems"] as? [[String: Any]]
            #expect(problems?.compactMap { $0["line"] as? Int } == [5, 18])
        }
    }
}
