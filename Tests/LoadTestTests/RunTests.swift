import NIOCore
import Testing

@testable import LoadTest

/// Whole runs against servers whose faults are known.
@Suite(.serialized)
struct RunTests {
    private static func plan(
        _ url: String, rate: Double = 200, seconds: Double = 1,
        _ change: (inout LoadPlan) -> Void = { _ in }
    ) throws -> LoadPlan {
        var plan = LoadPlan(
            target: try LoadTarget(url),
            model: .open(RateProfile(constant: rate, seconds: seconds), .constant))
        plan.workers = 2
        plan.timeout = .seconds(20)
        change(&plan)
        return plan
    }

    private static func withModel(
        _ behaviour: ModelBehaviour = ModelBehaviour(),
        _ body: (_ url: String, _ model: ExampleModel) async throws -> Void
    ) async throws {
        let model = try await ExampleModel.start(
            at: SocketAddress(ipAddress: "127.0.0.1", port: 0), behaviour: behaviour)
        do {
            try await body("http://127.0.0.1:\(model.address.port ?? 0)/", model)
        } catch {
            await model.stop()
            throw error
        }
        await model.stop()
    }

    @Test(
        "all that is due is sent and answered, whatever the version of HTTP",
        arguments: [LoadPlan.HTTPVersionChoice.http1, .http2])
    func complete(_ version: LoadPlan.HTTPVersionChoice) async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(Self.plan(url) { $0.http = version })
            #expect(report.counts.offered == 200)
            #expect(report.counts.sent == 200)
            #expect(report.counts.completed == 200)
            #expect(report.counts.failed == 0)
            #expect(report.statuses == ["200": 200])
            #expect(report.latency?.count == 200)
            #expect(report.seconds.reduce(0) { $0 + $1.completed } == 200)
            #expect(report.plan.http == (version == .http1 ? "HTTP/1.1" : "HTTP/2"))
        }
    }

    @Test(
        "of a known latency never less is reported, whether the loops sleep or not",
        arguments: [false, true])
    func knownLatency(isBusyPolling: Bool) async throws {
        var behaviour = ModelBehaviour()
        behaviour.latency = .milliseconds(50)
        behaviour.isBusyPolling = isBusyPolling
        try await Self.withModel(behaviour) { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url, rate: 100, seconds: 2) {
                    $0.isBusyPolling = isBusyPolling
                    $0.workers = 1
                })
            let latency = try #require(report.latency)
            #expect(latency.count == 200)
            #expect(latency.minimum >= 0.05)
            #expect(try #require(report.service).minimum >= 0.05)
        }
    }

    @Test("what the server itself says it held a request is what is reported")
    func accuracy() async throws {
        // A busy machine makes all of a run late; the best of several has the tester's own error, less than
        // a hundredth where nothing else runs. Of 200 ms, because a debug build takes more than a
        // hundredth of 5 ms; five times that, because tests run beside each other.
        var error = Double.infinity
        for _ in 0..<20 where error > 0.05 {
            let (report, held) = try await ScriptedServer.run { _ in
                .answer(after: .milliseconds(200))
            } _: { server in
                let report = try await LoadRun.run(
                    Self.plan(server.url, rate: 50) { $0.workers = 1 })
                return (report, server.heldTimes)
            }
            try #require(held.count == 50)
            let truth = Double(held[held.count / 2].nanoseconds) / 1e9
            let reported = try #require(report.service?.value(at: 50))
            error = min(error, abs(reported - truth) / truth)
        }
        #expect(error <= 0.05)
    }

    @Test("a model that is stopped twice, or by two at once, is stopped once")
    func stoppedTwice() async throws {
        let model = try await ExampleModel.start(at: SocketAddress(ipAddress: "127.0.0.1", port: 0))
        async let first: Void = model.stop()
        async let second: Void = model.stop()
        _ = await (first, second)
        await model.stop()
    }

    @Test("a server that stalls shows in the tail: nothing is omitted because it was late")
    func coordinatedOmission() async throws {
        // Silent from 1.0 s to 1.5 s after the first request; what came then is answered at 1.5 s.
        @Sendable func stalling(_ time: TimeAmount) -> ScriptedServer.Reaction {
            let isStalled = time >= .seconds(1) && time < .milliseconds(1500)
            return .answer(after: isStalled ? .milliseconds(1500) - time : .zero)
        }
        let open = try await ScriptedServer.run(stalling) { server in
            try await LoadRun.run(Self.plan(server.url, rate: 500, seconds: 2))
        }
        #expect(open.counts.completed == 1000)
        #expect(try #require(open.latency?.value(at: 99)) > 0.4)
        #expect(try #require(open.latency?.value(at: 90)) > 0.2)

        // One that asks when it has its answer meets the stall once, and calls the server fast.
        let closed = try await ScriptedServer.run(stalling) { server in
            try await LoadRun.run(
                Self.plan(server.url) {
                    $0.model = .closed(seconds: 2)
                    $0.connections = 1
                })
        }
        #expect(closed.counts.completed > 100)
        #expect(try #require(closed.latency?.value(at: 90)) < 0.2)
    }

    @Test("a request that waits for a connection waits in its latency, not in its lag")
    func waiting() async throws {
        let report = try await ScriptedServer.run { _ in
            .answer(after: .milliseconds(100))
        } _: {
            server in
            try await LoadRun.run(
                Self.plan(server.url, rate: 100) {
                    $0.connections = 1
                    $0.workers = 1
                })
        }
        #expect(report.counts.completed == 100)
        #expect(report.connections.made == 1)
        // 100 requests of 100 ms, one after the other, due within a second.
        #expect(try #require(report.latency).maximum > 8)
        #expect(try #require(report.service).maximum > 8)
        #expect(try #require(report.scheduleLag).mean < 1)
    }

    @Test("a warm-up is not counted")
    func warmUp() async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(Self.plan(url) { $0.warmUp = .milliseconds(500) })
            #expect(report.counts.offered == 200)
            #expect(report.counts.completed == 200)
        }
    }

    private static func windowed(_ url: String) async throws -> LoadReport {
        try await LoadRun.run(
            self.plan(url, seconds: 2) {
                $0.warmUp = .milliseconds(500)
                $0.window = .milliseconds(500)
            })
    }

    @Test("windows are as many as fit into the run, without the warm-up")
    func windows() async throws {
        try await Self.withModel { url, _ in
            // 100 answers each; a busy machine may give some of one to the next, and one that stands
            // still gives all of several to one: it has another run.
            var report = try await Self.windowed(url)
            for _ in 0..<9 where (report.windows?.count ?? 0) < 3 {
                report = try await Self.windowed(url)
            }
            let windows = try #require(report.windows)
            #expect((3...5).contains(windows.count))
            #expect(try #require(windows.p50) >= report.latency?.minimum ?? .infinity)
            #expect(SummaryText(report).text.contains("\(windows.count) of 500 ms"))
        }
    }

    @Test("Poisson arrivals along a ramp are as many as it says, more or less")
    func ramp() async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url) {
                    if let ramp = try? RateProfile("0..400@1s", duration: .seconds(1)) {
                        $0.model = .open(ramp, .poisson)
                    }
                })
            #expect((100...300).contains(report.counts.completed))
            #expect(report.counts.completed == report.counts.offered)
        }
    }

    @Test("connections close after as many requests as were asked for")
    func requestsPerConnection() async throws {
        try await Self.withModel { url, _ in
            for version in [LoadPlan.HTTPVersionChoice.http1, .http2] {
                let report = try await LoadRun.run(
                    Self.plan(url, rate: 60) {
                        $0.http = version
                        $0.requestsPerConnection = 3
                        $0.workers = 1
                        $0.connections = 1
                    })
                #expect(report.counts.completed == 60)
                #expect(report.connections.made >= 20)
            }
        }
    }

    // MARK: - Servers that fail

    @Test(
        "nothing that listens is said before the run, and a server that stops in mid-run after it")
    func stops() async throws {
        let model = try await ExampleModel.start(at: SocketAddress(ipAddress: "127.0.0.1", port: 0))
        let url = "http://127.0.0.1:\(model.address.port ?? 0)/"
        let seconds = AsyncStream<SecondPoint>.makeStream()
        async let stopped: Void = {
            for await _ in seconds.stream.prefix(1) {}
            await model.stop()
        }()
        let report = try await LoadRun.run(
            Self.plan(url, seconds: 3), observe: { seconds.continuation.yield($0) })
        seconds.continuation.finish()
        await stopped
        #expect(report.counts.completed > 0)
        #expect(report.failures["connect", default: 0] > 0)
        #expect(report.counts.completed + report.counts.failed == 600)
        #expect(report.connections.failed["Connection refused", default: 0] > 0)
        await #expect(throws: LoadError.self) { try await LoadRun.run(Self.plan(url)) }
    }

    @Test("garbage, silence and closed connections are each told apart")
    func faults() async throws {
        let garbage = try await ScriptedServer.run { _ in
            .send("SSH-2.0-OpenSSH_9.2\r\n\r\n")
        } _: {
            try await LoadRun.run(Self.plan($0.url, rate: 20))
        }
        #expect(garbage.failures == ["malformed": 20])
        let silence = try await ScriptedServer.run { _ in
            .silence
        } _: {
            try await LoadRun.run(Self.plan($0.url, rate: 20) { $0.timeout = .milliseconds(300) })
        }
        #expect(silence.failures == ["timeout": 20])
        // What was given up is in the latency: at least as long as it was waited for.
        #expect(try #require(silence.latency).minimum >= 0.3)
        let closed = try await ScriptedServer.run { _ in
            .close
        } _: {
            try await LoadRun.run(Self.plan($0.url, rate: 20))
        }
        #expect(closed.failures == ["closed": 20])
        let refused = try await ScriptedServer.run { _ in
            .send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
        } _: {
            try await LoadRun.run(Self.plan($0.url, rate: 20))
        }
        #expect(refused.failures == ["status": 20])
        #expect(refused.statuses == ["401": 20])
        #expect(refused.latency == nil)
        let verdict = try #require(Expectations().judge(refused).last)
        #expect(!verdict.isKept)
        #expect(verdict.found.contains("the key is missing or wrong"))
    }

    @Test(
        "streams with an error, without an end, or that are none, are errors with a name of their own",
        arguments: [
            (#"data: {"error": {"code": 500}}"# + "\n\n", "stream error"),
            (#"data: {"choices": [{"delta": {"content": "a"}}]}"# + "\n\n", "stream unfinished"),
            ("data: {{{{\n\n", "stream malformed"), ("[]", "stream malformed"),
        ])
    func streamFailures(_ body: String, _ name: String) async throws {
        let report = try await ScriptedServer.run { _ in
            .send("HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        } _: {
            try await LoadRun.run(
                Self.plan($0.url, rate: 20) {
                    $0.api = .openAIChat
                    $0.serviceLevel.latency = .hours(1)
                })
        }
        #expect(report.failures == [name: 20])
        #expect(report.counts.completed == 0 && report.latency == nil)
        #expect(report.statuses == ["200": 20])
        #expect(report.inference?.goodShare == 0)
        var strict = Expectations()
        strict.maximumErrors = 0
        let verdict = try #require(strict.judge(report).last)
        #expect(!verdict.isKept && verdict.found.contains("20 \(name)"))
        #expect(SummaryText(report).text.contains("× \(name)"))
    }

    @Test("what cannot be sent is counted, and the run is said to have failed for it")
    func unreachableRate() async throws {
        let report = try await ScriptedServer.run { _ in
            .silence
        } _: {
            try await LoadRun.run(
                Self.plan($0.url, rate: 20_000, seconds: 0.5) {
                    $0.outstanding = 100
                    $0.timeout = .seconds(1)
                })
        }
        #expect(report.counts.offered == 10_000)
        #expect(report.failures["not sent", default: 0] > 9000)
        let verdict = try #require(Expectations().judge(report).first)
        #expect(!verdict.isKept)
        #expect(verdict.found.contains("were never sent"))
    }

    @Test("requests are given up on purpose, and the server goes on")
    func cancellation() async throws {
        var behaviour = ModelBehaviour()
        behaviour.latency = .milliseconds(400)
        try await Self.withModel(behaviour) { url, _ in
            for version in [LoadPlan.HTTPVersionChoice.http1, .http2] {
                let report = try await LoadRun.run(
                    Self.plan(url, rate: 100) {
                        $0.http = version
                        $0.faults.cancelledShare = 0.5
                        $0.faults.cancelAfter = .milliseconds(20)
                    })
                #expect(report.counts.cancelled == 50)
                #expect(report.counts.completed == 50)
                #expect(report.counts.failed == 0)
            }
        }
    }

    @Test("slow senders and slow readers still come to their end")
    func slow() async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url + "score", rate: 20) {
                    let body = #"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#
                    $0.request.payloads =
                        (try? PayloadTemplate(Array(body.utf8))).map { [$0] } ?? []
                    $0.faults.sendRate = 400
                    $0.faults.readRate = 400
                })
            #expect(report.counts.completed == 20)
            // 38 bytes at 400 a second, in pieces of 8 bytes: four waits of 20 ms.
            #expect(try #require(report.latency).minimum >= 0.08)
        }
    }

    @Test(
        "an answer that is read slowly takes as long as its bytes at that rate, its last piece too",
        arguments: [LoadPlan.HTTPVersionChoice.http1, .http2])
    func slowReading(_ version: LoadPlan.HTTPVersionChoice) async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url, rate: 10) {
                    $0.http = version
                    $0.faults.readRate = 20
                })
            // "Healthy": 7 bytes at 20 a second.
            #expect(report.counts.completed == 10)
            #expect(try #require(report.service).minimum >= 0.35)
        }
    }

    @Test("a run that is ended early keeps what it has counted")
    func interrupted() async throws {
        try await Self.withModel { url, _ in
            let end = ContinuousClock.now + .seconds(1)
            let report = try await LoadRun.run(
                Self.plan(url, seconds: 60), isInterrupted: { ContinuousClock.now > end })
            #expect(report.isInterrupted)
            #expect(report.counts.completed > 0)
            #expect(report.elapsed < 30)
        }
    }

    @Test("commands run in mid-run are marked, with how they ended")
    func marks() async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url, seconds: 3) {
                    $0.marks = [
                        MarkPlan(
                            at: .milliseconds(100), command: "test sgk1p_a = sgk1p_a && exit 3"),
                        MarkPlan(at: .seconds(100), command: "exit 4"),
                    ]
                })
            #expect(report.marks.map(\.exitCode) == [3])
            #expect(report.marks.map(\.command) == ["test *** = *** && exit 3"])
            #expect(report.marks.map(\.wasEnded) == [false])
            #expect(try #require(report.marks.first).begin >= 0.1)
            // The other one was not run, and no run that lacks one is as it should be.
            #expect(report.missedMarks.map(\.command) == ["exit 4"])
            let verdict = try #require(Expectations().judge(report).last)
            #expect(!verdict.isKept && verdict.found.contains("at 100 s exit 4"), "\(verdict)")
            #expect(SummaryText(report).text.contains("exit 4: NOT RUN"))
        }
    }

    @Test("a command that goes on after the run is ended, and what it has begun; its mark says so")
    func endlessMarks() async throws {
        try await Self.withModel { url, _ in
            let report = try await LoadRun.run(
                Self.plan(url) {
                    $0.marks = ["sleep 40", "sleep 40; true", "trap '' TERM; sleep 40; sleep 40"]
                        .map { MarkPlan(at: .milliseconds(100), command: $0) }
                })
            #expect(report.marks.count == 3)
            #expect(report.marks.allSatisfy { $0.wasEnded && $0.exitCode == nil && $0.end < 30 })
            #expect(SummaryText(report).text.contains("sleep 40: ended, for it went on"))
        }
    }

    @Test("streamed answers: first token, distances and tokens as the model made them")
    func tokenStream() async throws {
        var behaviour = ModelBehaviour()
        behaviour.hasTokenStream = true
        behaviour.latency = .milliseconds(60)
        behaviour.tokens = 6
        behaviour.tokenInterval = .milliseconds(20)
        try await Self.withModel(behaviour) { url, _ in
            for api in [InferenceAPI.openAIChat, .openAICompletions] {
                let report = try await LoadRun.run(
                    Self.plan(url, rate: 25) {
                        $0.api = api
                        $0.target.path = api.path(model: "m") ?? "/"
                        let body = api.body(model: "m", prompt: "\"?\"", maximumTokens: 6) ?? ""
                        $0.request.payloads =
                            (try? PayloadTemplate(Array(body.utf8))).map { [$0] } ?? []
                        $0.serviceLevel.firstToken = .seconds(10)
                    })
                #expect(report.counts.completed == 25)
                let inference = try #require(report.inference)
                #expect(inference.outputTokens == 150)
                #expect(inference.interTokenLatency?.count == 125)
                #expect(inference.eventAge?.count == 150)
                #expect(try #require(inference.timeToFirstToken).minimum >= 0.06)
                // The last token comes after 160 ms.
                #expect(try #require(inference.timeToFirstToken).minimum < 0.16)
                #expect(try #require(inference.timePerOutputToken).mean >= 0.018)
                #expect(inference.withoutDone == 0)
                #expect(inference.goodShare == 1)
            }
        }
    }
}
