import Cryptography
import Foundation
import State
import Testing

@testable import Gateway

/// Whether the time of a check tells how much of a key was right (Reparaz and others, "Dude, is my
/// code constant time?"); `SCOREGATE_SOAK` says how many times 50,000 checks.
@Suite("Key check soak", .serialized)
struct KeyCheckSoak {
    private static let samples =
        50_000 * (ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 1)

    @Test("a secret that is wrong in its last digit takes no other time than a random one")
    func timing() throws {
        // The characters of two secrets take paths through the processor that differ by a little,
        // one way for one pair, the other for the next. What a key being right does is one way for
        // all. Three times, because a machine has moments.
        var statistics: [Double] = []
        while statistics.count < 3, statistics.last.map({ $0 >= 4.5 }) != false {
            let differences = try (0..<Self.pairs).map { _ in try Self.measure() }
            statistics.append(Self.statistic(differences))
        }
        #expect(statistics.contains { $0 < 4.5 }, "t = \(statistics)")
    }

    /// How much longer a check takes, in nanoseconds, of tokens that are a key but for the last digit
    /// than of others.
    private static func measure() throws -> Double {
        let pepper = try SystemRandom.secret(count: 32)
        let key = try IssuedEndpointKey.make(
            endpoint: "iris", slot: .primary, pepper: pepper, nowMilliseconds: 0,
            lifetimeMilliseconds: nil)
        let right = (0..<key.text.count).map { key.text.bytes.byte(at: $0) }
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        let table = EndpointKeyTable(
            EndpointKeyRecords(generation: 1, keys: [key.record]), endpoints: ["iris"])
        var random = SystemRandomNumberGenerator()
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        // Two families of 64, of the same characters, but for one secret being the right one.
        var decoy = right
        decoy[EndpointKeyText.kid.upperBound..<EndpointKeyText.digested.upperBound]
            .shuffle(using: &random)
        let last = EndpointKeyText.digested.upperBound - 1
        let families = [right, decoy].map { base in
            (0..<64).map { _ in
                var token = base
                while token[last] == base[last] {
                    token[last] = digits[Int.random(in: 0..<digits.count, using: &random)]
                }
                return Array("Bearer ".utf8) + token
            }
        }
        var token = families[0][0]
        let proven = ProvenToken()
        var times: [[Double]] = [[], []]
        for _ in 0..<self.samples / self.pairs {
            let kind = Int.random(in: 0...1, using: &random)
            // Always in the same place: where a token lies in memory takes time too.
            let source = families[kind][Int.random(in: 0..<64, using: &random)]
            for index in source.indices { token[index] = source[index] }
            let start = ContinuousClock.now
            let answer = verifier.verify(
                authorization: unsafe token.span.bytes, endpoint: 0, in: table,
                nowMilliseconds: 1, proven: proven)
            let time = ContinuousClock.now - start
            if case .granted = answer { Issue.record("granted") }
            times[kind].append(Double(time.components.attoseconds) / 1e9)
        }
        // Without the slowest tenth, which is the machine's doing.
        let all = (times[0] + times[1]).sorted()
        let limit = all[all.count * 9 / 10]
        let means = times.map { times in
            let kept = times.filter { $0 <= limit }
            return kept.reduce(0, +) / Double(kept.count)
        }
        return means[0] - means[1]
    }

    /// Student's t of `differences` against none.
    private static func statistic(_ differences: [Double]) -> Double {
        let count = Double(differences.count)
        let mean = differences.reduce(0, +) / count
        let variance = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        return abs(mean) / (variance / count).squareRoot()
    }

    /// 32 keys, each against a secret that is none.
    private static let pairs = 32
}
