internal import NIOCore

/// What one streamed answer took, event by event.
///
/// Reads server-sent events (HTML standard, 9.2.6) as they arrive, as far as a meter needs: lines that
/// begin with `data:`. An event with a piece of text that is not empty, `"content":"…"` or `"text":"…"`,
/// counts as one output token unless the stream ends with `"completion_tokens":N`, which then holds.
/// Searches bytes instead of parsing JSON: a meter must not be slower than what it measures. An event with
/// text is taken for JSON if it has its two ends; one without, of which a stream has few, is looked through
/// for what makes it an error.
struct EventStreamMeter {
    /// When the first event with text came.
    private(set) var firstToken: NIODeadline?
    private(set) var lastToken: NIODeadline?
    private(set) var events = 0
    private(set) var textEvents = 0
    private(set) var hasDone = false
    /// Whether there was a line that no stream of events has.
    private var hasOtherLines = false
    private var hasError = false
    private var isMalformed = false
    /// Lines with data of the present event, and whether they are one that is no JSON by itself.
    private var dataLines = 0
    private var isSuspect = false
    private var reportedTokens: Int?
    /// What of a line came without its end.
    private var line: [UInt8] = []

    /// What is to be noted of each event.
    enum Note {
        /// Since the text before it.
        case interToken(TimeAmount)
        /// Since the sender stamped it, on this machine's clock.
        case age(TimeAmount)
    }

    /// How many tokens the answer had.
    var tokens: Int { self.reportedTokens ?? self.textEvents }

    /// Forgets the answer.
    mutating func reset() {
        self.firstToken = nil
        self.lastToken = nil
        self.events = 0
        self.textEvents = 0
        self.hasDone = false
        self.hasOtherLines = false
        self.hasError = false
        self.isMalformed = false
        self.dataLines = 0
        self.isSuspect = false
        self.reportedTokens = nil
        self.line.removeAll(keepingCapacity: true)
    }

    /// Reads a piece of the answer's body that came at `now`.
    mutating func receive(_ bytes: ByteBuffer, now: NIODeadline, note: (Note) -> Void) {
        let view = bytes.readableBytesView
        var start = view.startIndex
        while let end = view[start...].firstIndex(of: UInt8(ascii: "\n")) {
            if self.line.isEmpty {
                self.receive(view[start..<end], now, note)
            } else {
                self.line.append(contentsOf: view[start..<end])
                let line = self.line
                self.line.removeAll(keepingCapacity: true)
                self.receive(ByteBuffer(bytes: line).readableBytesView, now, note)
            }
            start = end + 1
        }
        guard start < view.endIndex, self.line.count < Self.maximumLine else { return }
        self.line.append(contentsOf: view[start...])
    }

    /// Reads what came without the end of its line, and says what is wrong with the whole; nil for nothing.
    mutating func finish(now: NIODeadline, note: (Note) -> Void) -> FailureKind? {
        if !self.line.isEmpty {
            self.receive(ByteBuffer(bytes: self.line).readableBytesView, now, note)
        }
        self.endEvent()
        if self.hasError { return .streamError }
        if self.isMalformed || (self.events == 0 && self.hasOtherLines) { return .streamMalformed }
        return self.hasDone ? nil : .streamUnfinished
    }

    private mutating func receive(
        _ line: ByteBufferView, _ now: NIODeadline, _ note: (Note) -> Void
    ) {
        guard let first = line.first, first != UInt8(ascii: "\r") else { return self.endEvent() }
        guard line.starts(with: Self.data) else {
            if self.events == 0, !Self.isField(line) { self.hasOtherLines = true }
            return
        }
        self.events += 1
        self.dataLines += 1
        var data = line.dropFirst(Self.data.count).drop { $0 == UInt8(ascii: " ") }
        while let last = data.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: " ") {
            data = data.dropLast()
        }
        if data.starts(with: Self.done) {
            self.hasDone = true
            return
        }
        if let stamp = Self.number(after: Self.stamp, in: data) {
            note(.age(now - .uptimeNanoseconds(UInt64(stamp))))
        }
        if let tokens = Self.number(after: Self.completionTokens, in: data),
            tokens <= Self.mostTokens
        {
            self.reportedTokens = tokens
        }
        guard Self.hasText(data) else {
            let object = JSONOutline(data)
            self.hasError = self.hasError || object.hasError
            return self.suspect(unless: object.isWhole || data.count >= Self.maximumLine)
        }
        self.suspect(
            unless: data.first == UInt8(ascii: "{") && data.last == UInt8(ascii: "}"))
        self.textEvents += 1
        if let last = self.lastToken { note(.interToken(now - last)) }
        if self.firstToken == nil { self.firstToken = now }
        self.lastToken = now
    }

    /// Several lines of data are one event (HTML standard, 9.2.6), and none need be JSON by itself.
    private mutating func suspect(unless isJSON: Bool) {
        self.isSuspect = !isJSON && self.dataLines == 1
    }

    private mutating func endEvent() {
        self.isMalformed = self.isMalformed || self.isSuspect
        self.isSuspect = false
        self.dataLines = 0
    }

    /// Whether a line is a comment or another field than data: what else comes is no stream of events.
    private static func isField(_ line: ByteBufferView) -> Bool {
        [Self.comment, Self.event, Self.id, Self.retry].contains { line.starts(with: $0) }
    }

    private static func hasText(_ data: ByteBufferView) -> Bool {
        for name in [Self.content, Self.text] {
            guard let range = data.firstRange(of: name) else { continue }
            let value = data[range.upperBound...].drop { $0 == 0x20 || $0 == UInt8(ascii: ":") }
            guard value.first == UInt8(ascii: "\"") else { continue }
            return value.dropFirst().first != UInt8(ascii: "\"")
        }
        return false
    }

    private static func number(after name: [UInt8], in data: ByteBufferView) -> Int? {
        guard let range = data.firstRange(of: name) else { return nil }
        let value = data[range.upperBound...].drop { $0 == 0x20 || $0 == UInt8(ascii: ":") }
        var number: Int?
        for byte in value.prefix(18) {
            guard (0x30...0x39).contains(byte) else { break }
            number = (number ?? 0) * 10 + Int(byte - 0x30)
        }
        return number
    }

    private static let comment = Array(":".utf8)
    private static let event = Array("event:".utf8)
    private static let id = Array("id:".utf8)
    private static let retry = Array("retry:".utf8)
    private static let data = Array("data:".utf8)
    private static let done = Array("[DONE]".utf8)
    private static let content = Array(#""content""#.utf8)
    private static let text = Array(#""text""#.utf8)
    private static let completionTokens = Array(#""completion_tokens""#.utf8)
    private static let stamp = Array(#""stamp_ns""#.utf8)
    /// A thousand million: whoever says more is not counting, and sums of it would not fit.
    private static let mostTokens = 1_000_000_000
    /// 1 MiB: a longer event is not read to its end.
    private static let maximumLine = 1_048_576
}

/// What streamed answers took, all together.
struct InferenceTally: Sendable {
    /// Intended start to the first event with text.
    var firstToken = LatencyHistogram()
    /// Between one event with text and the next.
    var interToken = LatencyHistogram()
    /// (End − first token) / (tokens − 1), one value an answer.
    var perOutputToken = LatencyHistogram()
    /// A stamped event's way here: network and tester.
    var eventAge = LatencyHistogram()
    var outputTokens = 0
    var events = 0
    /// Answers that kept every limit of the SLO.
    var good = 0
    /// Streams that ended without `[DONE]`.
    var withoutDone = 0

    mutating func add(_ other: InferenceTally) {
        self.firstToken.add(other.firstToken)
        self.interToken.add(other.interToken)
        self.perOutputToken.add(other.perOutputToken)
        self.eventAge.add(other.eventAge)
        self.outputTokens += other.outputTokens
        self.events += other.events
        self.good += other.good
        self.withoutDone += other.withoutDone
    }
}
