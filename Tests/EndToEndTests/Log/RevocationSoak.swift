import Foundation
import Testing

/// How soon a customer's key that is taken away is out of use; `SCOREGATE_SOAK` says how often it is.
@Suite("Revoking a customer's key: soak", .timeLimit(.minutes(30)))
struct RevocationSoak {
    private static let rounds =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) }
        .map { min(max($0 / 4, 5), 100) } ?? 5

    @Test("within a second where the vault tells of it, within five where it is found by asking")
    func revoked() async throws {
        try await CustomerKeyStage.run { customer in
            #expect(try await customer.stage.exchange(customer.stage.request()).status == 200)
            var told: [Double] = []
            for _ in 0..<Self.rounds {
                try await customer.set(#""enabled":false"#)
                told.append(try await customer.wait(for: 503) / .seconds(1))
                try await customer.set(#""enabled":true"#)
                _ = try await customer.wait(for: 200)
            }
            var found: [Double] = []
            for _ in 0..<min(Self.rounds, 9) {
                // Nobody tells when a time is over.
                let end = Int(Date().timeIntervalSince1970) + 2
                try await customer.set(#""exp":\#(end)"#)
                _ = try await customer.wait(for: 503)
                found.append(Date().timeIntervalSince1970 - Double(end))
                try await customer.set(#""exp":\#(end + 1_000_000)"#)
                _ = try await customer.wait(for: 200)
            }
            // One that a busy machine was late with says nothing; half of them do.
            let (median, slowest) = Self.summary(told)
            let (medianFound, slowestFound) = Self.summary(found)
            print(
                """
                FIGURE: a key was out of use \(median) s after it was disabled (median of \
                \(told.count), at most \(slowest) s), \(medianFound) s after its end (median of \
                \(found.count), at most \(slowestFound) s)
                """)
            #expect(median <= 1)
            #expect(medianFound <= 5)
        }
    }

    private static func summary(_ seconds: [Double]) -> (median: Double, slowest: Double) {
        let sorted = seconds.sorted()
        return (sorted[sorted.count / 2], sorted[sorted.count - 1])
    }
}
