internal import ArgumentParser
internal import Foundation
internal import LoadTest
internal import NIOCore

/// `scoregate load`: a load test.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load test an endpoint, its encryption included.",
        discussion: """
            Sends requests by the clock (an open loop, unless --closed) and reports latency from the \
            time each was due, so that what a slow server makes others wait is in it.

            scoregate load https://127.0.0.1:8443/score --ca certs/ca.pem --key-file key \
            --data '{"input_data": [[5.1, 3.5, 1.4, 0.2]]}' --rate 500 --duration 30s

            Exit codes: 0 done and everything asked for was kept, 1 it was not (errors, a limit of \
            --fail-if, a tester that fell behind, a certificate refused), 2 wrong usage, 3 the \
            environment failed (nothing listens, a file cannot be read or written). What was found \
            is printed in every case.
            """)

    @Argument(help: "https://HOST[:PORT]/PATH, or http://… where the server speaks no TLS.")
    var url: String

    @OptionGroup(title: "How requests come") var traffic: LoadTrafficOptions
    @OptionGroup(title: "What is sent") var request: LoadRequestOptions
    @OptionGroup(title: "TLS") var tls: LoadTLSOptions
    @OptionGroup(title: "Several runs") var comparison: LoadComparisonOptions
    @OptionGroup(title: "What is asked of the run, and reported") var report: LoadReportOptions

    func run() async throws {
        do {
            try await self.test()
        } catch let error as LoadError {
            switch error {
            case .usage(let text): throw ValidationError(text)
            case .refused(let text): throw CommandFailure(code: .refused, message: text)
            case .environment(let text): throw CommandFailure(code: .environment, message: text)
            }
        }
    }

    private func test() async throws {
        let plan = try self.plan()
        let expectations = try self.report.expectations()
        try self.report.checkFiles()
        Interruption.listen()
        if self.comparison.findMax {
            try await self.findMaximum(plan, expectations)
        } else if let other = self.comparison.vs {
            try await self.compare(plan, to: other, expectations)
        } else {
            try await self.once(plan, expectations)
        }
    }

    private func once(_ plan: LoadPlan, _ expectations: Expectations) async throws {
        let live = LiveLine(seconds: plan.seconds)
        let environment = await Self.environment(plan)
        var report = try await LoadRun.run(
            plan, isInterrupted: { Interruption.hasCome }, observe: { live.show($0) })
        live.end()
        report.environment = environment
        report.verdicts = expectations.judge(report)
        try self.report.write(
            SummaryText(report).text, report, csv: ReportFiles.csv(report.seconds),
            html: HTMLReport.page(report))
        if let failure = report.sessionFileFailure { throw LoadError.environment(failure) }
        guard let broken = report.verdicts.first(where: { !$0.isKept }) else {
            guard !report.isInterrupted else {
                throw CommandFailure(code: .refused, message: "ended before its time")
            }
            return
        }
        throw CommandFailure(code: .refused, message: "\(broken.asked): \(broken.found)")
    }

    private func findMaximum(_ plan: LoadPlan, _ expectations: Expectations) async throws {
        guard !expectations.failIf.isEmpty else {
            throw LoadError.usage("--find-max needs to know what a rate must keep: --fail-if")
        }
        let environment = await Self.environment(plan)
        let live = LiveLine(seconds: plan.seconds)
        var (result, failure) = try await FindMaximum.run(
            plan, expectations, isInterrupted: { Interruption.hasCome },
            observe: { live.show(FindMaximum.line($0)) })
        live.end()
        result.environment = environment
        try self.report.write(
            result.text, result, csv: ReportFiles.csv(result), html: HTMLReport.page(result))
        if let failure { throw failure }
        guard result.maximum != nil else {
            throw CommandFailure(
                code: .refused,
                message: "\(result.answer): \(result.trials.last?.found ?? "not one was tried")")
        }
    }

    private func compare(
        _ plan: LoadPlan, to url: String, _ expectations: Expectations
    ) async throws {
        var other = try self.plan(for: url, connectTo: self.comparison.vsConnectTo)
        try self.comparison.apply(toSecond: &other)
        let environment = await Self.environment(plan)
        let live = LiveLine(seconds: plan.seconds)
        let rounds = self.comparison.rounds
        var (comparison, failure) = try await Comparison.run(
            plan, other, rounds: rounds, expectations, isInterrupted: { Interruption.hasCome },
            observe: { _ in live.show("a round of \(rounds) is done") })
        live.end()
        comparison.environment = environment
        try self.report.write(
            comparison.text, comparison, csv: ReportFiles.csv(comparison),
            html: HTMLReport.page(comparison))
        if let failure { throw failure }
        if let broken = comparison.broken.first {
            throw CommandFailure(code: .refused, message: broken)
        }
        guard comparison.rounds.count == rounds else {
            throw CommandFailure(code: .refused, message: "ended before its time")
        }
    }

    /// Where and when it runs, and what the tester adds there by itself.
    private static func environment(_ plan: LoadPlan) async -> ReportEnvironment {
        let floor = await LoadRun.floor(
            isBusyPolling: plan.isBusyPolling, isInterrupted: { Interruption.hasCome })
        return ReportEnvironment(
            version: Scoregate.version,
            arguments: ["scoregate"] + CommandLine.arguments.dropFirst(),
            started: Date().timeIntervalSince1970, floor: floor)
    }

    /// Everything that was asked for.
    func plan() throws(LoadError) -> LoadPlan {
        try self.plan(for: self.url, connectTo: self.traffic.connectTo)
    }

    /// The same for another URL, which may be the same at another place.
    func plan(for url: String, connectTo: String?) throws(LoadError) -> LoadPlan {
        let target = try LoadTarget(url, connectTo: connectTo)
        var plan = LoadPlan(target: target, model: try self.traffic.model())
        try self.traffic.apply(to: &plan)
        try self.request.apply(to: &plan)
        try self.tls.apply(to: &plan)
        try self.tls.applyHandshakesOnly(to: &plan)
        try self.report.apply(to: &plan)
        try self.checkUse(plan)
        return plan
    }

    /// Throws if something was asked for that comes to nothing.
    private func checkUse(_ plan: LoadPlan) throws(LoadError) {
        let isEncrypted = [self.url, self.comparison.vs].contains {
            $0?.hasPrefix("https://") == true
        }
        if !isEncrypted, !self.tls.given.isEmpty {
            throw .usage(
                self.tls.given.joined(separator: ", ")
                    + ": of no use without TLS, which https:// has")
        }
        guard plan.streams == nil || plan.http == .http2 || (plan.http == .auto && isEncrypted)
        else {
            throw .usage("--streams: a connection of HTTP/1.1 has none; see --http")
        }
        for mark in plan.marks where Double(mark.at.nanoseconds) / 1e9 >= plan.seconds {
            let time = Quantity.short(Double(mark.at.nanoseconds) / 1e9)
            throw .usage(
                "--at '\(time)s \(mark.command)': the run is over after "
                    + "\(Quantity.short(plan.seconds)) s")
        }
    }
}
