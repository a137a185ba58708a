internal import ArgumentParser
internal import LoadTest
internal import NIOCore
internal import ServiceConfiguration

extension Arrivals: ExpressibleByArgument {}
extension LoadPlan.HTTPVersionChoice: ExpressibleByArgument {}

/// How requests come.
struct LoadTrafficOptions: ParsableArguments {
    @Option(
        help: """
            Requests a second: 500, steps 100@10s,500@30s, or a ramp 100..2000@30s; the last may leave \
            out its time, which is --duration's (100).
            """)
    var rate: String?

    @Option(help: "How requests of an open loop are spread: constant or poisson (constant).")
    var arrivals: Arrivals?

    @Option(help: "How long, such as 30s or 2m (10s).")
    var duration: String?

    @Option(help: "Time before anything is counted.")
    var warmUp = "0s"

    @Flag(
        help: """
            A closed loop: --connections times --streams users, each of which asks again when it has \
            its answer. It hides waiting; it is for finding out what a server can do at most.
            """)
    var closed = false

    @Option(help: "auto, 1.1 or 2.")
    var http = LoadPlan.HTTPVersionChoice.auto

    @Option(help: "Connections at most (256, in a closed loop 10, with HTTP/2 one a worker).")
    var connections: Int?

    @Option(help: "Requests at once on a connection of HTTP/2 (100, in a closed loop 10).")
    var streams: Int?

    @Option(help: "Close connections after so many requests; 1 makes each pay for its handshake.")
    var requestsPerConnection: Int?

    @Option(help: "Event loops, each a thread (as many as processors it may run on).")
    var workers: Int?

    @Flag(
        help: """
            Never sleep: requests leave and answers are read without the delay of being woken, which \
            a virtual machine makes 100 µs and more. Takes a processor for each worker.
            """)
    var busyPoll = false

    @Option(help: "How long one answer may take.")
    var timeout = "30s"

    @Option(help: "Requests under way or waiting at most; what is due beyond is an error.")
    var outstanding = 65_536

    @Option(help: "Connect to HOST:PORT or unix:PATH instead of where the URL says.")
    var connectTo: String?

    @Option(
        help: """
            Run a shell command in mid-run and mark it: '30s scoregate keys …'. Can be given several \
            times. Its output goes to standard error.
            """)
    var at: [String] = []

    @Option(help: "Give up a share of the requests after a time, as 5%@100ms.")
    var cancel: String?

    @Option(help: "Read answers no faster than so many bytes a second (64k, 1M).")
    var slowRead: String?

    @Option(help: "Send bodies no faster than so many bytes a second.")
    var slowSend: String?

    func model() throws(LoadError) -> LoadPlan.Model {
        let duration = try Self.duration(self.duration ?? "10s", "--duration")
        guard duration > .zero else { throw .usage("--duration is above 0") }
        if self.closed {
            guard self.rate == nil, self.arrivals == nil else {
                throw .usage(
                    "--closed: its users ask as often as they are answered; --rate and --arrivals "
                        + "have no meaning with it")
            }
            return .closed(seconds: Double(duration.nanoseconds) / 1e9)
        }
        let rate = self.rate ?? "100"
        guard self.duration == nil || rate.split(separator: ",").last?.contains("@") != true else {
            throw .usage(
                "--duration has no meaning with --rate \(rate): every step of it has its own time")
        }
        return .open(try RateProfile(rate, duration: duration), self.arrivals ?? .constant)
    }

    func apply(to plan: inout LoadPlan) throws(LoadError) {
        plan.http = self.http
        plan.workers = try Self.number(
            self.workers ?? ProcessorAffinity.count, "--workers", 1...256)
        plan.isBusyPolling = self.busyPoll
        plan.connections = try self.connections.map { number throws(LoadError) in
            try Self.number(number, "--connections", 1...100_000)
        }
        plan.streams = try self.streams.map { number throws(LoadError) in
            try Self.number(number, "--streams", 1...1000)
        }
        plan.requestsPerConnection = try Self.number(
            self.requestsPerConnection ?? .max, "--requests-per-connection", 1 ... .max)
        plan.outstanding = try Self.number(self.outstanding, "--outstanding", 1...10_000_000)
        plan.warmUp = try Self.duration(self.warmUp, "--warm-up")
        plan.timeout = try Self.duration(self.timeout, "--timeout")
        guard plan.timeout > .zero else { throw .usage("--timeout is above 0") }
        for text in self.at { plan.marks.append(try Self.mark(text)) }
        if let cancel {
            (plan.faults.cancelledShare, plan.faults.cancelAfter) = try Self.cancel(cancel)
        }
        plan.faults.readRate = try Self.bytesPerSecond(self.slowRead, "--slow-read")
        plan.faults.sendRate = try Self.bytesPerSecond(self.slowSend, "--slow-send")
    }

    static func duration(_ text: String, _ option: String) throws(LoadError) -> TimeAmount {
        guard let duration = Quantity.duration(text) else {
            throw .usage("\(option) \(text): a time is a number with us, ms, s, m or h")
        }
        return duration
    }

    static func number(
        _ number: Int, _ option: String, _ range: ClosedRange<Int>
    ) throws(LoadError) -> Int {
        guard range.contains(number) else {
            let least = "\(range.lowerBound)"
            let numbers =
                range.upperBound == .max ? "at least \(least)" : "\(least) to \(range.upperBound)"
            throw .usage("\(option) \(number): a number of \(numbers)")
        }
        return number
    }

    private static func mark(_ text: String) throws(LoadError) -> MarkPlan {
        let words = text.split(separator: " ", maxSplits: 1)
        guard words.count == 2, let time = Quantity.duration(words[0]) else {
            throw .usage("--at '\(text)': a time and a command, as '30s kill -HUP 4711'")
        }
        return MarkPlan(at: time, command: String(words[1]))
    }

    private static func cancel(_ text: String) throws(LoadError) -> (Double, TimeAmount) {
        let halves = text.split(separator: "@")
        guard halves.count == 2, let share = Quantity.share(halves[0]),
            let time = Quantity.duration(halves[1])
        else { throw .usage("--cancel \(text): a share and a time, as 5%@100ms") }
        return (share, time)
    }

    private static func bytesPerSecond(
        _ text: String?, _ option: String
    ) throws(LoadError) -> Double? {
        guard let text else { return nil }
        guard let bytes = Quantity.bytes(text), bytes > 0 else {
            throw .usage("\(option) \(text): bytes a second above 0, as 64k")
        }
        return Double(bytes)
    }
}
