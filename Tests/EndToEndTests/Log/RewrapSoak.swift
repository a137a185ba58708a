import Cryptography
import Foundation
import HTTPTransport
import NIOCore
import State
import Testing

/// Log keys wrapped anew inside the vault service; `SCOREGATE_SOAK` says how many times 20.
@Suite("Rewrapping log keys: soak")
struct RewrapSoak {
    private static let keys =
        20 * (ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 10)

    private struct PublicKey: Decodable {
        let key: Numbers

        struct Numbers: Decodable {
            let kid: String
            let n: String
            let e: String
        }
    }

    @Test("every log key comes under the newest version, many a second")
    func rewrap() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            #expect(await stage.gateway.end() == 0)
            let made = try Self.fill(
                customer, try await customer.ask(.get, "/keys/iris-log").body)
            let rotated = try await customer.ask(.post, "/keys/iris-log/rotate")
            try #require(rotated.status == 200)
            let newest = try JSONDecoder().decode(PublicKey.self, from: Data(rotated.body)).key.kid
            // The gateway's own identity has the right to it; a reader's has not.
            let configuration = try String(
                contentsOfFile: customer.materials.path + "/gateway.yaml", encoding: .utf8)
            let writer = try customer.materials.write(
                "writer.yaml",
                configuration.replacing(", reader: {chain: caller.pem, key: caller.key}", with: ""))
            let vaultBefore = try Self.processorSeconds(customer.vault.processID)
            let start = ContinuousClock.now
            let outcome = try await GatewayProcess.run([
                "logs", "rewrap", "--endpoint", "iris", "--config", writer,
            ])
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            #expect(outcome.code == 0, "\(outcome)")
            let ring = try customer.keyRing()
            #expect(ring.count == made + 1)
            #expect(ring.allSatisfy { $0.wrappingKey == newest })
            let vault = try Self.processorSeconds(customer.vault.processID) - vaultBefore
            print(
                """
                FIGURE: \(ring.count) log keys wrapped anew in \(seconds) s, \
                \(Int(Double(ring.count) / seconds)) a second; \
                \(vault / Double(ring.count) * 1000) ms each of the vault's processor time
                """)
        }
    }

    /// What a process has had of all processors.
    private static func processorSeconds(_ process: Int32) throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        // Behind the name, which may have spaces: user and system time are fields 14 and 15.
        let fields = try #require(text.split(separator: ")").last).split(separator: " ")
        let ticks = fields[11...12].compactMap { Double($0) }.reduce(0, +)
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Adds entries to the key ring like the one that is there, under the key's present version.
    private static func fill(_ customer: CustomerKeyStage, _ answer: [UInt8]) throws -> Int {
        let numbers = try JSONDecoder().decode(PublicKey.self, from: Data(answer)).key
        let modulus = try #require(Base64URL.bytes(of: numbers.n))
        let exponent = try #require(Base64URL.bytes(of: numbers.e))
        let key = try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
        let folder = customer.materials.path + "/log/keyring"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        let files = try names.map { try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }
        let template = try #require(files.first { $0.contains(numbers.kid) })
        let entry = try JSONDecoder().decode(
            CustomerKeyStage.KeyRingFile.self, from: Data(template.utf8))
        let id = try #require(
            names.first { $0.hasSuffix(".json") && template.contains($0.dropLast(5)) }?.dropLast(5))
        // What the state does not know is not wrapped anew.
        let store = try StateStore(
            folder: customer.materials.path + "/state",
            rootKeyPath: customer.materials.path + "/root.key")
        let stream = try #require(try store.logStreams().first { $0.endpoint == "iris" })
        for number in 0..<self.keys {
            // The vault sees 64 bytes, and does not ask what they are.
            let wrapped = try key.wrap(SystemRandom.secret(count: 64))
            let other = String(repeating: "0", count: 24) + String(number + 0x1000_0000, radix: 16)
            try template.replacing(id, with: other)
                .replacing(entry.wrapped, with: Base64URL.text(of: wrapped.rawSpan))
                .write(toFile: "\(folder)/\(other).json", atomically: false, encoding: .utf8)
            try store.keepLogKey(
                #require(Hexadecimal.bytes(of: other)),
                digest: SHA256().digest(wrapped.rawSpan).bytes, of: stream.id)
        }
        return self.keys
    }
}
