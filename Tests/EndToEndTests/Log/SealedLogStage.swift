import Foundation
import NIOCore
import Testing

/// A gateway with a sealed log before a recording backend, and the commands an operator has.
enum SealedLogStage {
    static func setup(
        _ durability: String = "bounded", sampling: String = "1.0", log: String = "{directory: log}"
    ) -> StageSetup {
        var setup = StageSetup()
        setup.isBackendEncrypted = false
        setup.lines = "log: \(log)\n"
        setup.deploymentLines = """
                    data_collector:
                      sampling_rate: \(sampling)
                      durability: \(durability)
                      collections: {request: {enabled: true}, response: {enabled: true}}

            """
        return setup
    }

    static func run(
        _ setup: StageSetup, _ body: (Stage) async throws -> Void
    ) async throws {
        let stage = try await Stage.start(setup)
        do {
            try await body(stage)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    struct Entry: Decodable {
        var kind: String
        var time: String?
        var requestID: String?
        var body: String?
        var headers: String?
        var status: Int?
        var outcome: String?
        var endpoint: String?
        var event: Event?

        struct Event: Decodable { var event: String }

        enum CodingKeys: String, CodingKey {
            case kind, time, body, headers, status, outcome, endpoint, event
            case requestID = "x_request_id"
        }
    }

    static func command(
        _ stage: Stage, _ arguments: String...
    ) async throws -> GatewayProcess.Outcome {
        try await GatewayProcess.run(
            arguments + ["--config", stage.materials.path + "/gateway.yaml"])
    }

    static func entries(_ stage: Stage) async throws -> [Entry] {
        let outcome = try await Self.command(stage, "logs", "cat", "--endpoint", "iris")
        #expect(outcome.code == 0, "\(outcome.errors)")
        return try Self.entries(in: outcome.output)
    }

    static func entries(in output: String) throws -> [Entry] {
        try output.split(separator: "\n").map {
            try JSONDecoder().decode(Entry.self, from: Data($0.utf8))
        }
    }

    /// The segments of a stage's log.
    static func segments(_ stage: Stage) throws -> [String] {
        let log = stage.materials.path + "/log"
        return try FileManager.default.subpathsOfDirectory(atPath: log)
            .filter { $0.hasSuffix(".sgl") }.sorted().map { log + "/" + $0 }
    }
}
