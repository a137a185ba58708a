import Cryptography
import Foundation
import HTTPTransport
import NIOCore
import Testing

/// What a customer can do to a gateway whose log is under the customer's key.
@Suite("A customer's key", .serialized, .timeLimit(.minutes(10)))
struct CustomerKeyTests {
    @Test("The log is under the customer's key: who disables it ends scoring and reading, and back")
    func revokedAndRestored() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            let answer = try await stage.exchange(stage.request(body: "planted-body"))
            #expect(answer.status == 200)
            let ring = try customer.keyRing()
            #expect(ring.count == 1)
            let base = "https://127.0.0.1:\(customer.vaultPort)/keys/iris-log/"
            #expect(ring.allSatisfy { $0.wrappingKey.hasPrefix(base) })
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "planted-body" })
            // The gateway's own identity may not read what it writes.
            let configuration = try String(
                contentsOfFile: customer.materials.path + "/gateway.yaml", encoding: .utf8)
            let writer = try customer.materials.write(
                "writer.yaml",
                configuration.replacing(", reader: {chain: caller.pem, key: caller.key}", with: ""))
            let refused = try await GatewayProcess.run(["logs", "cat", "--config", writer])
            #expect(refused.code == 1 && refused.errors.contains("get and unwrapKey"))
            #expect(!refused.output.contains("planted-body"))

            let key = try await self.logKey(customer, try #require(ring.first))
            let next = try self.step(key)
            // The scan sees what is there: without the right to look it gives nil.
            let path = Array(customer.materials.path.utf8)
            let isSeen = try MemoryScan.finds(path, in: stage.gateway.processID)
            try await customer.set(#""enabled":false"#)
            let told = try await customer.wait(for: 503)
            print("FIGURE: a disabled key was in force after \(told) (told by the vault's events)")
            #expect(told < .seconds(30))
            #expect(
                await stage.gateway.errors.wait { $0.contains("wrapping key revoked") })
            if let isSeen {
                #expect(isSeen)
                // Within 2 s; a busy machine gets longer.
                let end = ContinuousClock.now + .seconds(20)
                var isLeft: Bool? = true
                while isLeft == true, ContinuousClock.now < end {
                    isLeft = try MemoryScan.finds(next, in: stage.gateway.processID)
                }
                #expect(isLeft == false, "the log key is wiped")
                #expect(try MemoryScan.finds(key, in: stage.gateway.processID) == false)
            } else {
                print("SKIPPED: the memory scan needs the right to read another process's memory")
            }
            let unreadable = try await customer.read()
            #expect(
                unreadable.code == 1 && unreadable.errors.contains("is disabled"), "\(unreadable)")
            #expect(!unreadable.output.contains("planted-body"))
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.output.contains("structure only"), "\(verified)")

            try await customer.set(#""enabled":true"#)
            let restored = try await customer.wait(for: 200)
            print("FIGURE: an enabled key was in force after \(restored)")
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "planted-body" })

            // Nobody tells when a time is over: that is found by asking.
            let expires = Int(Date().timeIntervalSince1970) + 2
            try await customer.set(#""exp":\#(expires)"#)
            _ = try await customer.wait(for: 503)
            let late = Date().timeIntervalSince1970 - Double(expires)
            print("FIGURE: an expired key was in force after \(late) s (found by asking)")
            #expect(late < 30)
            try await customer.set(#""exp":\#(expires + 1_000_000)"#)
            _ = try await customer.wait(for: 200)
            #expect(await stage.gateway.end() == 0)
            let whole = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(whole.code == 0, "\(whole)")
        }
    }

    @Test("A rotation fails no request, and old log keys come under the new version")
    func rotated() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            let isOver = Watched(false)
            let load = Task {
                var statuses: [Int: Int] = [:]
                while !isOver.value {
                    let answer = try await stage.exchange(stage.request(body: "load"))
                    statuses[answer.status, default: 0] += 1
                }
                return statuses
            }
            let rotated = try await customer.ask(.post, "/keys/iris-log/rotate")
            #expect(rotated.status == 200)
            let isRewrapped = await stage.gateway.errors.wait(.seconds(60)) {
                $0.contains("log keys wrapped anew")
            }
            isOver.update { $0 = true }
            let statuses = try await load.value
            print("FIGURE: \(statuses) during a rotation")
            #expect(statuses.keys.sorted() == [200])
            #expect(isRewrapped, "\(stage.gateway.errors.value)")
            let ring = try customer.keyRing()
            #expect(ring.count == 2 && Set(ring.map(\.wrappingKey)).count == 1)
            #expect(await stage.gateway.end() == 0)
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "load" })
        }
    }

    @Test(
        "A key in a token wraps, is rotated and revoked, and never leaves the token",
        arguments: SoftToken.Kind.allCases)
    func inToken(_ kind: SoftToken.Kind) async throws {
        guard kind.isPossible else { return }
        try await CustomerKeyStage.run(kind: kind) { customer in
            let stage = customer.stage
            #expect(try await stage.exchange(stage.request(body: "under-token")).status == 200)
            #expect(try customer.keyRing().map(\.algorithm) == [kind.algorithm])
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "under-token" })

            #expect(try await customer.ask(.post, "/keys/iris-log/rotate").status == 200)
            #expect(
                await stage.gateway.errors.wait(.seconds(60)) {
                    $0.contains("log keys wrapped anew")
                }, "\(stage.gateway.errors.value)")
            #expect(try await stage.exchange(stage.request(body: "rotated")).status == 200)
            let ring = try customer.keyRing()
            #expect(ring.count == 2 && Set(ring.map(\.wrappingKey)).count == 1)

            try await customer.set(#""enabled":false"#)
            _ = try await customer.wait(for: 503)
            let unreadable = try await customer.read()
            #expect(
                unreadable.code == 1 && unreadable.errors.contains("is disabled"), "\(unreadable)")
            try await customer.set(#""enabled":true"#)
            _ = try await customer.wait(for: 200)
            let bodies = try await SealedLogStage.entries(stage).compactMap(\.body)
            #expect(bodies.contains("under-token") && bodies.contains("rotated"), "\(bodies)")
        }
    }

    @Test("An endpoint that is served unlogged goes on, and the log tells what it lacks")
    func servedUnlogged() async throws {
        try await CustomerKeyStage.run(encryption: ", on_revoke: serve_unlogged") { customer in
            let stage = customer.stage
            try await customer.set(#""enabled":false"#)
            #expect(
                await stage.gateway.errors.wait(.seconds(60)) {
                    $0.contains("wrapping key revoked")
                })
            for _ in 0..<3 {
                let answer = try await stage.exchange(stage.request(body: "unlogged"))
                #expect(answer.status == 200)
            }
            try await customer.set(#""enabled":true"#)
            #expect(
                await stage.gateway.errors.wait(.seconds(60)) { $0.contains("event=restored") })
            let answer = try await stage.exchange(stage.request(body: "logged"))
            #expect(answer.status == 200)
            #expect(await stage.gateway.end() == 0)
            let entries = try await SealedLogStage.command(stage, "logs", "cat")
            #expect(entries.output.contains("logged"))
            #expect(!entries.output.contains(#""unlogged""#))
            // What is missing was counted, and why.
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            let lost = verified.output.split(separator: "\n").filter { $0.hasSuffix("(revoked)") }
                .compactMap { $0.split(separator: " ").dropFirst(2).first.flatMap { Int($0) } }
            #expect(lost.reduce(0, +) == 6, "\(verified)")
        }
    }

    @Test("A vault that is gone suspends the log after the grace period, and is found again")
    func down() async throws {
        try await CustomerKeyStage.run(encryption: ", grace_ms: 1000") { customer in
            let stage = customer.stage
            let first = try await stage.exchange(stage.request(body: "before"))
            #expect(first.status == 200)
            _ = await customer.vault.end()
            _ = try await customer.wait(for: 503)
            #expect(stage.gateway.errors.value.contains("unknown for the grace period"))
            #expect(!stage.gateway.errors.value.contains("wrapping key revoked"))
            // A reader says what is wrong, and not that the key was taken away.
            let unreadable = try await SealedLogStage.command(stage, "logs", "cat")
            #expect(unreadable.code == 3, "\(unreadable)")
            let again = try await GatewayProcess.start(
                "vault", configuration: customer.vault.configuration)
            _ = try await customer.wait(for: 200)
            await again.end()
        }
    }

    /// The log key one step on.
    private func step(_ key: [UInt8]) throws -> [UInt8] {
        let secret = try SecretBytes(copying: key.rawSpan)
        let next = try HKDF().expand(secret, information: Array("sgl1 step".utf8).rawSpan)
        return (0..<next.count).map { next.bytes[byte: $0] }
    }

    /// The log key that an entry of the key ring has, as a reader gets it.
    private func logKey(
        _ customer: CustomerKeyStage, _ entry: CustomerKeyStage.KeyRingFile
    ) async throws -> [UInt8] {
        struct Answer: Decodable { let value: String }
        let path = try #require(entry.wrappingKey.components(separatedBy: "/keys/").last)
        let answer = try await customer.askAsReader(
            "/keys/\(path)/unwrapkey", #"{"alg":"RSA-OAEP-256","value":"\#(entry.wrapped)"}"#)
        try #require(answer.status == 200)
        let value = try JSONDecoder().decode(Answer.self, from: Data(answer.body)).value
        return Array(try #require(Base64URL.bytes(of: value)).prefix(32))
    }
}

/// Looks for bytes in the memory of another process.
enum MemoryScan {
    /// Whether they are anywhere in what it may write; nil without the right to look.
    static func finds(_ needle: [UInt8], in process: Int32) throws -> Bool? {
        let maps = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)
        guard let memory = FileHandle(forReadingAtPath: "/proc/\(process)/mem") else { return nil }
        let pattern = Data(needle)
        for line in maps.split(separator: "\n") {
            let parts = line.split(separator: " ", omittingEmptySubsequences: true)
            guard parts.count > 1, parts[1].hasPrefix("rw") else { continue }
            let ends = parts[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard ends.count == 2 else { continue }
            var offset = ends[0]
            var rest = Data()
            while offset < ends[1] {
                let count = Int(min(ends[1] - offset, 1 << 20))
                guard (try? memory.seek(toOffset: offset)) != nil,
                    let piece = try? memory.read(upToCount: count), !piece.isEmpty
                else { break }
                rest += piece
                if rest.range(of: pattern) != nil { return true }
                rest = rest.suffix(needle.count - 1)
                offset += UInt64(piece.count)
            }
        }
        return false
    }
}
