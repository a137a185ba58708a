import NIOCore
import Testing

@testable import LoadTest

/// What is found by several runs.
struct ComparisonTests {
    /// The rate a search finds where everything up to `limit` holds, and how many trials it took.
    private static func search(from start: Double, limit: Double) -> (rate: Double?, trials: Int) {
        var search = RateSearch(start: start)
        while let rate = search.next { search.record(isHeld: rate <= limit) }
        return (search.held, search.trials)
    }

    @Test(
        "the highest rate is found to within 5 %, from below and from above",
        arguments: [(1.0, 7.0), (100, 12_345), (100, 101), (5000, 3), (64, 64), (1000, 900_000)])
    func search(_ start: Double, _ limit: Double) throws {
        let (rate, trials) = Self.search(from: start, limit: limit)
        let found = try #require(rate)
        #expect(found <= limit)
        #expect(found > limit / 1.06)
        #expect(trials <= 32)
    }

    @Test("where no rate holds, none is found, and where all do the search ends")
    func searchEnds() {
        #expect(Self.search(from: 100, limit: 0).rate == nil)
        #expect(Self.search(from: 100, limit: 1e9).rate == 1e6)
    }

    @Test("differences are taken within a round")
    func differences() throws {
        // Each round is twice as slow as the one before, B always a tenth slower than A.
        let pairs = [1.0, 2, 4, 8, 16].map { (a: $0, b: $0 * 1.1) }
        let difference = try #require(Comparison.Difference("latency p50", pairs))
        #expect(difference.medianOfA == 4)
        #expect(abs(difference.median - 0.4) < 1e-9)
        #expect(abs(difference.low - 0.1) < 1e-9)
        #expect(abs(difference.high - 1.6) < 1e-9)
        for ratio in [difference.ratio, difference.lowRatio, difference.highRatio] {
            #expect(abs(try #require(ratio) - 1.1) < 1e-9)
        }
        #expect(Comparison.Difference("latency p50", []) == nil)
    }

    private static func plan(
        _ url: String, rate: Double = 50, seconds: Double = 0.5
    ) throws -> LoadPlan {
        var plan = LoadPlan(
            target: try LoadTarget(url),
            model: .open(RateProfile(constant: rate, seconds: seconds), .constant))
        plan.workers = 1
        return plan
    }

    @Test(
        "a search whose trials cannot have the samples that a percentile needs is not begun",
        arguments: ["p99>500ms", "service.p50>1s", "ttft.p99>1s"])
    func tooShort(_ condition: String) async throws {
        var expectations = Expectations()
        expectations.failIf = [try Assertion("mean>1h"), try Assertion(condition)]
        // Nothing listens there: it is not even connected.
        await #expect {
            _ = try await FindMaximum.run(
                Self.plan("http://127.0.0.1:1/", rate: 9, seconds: 1), expectations,
                isInterrupted: { false }, observe: { _ in })
        } throws: { error in
            guard case LoadError.usage(let text) = error else { return false }
            return text.contains("samples") && text.contains("--duration")
        }
    }

    @Test("a rate is not judged by too few samples: the search ends at the lowest that has enough")
    func fewSamples() async throws {
        var expectations = Expectations()
        expectations.maximumLag = .hours(1)
        expectations.failIf = [try Assertion("p50>500ms")]
        try await ScriptedServer.run { _ in
            .answer(after: .seconds(1))
        } _: { slow in
            let none = try await FindMaximum.run(
                Self.plan(slow.url, rate: 100), expectations, isInterrupted: { false },
                observe: { _ in }
            ).found
            #expect(none.maximum == nil)
            // The median needs 20 samples: 40 a second for half a second.
            #expect(none.trials.map(\.rate) == [100, 50, 40])
            #expect(none.trials.allSatisfy { $0.found?.hasPrefix("not p50>500ms: 1") == true })
            #expect(none.text.contains("no rate of 40"))
        }
    }

    @Test("what no run of the plan can say ends a search, and is no verdict on a rate")
    func unknown() async throws {
        var expectations = Expectations()
        expectations.maximumLag = .hours(1)
        expectations.failIf = [try Assertion("handshake.p50>1s")]
        try await ScriptedServer.run { _ in
            .answer()
        } _: { server in
            let (found, failure) = try await FindMaximum.run(
                Self.plan(server.url), expectations, isInterrupted: { false },
                observe: { _ in })
            #expect(found.trials.isEmpty && found.maximum == nil)
            guard case LoadError.usage(let text)? = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
            #expect(text.contains("there is no handshake"))
        }
    }

    @Test("two servers of known speed are told apart, and a search keeps to what is asked")
    func runs() async throws {
        var expectations = Expectations()
        expectations.maximumLag = .hours(1)
        try await ScriptedServer.run { _ in
            .answer()
        } _: { fast in
            try await ScriptedServer.run { _ in
                .answer(after: .seconds(1))
            } _: { slow in
                let comparison = try await Comparison.run(
                    Self.plan(fast.url), Self.plan(slow.url), rounds: 3, expectations,
                    isInterrupted: { false }, observe: { _ in }
                ).found
                #expect(comparison.rounds.count == 3)
                #expect(comparison.broken.isEmpty)
                let p50 = try #require(
                    comparison.differences.first { $0.metric == "latency p50" })
                // Machines that test are busy: the fast one may take a while in one round.
                #expect(p50.median > 0.2)
                #expect(comparison.text.contains("3 rounds of A B"))
                #expect(comparison.differences.contains { $0.metric == "latency p99" } == false)

                var asked = expectations
                asked.failIf = [try Assertion("mean>100ms")]
                let none = try await FindMaximum.run(
                    Self.plan(slow.url), asked, isInterrupted: { false }, observe: { _ in }
                ).found
                #expect(none.maximum == nil)
                #expect(none.trials.allSatisfy { !$0.isKept })
                #expect(none.asked.last == "not mean>100ms")
                #expect(none.trials.map(\.rate) == [50, 25, 12.5, 6.25, 3.125, 1.5625, 1])
            }
        }
    }
}
