import Foundation
import Testing

/// What a running gateway gives away of itself to its machine.
@Suite("A process that holds keys")
struct OperationsHygieneTests {
    @Test("It leaves no core behind, whatever ends it, and has no secret in its environment")
    func cores() async throws {
        let materials = try Materials()
        let configuration = try materials.write(
            "gateway.yaml",
            Stage.configuration(.plain, backend: "https://127.0.0.1:1"))
        // Swift's own crash handler, where a toolchain is installed, would hold the process up for a
        // look that it may not take: examples/systemd and the Dockerfile switch it off as well.
        let gateway = try await GatewayProcess.start(
            configuration: configuration, environment: ["SWIFT_BACKTRACE": "enable=no"])
        let key = try await gateway.regenerateKey()
        let process = "/proc/\(gateway.processID)"
        let limits = try String(contentsOfFile: process + "/limits", encoding: .utf8)
        let core = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core") })
        #expect(core.split(separator: " ").filter { $0 == "0" }.count == 2, "\(core)")
        let environment = try Data(contentsOf: URL(fileURLWithPath: process + "/environ"))
        for secret in [key, String(repeating: "ab", count: 32)] {
            #expect(environment.firstRange(of: Data(secret.utf8)) == nil)
        }

        gateway.signal(SIGABRT)
        await gateway.exit.wait { $0 != nil }
        #expect(gateway.exit.value == -SIGABRT)
        let left = try FileManager.default.contentsOfDirectory(atPath: materials.path)
        #expect(left.allSatisfy { !$0.hasPrefix("core") }, "\(left)")
    }
}
