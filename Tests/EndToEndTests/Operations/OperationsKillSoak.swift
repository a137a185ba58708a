import Foundation
import NIOCore
import Testing

/// Kills without warning; `SCOREGATE_SOAK` says how many.
@Suite("Operations: kill soak")
struct OperationsKillSoak {
    private static let times =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 1

    @Test("Killed in the middle of requests and key changes, it starts with its keys and state")
    func kill() async throws {
        try await Installation.run(starts: false) { installation in
            try await installation.start()
            let kept = try await installation.key("secondary")
            for number in 0..<Self.times {
                let isDone = Watched(false)
                async let load: Void = Self.load(installation, kept, until: isDone)
                async let changed = installation.command(
                    "keys", "regenerate", "iris", "--slot", "primary")
                // Anywhere between the change's beginning and some time after its end.
                _ = await isDone.wait(.milliseconds(Int64.random(in: 1...300))) { $0 }
                let gateway = try installation.gateway
                gateway.signal(SIGKILL)
                await gateway.exit.wait { $0 != nil }
                isDone.update { $0 = true }
                let key = try await changed.output.trimmingCharacters(in: .whitespacesAndNewlines)
                await load
                try await installation.start()
                for key in [kept, key] {
                    let status = try await installation.status(key)
                    let errors = try installation.gateway.errors.value
                    #expect(status == 200, "kill \(number): \(errors.suffix(2000))")
                }
            }
        }
    }

    /// Requests one after the other, whatever becomes of them.
    private static func load(
        _ installation: Installation, _ key: String, until isDone: Watched<Bool>
    ) async {
        while !isDone.value {
            guard let client = try? await installation.connect() else { continue }
            for number in 1...5 where !isDone.value {
                await client.send(installation.request(key))
                _ = await client.answers(number, within: .seconds(2))
            }
            await client.close()
        }
    }
}
