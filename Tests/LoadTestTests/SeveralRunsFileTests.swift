import NIOCore
import Testing

@testable import LoadTest

/// The files of what is found by several runs.
struct SeveralRunsFileTests {
    private static func plan(_ url: String) throws -> PlanSummary {
        PlanSummary(
            LoadPlan(
                target: try LoadTarget(url),
                model: .open(RateProfile(constant: 50, seconds: 1), .constant)), [])
    }

    private static func comparison() throws -> Comparison {
        typealias Leg = Comparison.Leg
        var comparison = Comparison()
        comparison.a = try Self.plan("https://a/score")
        comparison.b = try Self.plan("http://b/score?x=1,2&q=\"")
        comparison.rounds = [
            Comparison.Round(
                a: Leg(throughput: 1234.5, mean: 0.5, p50: 0.25, failedShare: 0),
                b: Leg(throughput: 50, mean: 0.75, p50: 0.5, p90: 1, p99: 2, failedShare: 0.125)),
            Comparison.Round(
                a: Leg(throughput: 50, mean: 0.5, p50: 0.000_25, p90: 1, failedShare: 0),
                b: Leg(throughput: 0, failedShare: 1)),
        ]
        return comparison
    }

    private static func search() throws -> FindMaximum {
        var search = FindMaximum()
        search.plan = try Self.plan("https://a/score")
        search.trials = [
            FindMaximum.Trial(
                rate: 1000, throughput: 999.5, p50: 0.001, p99: 0.004, failedShare: 0,
                isKept: true),
            FindMaximum.Trial(
                rate: 2000, throughput: 1500, p50: 0.002, failedShare: 0.25, isKept: false,
                found: "no errors: 5 of 20 failed, 5 said \"no\"\nand left"),
        ]
        search.maximum = 1000
        return search
    }

    @Test("the CSV of a comparison has a line a round and target, what holds commas quoted")
    func comparisonCSV() throws {
        #expect(
            ReportFiles.csv(try Self.comparison()) == #"""
                round,target,url,good_answers_per_second,mean_seconds,p50_seconds,p90_seconds,\#
                p99_seconds,failed_share
                1,A,https://a/score,1234.500000,0.500000,0.250000,,,0.000000
                1,B,"http://b/score?x=1,2&q=""",50.000000,0.750000,0.500000,1.000000,2.000000,\#
                0.125000
                2,A,https://a/score,50.000000,0.500000,0.000250,1.000000,,0.000000
                2,B,"http://b/score?x=1,2&q=""",0.000000,,,,,1.000000

                """#)
    }

    @Test("the CSV of a search has a line a rate, and why it was not kept")
    func searchCSV() throws {
        #expect(
            ReportFiles.csv(try Self.search()) == #"""
                rate_per_second,good_answers_per_second,p50_seconds,p99_seconds,failed_share,kept,\#
                reason
                1000.000000,999.500000,0.001000,0.004000,0.000000,true,
                2000.000000,1500.000000,0.002000,,0.250000,false,"no errors: 5 of 20 failed, \#
                5 said ""no""
                and left"

                """#)
    }

    @Test("without a single round or trial there is a header")
    func nothing() {
        #expect(ReportFiles.csv(Comparison()).split(separator: "\n").count == 1)
        #expect(ReportFiles.csv(FindMaximum()).split(separator: "\n").count == 1)
    }

    @Test("the differences are in the files, and those of the rounds there are")
    func differences() throws {
        var comparison = try Self.comparison()
        #expect(comparison.differences.map(\.metric) == ["throughput"])
        #expect(try ReportFiles.json(comparison).contains("\"differences\""))
        comparison.rounds.removeLast()
        #expect(
            comparison.differences.map(\.metric) == ["throughput", "latency mean", "latency p50"])
    }

    @Test("nothing of a report ends the element it is in, and secrets are not in the page")
    func pages() throws {
        var comparison = try Self.comparison()
        var search = try Self.search()
        let environment = ReportEnvironment(
            version: "1", arguments: ["scoregate", "-H", "x-api-key: hunter2", "</script><b>"],
            started: 0)
        comparison.environment = environment
        comparison.broken = ["round 1, A, errors: </script><b>"]
        search.environment = environment
        search.trials[1].found = "errors: </script><b>"
        for page in [try HTMLReport.page(comparison), try HTMLReport.page(search)] {
            #expect(page.ranges(of: "</script>").count == 2)
            #expect(page.contains("\\u003c/script>\\u003cb>"))
            #expect(!page.contains("hunter2"))
        }
    }

    @Test("limits of the latency's percentiles are drawn, what is no upper limit is not")
    func limits() throws {
        var expectations = Expectations()
        for text in [
            "p99>5ms", "p99.9>=1s", "mean>1ms", "ttft.p99>1s", "p50<1us", "errors>1%",
        ] {
            expectations.failIf.append(try Assertion(text))
        }
        #expect(expectations.latencyLimits.map(\.percentile) == [99, 99.9])
        #expect(expectations.latencyLimits.map(\.value) == [0.005, 1])
    }
}
