internal import ArgumentParser
internal import LoadTest
internal import NIOCore

/// What is asked of a run, and where its report goes.
struct LoadReportOptions: ParsableArguments {
    @Option(
        help: """
            Fail if this holds, as 'p99>5ms', 'errors>0.1%' or 'ttft.p99>300ms'; may be given several \
            times.
            """)
    var failIf: [String] = []

    @Option(help: "The share of requests that may fail.")
    var maximumErrors = "1%"

    @Flag(help: "Fail if a single request fails.")
    var expectNoErrors = false

    @Option(help: "How late the tester itself may start one request in a hundred.")
    var maximumLag = "10ms"

    @Option(
        help: """
            Report medians over windows of this length too, as 250ms: a stall of the machine in one of \
            them does not reach those.
            """)
    var window: String?

    @Option(help: "Write the report as JSON.", completion: .file())
    var json: String?

    @Option(
        help: """
            Write a line a second as CSV; with --vs a line a round and target, with --find-max a \
            line a rate.
            """,
        completion: .file())
    var csv: String?

    @Option(help: "Write the report as one HTML file with charts.", completion: .file())
    var html: String?

    func expectations() throws(LoadError) -> Expectations {
        var expectations = Expectations()
        for text in self.failIf { expectations.failIf.append(try Assertion(text)) }
        guard let share = Quantity.share(self.maximumErrors) else {
            throw .usage("--maximum-errors \(self.maximumErrors): a share, as 1%")
        }
        expectations.maximumErrors = self.expectNoErrors ? 0 : share
        expectations.maximumLag = try LoadTrafficOptions.duration(
            self.maximumLag, "--maximum-lag")
        return expectations
    }

    func apply(to plan: inout LoadPlan) throws(LoadError) {
        guard let window else { return }
        let time = try LoadTrafficOptions.duration(window, "--window")
        let windows = plan.seconds * 1e9 / Double(max(time.nanoseconds, 1))
        guard time >= .milliseconds(10), (1...100_000).contains(windows) else {
            throw .usage("--window \(window): of 10ms to --duration, and at most 100,000 of them")
        }
        plan.window = time
    }

    /// Throws if a file that was asked for could not be written; makes and changes none.
    func checkFiles() throws(LoadError) {
        for path in [self.json, self.csv, self.html] {
            if let path { try ReportFiles.check(path) }
        }
    }

    /// Prints the summary and writes what was asked for of `report`; the first that fails is thrown when
    /// all were tried.
    func write(
        _ summary: String, _ report: some Encodable, csv: @autoclosure () -> String,
        html: @autoclosure () throws -> String
    ) throws {
        var failure: (any Error)?
        func attempt(_ body: () throws -> Void) {
            do {
                try body()
            } catch {
                failure = failure ?? error
            }
        }
        attempt { try ReportFiles.printSummary(summary) }
        if let json { attempt { try ReportFiles.write(try ReportFiles.json(report), to: json) } }
        if let path = self.csv { attempt { try ReportFiles.write(csv(), to: path) } }
        if let path = self.html { attempt { try ReportFiles.write(try html(), to: path) } }
        if let failure { throw failure }
    }
}
