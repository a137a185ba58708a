import Foundation
import NIOCore
import Testing

/// Kills a gateway that logs, without warning; `SCOREGATE_SOAK` says how often.
@Suite("The sealed log: kill soak", .serialized)
struct SealedLogKillSoak {
    private static let times =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 1

    /// An answer whose end a client saw, and when.
    private struct Acknowledged {
        var id: String
        var kill: Int
        var time: ContinuousClock.Instant
    }

    @Test(
        "Killed under load, no entry is missing that must be there, and all that is there verifies",
        arguments: ["strict", "bounded"])
    func kill(durability: String) async throws {
        try await SealedLogStage.run(SealedLogStage.setup(durability)) { stage in
            var gateway = stage.gateway
            var acknowledged: [Acknowledged] = []
            var kills: [ContinuousClock.Instant] = []
            for number in 0..<Self.times {
                let isDone = Watched(false)
                let port = try gateway.port
                async let answers = Self.load(stage, port: port, number, until: isDone)
                _ = await isDone.wait(.milliseconds(Int64.random(in: 5...400))) { $0 }
                kills.append(.now)
                gateway.signal(SIGKILL)
                await gateway.exit.wait { $0 != nil }
                isDone.update { $0 = true }
                acknowledged += await answers
                gateway = try await GatewayProcess.start(
                    configuration: stage.materials.path + "/gateway.yaml")
            }
            #expect(await gateway.end() == 0)
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 0, "\(verified.output)")
            let entries = try await SealedLogStage.entries(stage)
            for kind in ["request", "response"] {
                let there = Set(entries.filter { $0.kind == kind }.compactMap(\.requestID))
                let missing = acknowledged.filter { !there.contains($0.id) }
                if durability == "strict" {
                    #expect(missing.isEmpty, "\(kind): \(missing.map(\.id))")
                }
                // 5 ms are promised, and what one synchronisation takes; on a busy disk that is long.
                let lost = missing.map { max(.zero, kills[$0.kill] - $0.time) }
                #expect(lost.allSatisfy { $0 < .seconds(1) }, "\(kind): \(lost)")
                print(
                    "log kills: \(durability), \(kills.count) kills, \(acknowledged.count) answers, "
                        + "\(kind)s missing \(missing.count), the oldest \(lost.max() ?? .zero) old"
                )
            }
        }
    }

    /// Four clients send requests, one after the other each, until the gateway is gone.
    private static func load(
        _ stage: Stage, port: Int, _ number: Int, until isDone: Watched<Bool>
    ) async -> [Acknowledged] {
        await withTaskGroup(of: [Acknowledged].self) { group in
            for client in 0..<4 {
                group.addTask {
                    guard
                        let connection = try? await RawClient.connect(
                            port: port, root: stage.materials.root)
                    else { return [] }
                    var answers: [Acknowledged] = []
                    while !isDone.value {
                        let id = "kill-\(number)-\(client)-\(answers.count)"
                        await connection.send(
                            stage.request(lines: "X-Request-ID: \(id)\r\n", body: "body"))
                        let seen = await connection.answers(
                            answers.count + 1, within: .seconds(5))
                        guard seen.count > answers.count else { break }
                        answers.append(Acknowledged(id: id, kill: number, time: .now))
                    }
                    await connection.close()
                    return answers
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }
}
