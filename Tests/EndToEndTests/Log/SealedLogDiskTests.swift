import Foundation
import NIOCore
import Testing

/// A gateway whose log lies on a small file system of its own, which fills up.
@Suite("The sealed log: a full disk", .serialized, .timeLimit(.minutes(10)))
struct SealedLogDiskTests {
    @Test(
        "what does not fit is counted exactly, requests are served on, and with room the log goes on"
    )
    func diskFull() async throws {
        try await Self.onDisk(megabytes: 3) { try await self.fill($0, $1) }
    }

    @Test("a gateway that ends on a full disk loses nothing uncounted")
    func ended() async throws {
        try await Self.onDisk(megabytes: 6) { materials, log in
            let setup = SealedLogStage.setup(
                log: "{directory: log, reserve_bytes: 1048576, required: false}")
            let stage = try await Stage.start(setup, materials: materials)
            do {
                let sent = try await self.send(24, String(repeating: "x", count: 400_000), stage)
                #expect(await stage.gateway.end() == 0)
                let end = stage.gateway.errors.value
                #expect(end.contains("entries lost"), "\(end)")
                try #require(try await Self.mount("--options", "remount,size=64m", log))
                let again = try await GatewayProcess.start(
                    configuration: stage.materials.path + "/gateway.yaml")
                #expect(await again.end() == 0)
                let (entries, losses) = try await self.told(stage)
                #expect(losses.entries > 0)
                // Started, and stopped, twice.
                #expect(
                    entries.count + losses.entries == 2 * sent + 4, "\(entries.count), \(losses)")
            } catch {
                await stage.stop()
                throw error
            }
            await stage.stop()
        }
    }

    /// Runs `body` with a log folder that is a file system of its own.
    private static func onDisk(
        megabytes: Int, _ body: (Materials, _ log: String) async throws -> Void
    ) async throws {
        let materials = try Materials()
        let log = materials.path + "/log"
        try FileManager.default.createDirectory(
            atPath: log, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        guard
            try await Self.mount(
                "--types", "tmpfs", "--options", "size=\(megabytes)m", "tmpfs", log)
        else {
            print("SKIPPED: a tmpfs cannot be mounted here: it takes root")
            return
        }
        do {
            try await body(materials, log)
        } catch {
            _ = try await Command.run("/bin/umount", [log])
            throw error
        }
        #expect(try await Command.run("/bin/umount", [log]).code == 0)
    }

    /// All entries, and what `verify` tells of losses.
    private func told(
        _ stage: Stage
    ) async throws -> ([SealedLogStage.Entry], losses: (entries: Int, bodies: Int)) {
        let verified = try await SealedLogStage.command(
            stage, "logs", "verify", "--output", "json")
        #expect(verified.code == 0, "\(verified.output)")
        let told = verified.output.matches(of: /(\d+) entries and (\d+) bodies lost/)
        return (
            try await SealedLogStage.entries(stage),
            (
                told.compactMap { Int($0.1) }.reduce(0, +),
                told.compactMap { Int($0.2) }.reduce(0, +)
            )
        )
    }

    private func fill(_ materials: Materials, _ log: String) async throws {
        var setup = SealedLogStage.setup(
            log: "{directory: log, reserve_bytes: 131072, queue_bytes: 1048576}")
        setup.lines += "admin: {address: \"unix:admin.sock\"}\n"
        let stage = try await Stage.start(setup, materials: materials)
        do {
            var sent = 0
            let body = String(repeating: "x", count: 16_384)
            let isFull: @Sendable () -> Bool = {
                stage.gateway.errors.value.contains("the log cannot be written")
            }
            // 1,000 of these are 16 MiB: more than the disk, the queue and what is kept have.
            while sent < 1_000, !(isFull() && sent >= 600) {
                sent += try await self.send(50, body, stage)
            }
            #expect(isFull(), "\(stage.gateway.errors.value)")
            #expect(
                try await self.admin("/metrics", stage).contains(#"serving{endpoint="iris"} 0"#))
            #expect(
                try await self.admin("/readyz", stage).contains(
                    "the log of endpoint iris cannot be written"))
            try #require(
                try await Self.mount("--options", "remount,size=64m", log))
            #expect(
                await stage.gateway.errors.wait(.seconds(30)) {
                    $0.contains("the log can be written again")
                })
            sent += try await self.send(10, "after", stage)
            let lost = try await self.admin("/metrics", stage)
                .firstMatch(of: /log_lost_entries_total (\d+)/)?.1
            let counted = try #require(lost.flatMap { Int($0) })
            #expect(await stage.gateway.end() == 0)

            let (all, losses) = try await self.told(stage)
            let entries = all.filter { $0.kind != "event" }
            // Bodies are left out first: where reading is slow, that may be all there is to lose.
            #expect(losses.entries + losses.bodies > 0)
            #expect(
                entries.count + losses.entries == 2 * sent, "\(entries.count), \(losses), \(sent)")
            #expect(counted == losses.entries, "\(counted), \(losses)")
            #expect(entries.filter { $0.body == "after" }.count == 10)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    /// Sends requests one after the other on one connection; how many, all of them answered with 200.
    private func send(_ count: Int, _ body: String, _ stage: Stage) async throws -> Int {
        let client = try await stage.connect()
        for _ in 0..<count { await client.send(stage.request(body: body)) }
        let answers = await client.answers(count, within: .seconds(30))
        #expect(answers.count == count && answers.allSatisfy { $0.status == 200 })
        await client.close()
        return count
    }

    /// What the admin socket answers.
    private func admin(_ path: String, _ stage: Stage) async throws -> String {
        try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--show-error", "--unix-socket", stage.materials.path + "/admin.sock",
                "http://admin\(path)",
            ]
        ).output
    }

    private static func mount(_ arguments: String...) async throws -> Bool {
        try await Command.run("/bin/mount", arguments).code == 0
    }
}
