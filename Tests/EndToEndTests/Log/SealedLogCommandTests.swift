import Foundation
import State
import Testing

/// What an operator does with the log of a running gateway.
@Suite("Commands of the sealed log", .serialized, .timeLimit(.minutes(10)))
struct SealedLogCommandTests {
    @Test("after a rotation the log keys are wrapped anew, by the gateway or by the command")
    func rewrap() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let rotated = try await SealedLogStage.command(
                stage, "keys", "wrapping", "rotate", "iris")
            #expect(rotated.code == 0, "\(rotated.errors)")
            #expect(try await stage.exchange(stage.request(body: "two")).status == 200)
            await stage.gateway.errors.wait { $0.contains("log keys wrapped anew") }
            #expect(await stage.gateway.end() == 0)
            // All are under version 2 by now, and what they seal is as it was.
            let listed = try await SealedLogStage.command(
                stage, "logs", "list", "--endpoint", "iris")
            #expect(!listed.output.contains("/1\t") && listed.output.contains("/2\t"))
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 0, "\(verified.output)")

            // Without a gateway the command does it.
            let again = try await SealedLogStage.command(
                stage, "keys", "wrapping", "rotate", "iris")
            #expect(again.code == 0)
            let first = try await SealedLogStage.command(
                stage, "logs", "rewrap", "--endpoint", "iris")
            #expect(first.code == 0, "\(first.errors)")
            #expect(first.output.contains("iris: 2 log keys wrapped anew"))
            let second = try await SealedLogStage.command(
                stage, "logs", "rewrap", "--endpoint", "iris")
            #expect(second.output.contains("iris: 0 log keys wrapped anew, 2 were"))
            let bodies = try await SealedLogStage.entries(stage).filter { $0.kind == "request" }
                .compactMap(\.body)
            #expect(bodies == ["one", "two"])
            #expect(try await SealedLogStage.command(stage, "logs", "verify").code == 0)
        }
    }

    @Test("a disabled key keeps nobody else's log keys from being wrapped anew")
    func rewrapBesideDisabled() async throws {
        var setup = SealedLogStage.setup()
        let collector = setup.deploymentLines
        setup.endpoints = { backend in
            ["iris", "wine"].map { name in
                """
                  \(name):
                    hosts: [localhost]
                    path_prefix: /\(name)
                    deployments:
                      blue:
                        backends: ["\(backend)"]
                \(collector)
                """
            }.joined(separator: "\n")
        }
        try await SealedLogStage.run(setup) { stage in
            #expect(await stage.gateway.end() == 0)
            for arguments in [["disable", "iris"], ["rotate", "wine"]] {
                let outcome = try await SealedLogStage.command(
                    stage, "keys", "wrapping", arguments[0], arguments[1])
                #expect(outcome.code == 0, "\(outcome)")
            }
            let rewrapped = try await SealedLogStage.command(stage, "logs", "rewrap")
            #expect(rewrapped.code == 1, "\(rewrapped)")
            #expect(
                rewrapped.errors.contains(
                    "iris: its log keys stay as they are: the wrapping key is disabled"))
            #expect(rewrapped.output.contains("wine: 1 log keys wrapped anew"), "\(rewrapped)")
        }
    }

    @Test("one request is found by its id, in the segment that has it")
    func lookup() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            for name in ["first", "second"] {
                let answer = try await stage.exchange(
                    stage.request(lines: "X-Request-ID: id-\(name)\r\n", body: name))
                #expect(answer.status == 200)
                // A new segment begins.
                let rotated = try await SealedLogStage.command(
                    stage, "keys", "wrapping", "rotate", "iris")
                #expect(rotated.code == 0)
            }
            #expect(await stage.gateway.end() == 0)
            let found = try await SealedLogStage.command(
                stage, "logs", "cat", "--request-id", "id-second")
            #expect(found.code == 0, "\(found.errors)")
            #expect(found.output.split(separator: "\n").count == 2)
            #expect(!found.output.contains("id-first"))
            let none = try await SealedLogStage.command(
                stage, "logs", "cat", "--request-id", "id-third")
            #expect(none.code == 0 && none.output.isEmpty)
        }
    }

    @Test("entries are chosen by status and deployment, and the structure is checked without keys")
    func selection() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            stage.backend.script("/broken", [.receiveRequest, .close])
            for (path, status) in [("/score", 200), ("/broken", 502)] {
                let answer = try await stage.exchange(
                    stage.request(
                        "POST", path, lines: "X-Request-ID: id-\(status)\r\n", body: "planted"))
                #expect(answer.status == status)
            }
            #expect(await stage.gateway.end() == 0)
            for (status, ids) in [("200", ["id-200"]), ("502", ["id-502"]), ("404", [])] {
                let shown = try await SealedLogStage.command(
                    stage, "logs", "cat", "--endpoint", "iris", "--status", status)
                #expect(shown.code == 0, "\(shown.errors)")
                let entries = try SealedLogStage.entries(in: shown.output)
                #expect(entries.map(\.requestID) == ids)
                #expect(entries.allSatisfy { $0.kind == "response" })
            }
            for (deployment, count) in [("blue", 4), ("green", 0)] {
                let shown = try await SealedLogStage.command(
                    stage, "logs", "cat", "--endpoint", "iris", "--deployment", deployment)
                #expect(shown.code == 0, "\(shown.errors)")
                #expect(try SealedLogStage.entries(in: shown.output).count == count)
            }

            // The structure is checked also where nothing can be unwrapped.
            let keyRing = stage.materials.path + "/log/keyring"
            for name in try FileManager.default.contentsOfDirectory(atPath: keyRing) {
                try FileManager.default.removeItem(atPath: keyRing + "/" + name)
            }
            let whole = try await SealedLogStage.command(
                stage, "logs", "verify", "--endpoint", "iris")
            #expect(whole.code == 1, "\(whole.output)")
            let structure = try await SealedLogStage.command(
                stage, "logs", "verify", "--endpoint", "iris", "--structure-only")
            #expect(structure.code == 0, "\(structure.output)")
            #expect(structure.output.contains("iris: ok, 1 segments"))
            #expect(structure.output.contains("structure only"))
            let file = try #require(
                try SealedLogStage.segments(stage).first { $0.contains("/0000000000000000-") })
            var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            // In the first frame's header.
            bytes[256 + 20] ^= 1
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: file)
            try bytes.write(to: URL(fileURLWithPath: file))
            let changed = try await SealedLogStage.command(
                stage, "logs", "verify", "--structure-only")
            #expect(changed.code == 1, "\(changed.output)")
            #expect(changed.output.contains("frame-header at frame 0"), "\(changed.output)")
        }
    }

    @Test("relaxed: entries are on disk while the gateway runs, and outlive a kill")
    func relaxed() async throws {
        try await SealedLogStage.run(SealedLogStage.setup("relaxed")) { stage in
            #expect(try await stage.exchange(stage.request(body: "planted")).status == 200)
            let end = ContinuousClock.now + .seconds(60)
            var kinds: [String] = []
            while kinds.count < 2, ContinuousClock.now < end {
                kinds = try await SealedLogStage.entries(stage).map(\.kind).filter { $0 != "event" }
            }
            #expect(kinds == ["request", "response"])
            stage.gateway.signal(SIGKILL)
            await stage.gateway.exit.wait { $0 != nil }
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "planted" })
        }
    }

    @Test("entries as CloudEvents, shown and exported in Azure's layout")
    func cloudEvents() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            let bodies = [#"{"input": [1.0]}"#, "plain text"]
            for (number, body) in bodies.enumerated() {
                let answer = try await stage.exchange(
                    stage.request(
                        lines: "X-Request-ID: id-\(number)\r\nContent-Type: application/json\r\n",
                        body: body))
                #expect(answer.status == 200)
            }
            let binary = try await Command.run(
                "/usr/bin/curl",
                [
                    "--silent", "--show-error", "--cacert", stage.materials.root, "--header",
                    "Authorization: Bearer \(stage.key)", "--data-binary", "@/usr/bin/true",
                    "--output", "/dev/null", "--write-out", "%{http_code}",
                    "https://localhost:\(stage.port)/score",
                ])
            #expect(binary.output == "200")
            #expect(await stage.gateway.end() == 0)

            let shown = try await SealedLogStage.command(
                stage, "logs", "cat", "--format", "cloudevents", "--endpoint", "iris")
            #expect(shown.code == 0, "\(shown.errors)")
            let lines = shown.output.split(separator: "\n").map(String.init)
            #expect(lines.count == 6)
            #expect(lines[0].contains(#""data":{"input": [1.0]}"#))
            #expect(lines[0].contains(#""type":"azureml.inference.request""#))
            #expect(lines[0].contains(#""path":"/score","method":"POST""#))
            #expect(lines[1].contains(#""type":"azureml.inference.response""#))
            #expect(!lines[1].contains(#""path""#))
            #expect(lines[2].contains(#""data":"plain text""#))
            #expect(lines[4].contains(#""data_base64""#))
            #expect(!shown.output.contains("Bearer"))

            let folder = stage.materials.path + "/exported"
            let exported = try await SealedLogStage.command(stage, "logs", "export", folder)
            #expect(exported.code == 0, "\(exported.errors)")
            #expect(exported.output.contains("6 entries exported"))
            let files = try FileManager.default.subpathsOfDirectory(atPath: folder)
            let hour = #/iris/blue/(request|response)/\d{4}/\d\d/\d\d/\d\d/[0-9a-f]{32}\.jsonl/#
            let collections = files.filter { $0.hasSuffix(".jsonl") }
            #expect(collections.count == 2)
            for file in collections {
                let isInLayout = try hour.wholeMatch(in: file) != nil
                #expect(isInLayout, "\(file)")
                for line in try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
                    .split(separator: "\n")
                {
                    let event = try JSONSerialization.jsonObject(with: Data(line.utf8))
                    let members = try #require(event as? [String: Any])
                    #expect(members["specversion"] as? String == "1.0")
                }
            }
            let blob = try #require(files.first { $0.hasSuffix(".bin") })
            let copied = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + blob))
            let sent = try Data(contentsOf: URL(fileURLWithPath: "/usr/bin/true"))
            #expect(copied == sent)
            let mode = try FileManager.default.attributesOfItem(atPath: folder + "/" + blob)
            #expect(mode[.posixPermissions] as? Int == 0o600)
            // Nothing that is there is written over.
            let again = try await SealedLogStage.command(stage, "logs", "export", folder)
            #expect(again.code == 1)
            #expect(again.errors.contains("is not empty"))
            let accesses = try await SealedLogStage.command(stage, "logs", "cat", "--accesses")
            #expect(accesses.output.contains(#""event":"exported""#))
        }
    }

    @Test("a shredding that was cut short can be undone")
    func unshred() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            // What a command leaves that is killed before the gateways have answered.
            let store = try StateStore(
                folder: stage.materials.path + "/state",
                rootKeyPath: stage.materials.path + "/root.key")
            _ = try store.setLogStream(
                of: "iris", isSuspended: true, now: UnixTime.milliseconds, actor: "test")
            #expect(
                try await eventually {
                    try await stage.exchange(stage.request(body: "two")).status == 503
                })
            let undone = try await SealedLogStage.command(
                stage, "keys", "wrapping", "enable", "iris")
            #expect(undone.code == 0, "\(undone)")
            #expect(undone.output.contains("its log is not being shredded any more"), "\(undone)")
            #expect(try await stage.exchange(stage.request(body: "three")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).compactMap(\.body)
            #expect(bodies.contains("one") && bodies.contains("three"), "\(bodies)")
        }
    }

    @Test("a shredded log is gone, on a running gateway too, and a new one can begin")
    func shred() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let copy = stage.materials.path + "/copy"
            _ = try await Command.run(
                "/bin/cp", ["-r", stage.materials.path + "/log", copy])
            let asked = try await SealedLogStage.command(stage, "logs", "shred", "iris")
            #expect(asked.code == 1)
            #expect(asked.errors.contains("nothing was destroyed"))
            #expect(try await stage.exchange(stage.request(body: "two")).status == 200)

            let shredded = try await SealedLogStage.command(
                stage, "logs", "shred", "iris", "--yes")
            #expect(shredded.code == 0, "\(shredded.errors)\(shredded.output)")
            for step in [
                "suspended the log; every running gateway wiped its log keys",
                "removed 1 wrapped log keys",
                "destroyed 1 versions", "replaced the root key", "write-ahead log",
                "removed 1 segments",
            ] {
                #expect(shredded.output.contains(step), "\(step)")
            }
            // The access stream's segment is all that is left.
            let left = try await SealedLogStage.command(stage, "logs", "list")
            #expect(!left.output.contains("iris"))
            #expect(try await stage.exchange(stage.request(body: "three")).status == 503)
            // The log that was copied before cannot be read with the keys there are now.
            for file in try FileManager.default.subpathsOfDirectory(atPath: copy) {
                let target = stage.materials.path + "/log/" + file
                if !FileManager.default.fileExists(atPath: target) {
                    try FileManager.default.copyItem(atPath: copy + "/" + file, toPath: target)
                }
            }
            let read = try await SealedLogStage.command(stage, "logs", "cat")
            #expect(!read.output.contains("one"))

            let rotated = try await SealedLogStage.command(
                stage, "keys", "wrapping", "rotate", "iris")
            #expect(rotated.code == 0, "\(rotated.errors)")
            #expect(try await stage.exchange(stage.request(body: "four")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).filter { $0.kind == "request" }
                .compactMap(\.body)
            #expect(bodies == ["four"])
            let accesses = try await SealedLogStage.command(stage, "logs", "cat", "--accesses")
            #expect(accesses.output.contains(#""event":"shredded""#))
            // The root key that was replaced opens keys and all for the next start.
            let next = try await GatewayProcess.start(
                configuration: stage.materials.path + "/gateway.yaml")
            #expect(await next.end() == 0)
            let verified = try await SealedLogStage.command(
                stage, "logs", "verify", "--endpoint", "iris")
            #expect(verified.code == 0, "\(verified.output)")
        }
    }

    @Test(
        "an endpoint whose wrapping key is disabled or gone keeps no gateway from starting",
        arguments: [
            (["keys", "wrapping", "disable", "iris"], "enable"),
            (["logs", "shred", "iris", "--yes"], "rotate"),
        ])
    func startWithoutKey(_ command: [String], _ wayOut: String) async throws {
        var setup = SealedLogStage.setup()
        setup.endpoints = { backend in
            ["iris", "rose"].map { name in
                """
                  \(name):
                    hosts: [localhost]
                    path_prefix: /\(name)
                    encryption: {on_revoke: \(name == "iris" ? "refuse" : "serve_unlogged")}
                    traffic: {blue: 100}
                    deployments:
                      blue:
                        backends: ["\(backend)"]
                        data_collector: {collections: {request: {enabled: true}}}

                """
            }.joined()
        }
        try await SealedLogStage.run(setup) { stage in
            let key = try await stage.gateway.regenerateKey(endpoint: "rose")
            #expect(await stage.gateway.end() == 0)
            for name in ["iris", "rose"] {
                let done = try await GatewayProcess.run(
                    command.map { $0 == "iris" ? name : $0 } + [
                        "--config", stage.materials.path + "/gateway.yaml",
                    ])
                #expect(done.code == 0, "\(done.errors)")
            }
            let gateway = try await GatewayProcess.start(
                configuration: stage.materials.path + "/gateway.yaml")
            do {
                try await self.serveWithoutKey(stage, gateway, roseKey: key, wayOut)
            } catch {
                await gateway.end()
                throw error
            }
            #expect(await gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).compactMap(\.body)
            #expect(bodies == ["again"])
        }
    }

    private func serveWithoutKey(
        _ stage: Stage, _ gateway: GatewayProcess, roseKey: String, _ wayOut: String
    ) async throws {
        func ask(_ name: String, _ key: String, _ body: String) async throws -> Int {
            let client = try await RawClient.connect(
                port: gateway.port, root: stage.materials.root, serverName: "localhost")
            await client.send(
                stage.request("POST", "/\(name)/score", body: body)
                    .replacing(stage.key, with: key))
            return try await client.answer().status
        }
        #expect(
            gateway.errors.value.contains("scoregate keys wrapping \(wayOut) iris"),
            "\(gateway.errors.value)")
        #expect(try await ask("iris", stage.key, "refused") == 503)
        #expect(try await ask("rose", roseKey, "unlogged") == 200)
        let done = try await SealedLogStage.command(stage, "keys", "wrapping", wayOut, "iris")
        #expect(done.code == 0, "\(done.errors)")
        #expect(try await ask("iris", stage.key, "again") == 200)
    }

    @Test("the reading of a log that cannot be written is logged elsewhere")
    func audit() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let before = try SealedLogStage.segments(stage)
            let folder = stage.materials.path + "/accesses"
            let read = try await SealedLogStage.command(
                stage, "logs", "cat", "--audit", folder)
            #expect(read.code == 0, "\(read.errors)")
            #expect(read.output.contains(#""body":"one""#))
            #expect(try SealedLogStage.segments(stage) == before)
            let accesses = try await SealedLogStage.command(
                stage, "logs", "cat", "--accesses", "--audit", folder)
            #expect(accesses.output.contains(#""event":"accessed""#))
            // Where the reading cannot be logged, nothing is shown.
            let refused = try await SealedLogStage.command(
                stage, "logs", "cat", "--audit", "/proc/accesses")
            #expect(refused.code == 3)
            #expect(refused.output.isEmpty)
        }
    }
}
