import Foundation
import HTTPTransport
import NIOCore
import Testing

@testable import LoadTest

/// Bodies that differ from request to request.
struct PayloadTests {
    private static func body(_ template: String, sequence: Int = 7) throws -> String {
        var random = FastRandom()
        var output = ByteBuffer()
        try PayloadTemplate(Array(template.utf8)).write(
            to: &output, sequence: sequence, random: &random)
        return String(buffer: output)
    }

    @Test("a body without places is always the same")
    func constant() throws {
        let template = try PayloadTemplate(Array(#"{"a": {"b": 1}}"#.utf8))
        #expect(template.constant.map { String(buffer: $0) } == #"{"a": {"b": 1}}"#)
    }

    @Test("places are filled in")
    func places() throws {
        #expect(try Self.body("a{{sequence}}b", sequence: 42) == "a42b")
        #expect(try Self.body("{{uuid}}").count == 36)
        #expect(try Self.body("{{uuid}}") != Self.body("{{uuid}}"))
        for _ in 0..<100 {
            let number = try #require(Int(Self.body("{{random -3 3}}")))
            #expect((-3...3).contains(number))
            let real = try #require(Double(Self.body("{{real 1.5 2.5}}")))
            #expect((1.5...2.5).contains(real))
            #expect((5...9).contains(try Self.body("{{text 5 9}}").count))
            #expect(try Self.body("{{text-exponential 10 30}}").count <= 30)
        }
    }

    @Test("exponential lengths have the mean that was asked for")
    func exponential() throws {
        let template = try PayloadTemplate(Array("{{text-exponential 100 100000}}".utf8))
        var random = FastRandom()
        var total = 0
        for _ in 0..<5000 {
            var output = ByteBuffer()
            template.write(to: &output, sequence: 0, random: &random)
            total += output.readableBytes
        }
        // The mean of 5,000 has a standard deviation of 1.4.
        #expect(abs(Double(total) / 5000 - 99.5) < 9)
    }

    @Test(
        "what is no template is refused",
        arguments: [
            "{{", "{{sequence}", "{{nothing}}", "{{random 1}}", "{{random 5 1}}", "{{text -1 5}}",
            "{{uuid 3}}", "{{}}", "{{text 1 99999999}}",
        ])
    func refused(_ text: String) {
        #expect(throws: LoadError.self) { try PayloadTemplate(Array(text.utf8)) }
    }

    @Test("keys are used as often as their weights say, and bodies one after the other")
    func weights() throws {
        let folder = "/tmp/scoregate-load-\(getpid())"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var plan = RequestPlan()
        for (name, weight) in [("often", ":3"), ("seldom", "")] {
            let path = "\(folder)/\(name)"
            let isMade = FileManager.default.createFile(
                atPath: path, contents: Data(name.utf8), attributes: [.posixPermissions: 0o600])
            try #require(isMade)
            plan.keys.append(try KeyPlan(path + weight))
        }
        plan.payloads = try ["a", "b", "c"].map { try PayloadTemplate(Array($0.utf8)) }
        let maker = try RequestMaker(
            plan, target: LoadTarget("http://127.0.0.1/"), worker: 0, of: 1)
        var uses: [ObjectIdentifier: Int] = [:]
        var bodies = ""
        for _ in 0..<4000 {
            let request = maker.next()
            uses[ObjectIdentifier(request.head), default: 0] += 1
            bodies += String(buffer: request.body)
            maker.sent(request)
        }
        // 1,000 of 4,000 with a standard deviation of 27.
        let counts = uses.values.sorted()
        #expect(counts.count == 2)
        #expect((850...1150).contains(try #require(counts.first)))
        #expect(bodies.hasPrefix("abcabcabc"))
    }

    @Test("a file is one body as it is, or a body a line that is not empty")
    func files() throws {
        let path = "/tmp/scoregate-load-\(UUID().uuidString).jsonl"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "{\"a\": 1}\n\r\n{{sequence}}\n".write(
            toFile: path, atomically: true, encoding: .utf8)
        func texts(_ templates: [PayloadTemplate]) -> [String] {
            var random = FastRandom()
            return templates.map { template in
                var output = ByteBuffer()
                template.write(to: &output, sequence: 9, random: &random)
                return String(buffer: output)
            }
        }
        #expect(texts([try PayloadFile.body(path)]) == ["{\"a\": 1}\n\r\n9\n"])
        #expect(texts(try PayloadFile.lines(path)) == ["{\"a\": 1}", "9"])
        try "\n\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: LoadError.usage("\(path): no line with a body")) {
            try PayloadFile.lines(path)
        }
    }

    @Test("a stream's tokens and their times are counted, however it is cut")
    func stream() {
        let stream = """
            data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}

            data: {"choices": [{"delta": {"content": "one "}}], "stamp_ns": 900}

            : a comment
            data: {"choices": [{"delta": {"content":"two"}}]}

            data: {"choices": [], "usage": {"completion_tokens": 5}}

            data: [DONE]


            """
        let bytes = Array(stream.utf8)
        for cut in [1, 7, 64, bytes.count] {
            var meter = EventStreamMeter()
            var gaps = 0
            var ages: [Int64] = []
            for start in stride(from: 0, to: bytes.count, by: cut) {
                meter.receive(
                    ByteBuffer(bytes: bytes[start..<min(start + cut, bytes.count)]),
                    now: .uptimeNanoseconds(1000)
                ) { note in
                    switch note {
                    case .interToken: gaps += 1
                    case .age(let time): ages.append(time.nanoseconds)
                    }
                }
            }
            #expect(meter.events == 5)
            #expect(meter.textEvents == 2)
            #expect(meter.tokens == 5)
            #expect(meter.hasDone)
            #expect(gaps == 1)
            #expect(ages == [100])
        }
    }

    @Test(
        "what ends a stream otherwise than it should is told apart",
        arguments: [
            (#"data: {"choices": [{"delta": {"content": "a"}}]}"# + "\n\ndata: [DONE]\n\n", nil),
            // The end of the last line is not always sent, and lines may end as in a mail.
            (#"data: {"choices": []}"# + "\r\n\r\ndata: [DONE]", nil),
            // One event of several lines.
            ("data: {\ndata: \"choices\": []}\n\ndata: [DONE]\n\n", nil),
            (
                #"data: {"error": null, "choices": [{"delta": {"role": "error"}}]}"#
                    + "\n\ndata: [DONE]\n\n", nil
            ),
            (
                #"data: {"choices": [{"error": 1, "delta": {"content": "\"error\": 1"}}]}"#
                    + "\n\ndata: [DONE]\n\n", nil
            ),
            (#"data: {"choices": [{"delta": {"content": "a"}}]}"# + "\n\n", .streamUnfinished),
            ("", .streamUnfinished),
            (": a comment\n\n", .streamUnfinished),
            (#"data: {"choices": []}"# + "\n\ndata: {\"error\": {\"code\": 1}}\n\n", .streamError),
            (#"data: {"id": "a{", "error" : "b"}"# + "\n\ndata: [DONE]\n\n", .streamError),
            ("data: {{{{\n\ndata: [DONE]\n\n", .streamMalformed),
            ("data: {{{{", .streamMalformed),
            (#"data: {"choices": [{"delta": {"content": "a"#, .streamMalformed),
            (
                #"data: {"choices": [{"delta": {"role": "a"}"# + "\n\ndata: [DONE]\n\n",
                .streamMalformed
            ),
            ("[]", .streamMalformed),
            ("data: []\n\ndata: [DONE]\n\n", .streamMalformed),
            (#"{"error": {"message": "no stream"}}"#, .streamMalformed),
        ] as [(String, FailureKind?)])
    func streamFailures(_ stream: String, _ failure: FailureKind?) {
        let bytes = Array(stream.utf8)
        for cut in [1, 5, max(bytes.count, 1)] {
            var meter = EventStreamMeter()
            for start in stride(from: 0, to: bytes.count, by: cut) {
                meter.receive(
                    ByteBuffer(bytes: bytes[start..<min(start + cut, bytes.count)]),
                    now: .uptimeNanoseconds(1)
                ) { _ in }
            }
            #expect(meter.finish(now: .uptimeNanoseconds(1)) { _ in } == failure, "\(cut)")
        }
    }

    @Test("a number of tokens that no answer can have is none")
    func impossibleTokens() {
        var tally = InferenceTally()
        for number in ["999999999999999999", "99999999999999999999"] {
            var meter = EventStreamMeter()
            let event =
                #"data: {"choices": [{"delta": {"content": "a"}}], "usage": {"completion_tokens": "#
                + number + "}}\n"
            meter.receive(ByteBuffer(string: event), now: .uptimeNanoseconds(1)) { _ in }
            #expect(meter.tokens == 1)
            tally.outputTokens = meter.tokens
        }
        #expect(tally.outputTokens == 1)
    }
}
