/// An HTTP/1.1 answer, read without any code of the program under test.
struct RawAnswer: Sendable {
    var status = 0
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// Bytes of the head and body as they came.
    var byteCount = 0

    /// The value of the first field of this name, in lower case.
    subscript(_ name: String) -> String? { self.fields.first { $0.name == name }?.value }

    func values(_ name: String) -> [String] {
        self.fields.filter { $0.name == name }.map(\.value)
    }

    var text: String { String(decoding: self.body, as: UTF8.self) }

    /// All whole answers at the start of `bytes`; 100 is one of them.
    ///
    /// `isEnded`: no more will come, so an answer may end with the connection. `methods`: of the
    /// requests in order; what is missing is POST.
    static func parse(_ bytes: [UInt8], isEnded: Bool, methods: [String] = []) -> [RawAnswer] {
        var answers: [RawAnswer] = []
        var rest = bytes[...]
        var methods = methods[...]
        while !rest.isEmpty {
            let method = methods.first ?? "POST"
            guard let answer = self.first(of: rest, isEnded: isEnded, isHead: method == "HEAD")
            else { break }
            if answer.status >= 200 { methods = methods.dropFirst() }
            rest = rest.dropFirst(answer.byteCount)
            answers.append(answer)
        }
        return answers
    }

    private static func first(
        of bytes: ArraySlice<UInt8>, isEnded: Bool, isHead: Bool
    ) -> RawAnswer? {
        guard let (lines, bodyStart) = HeadLines.read(bytes) else { return nil }
        var answer = RawAnswer()
        let words = lines[0].split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            return nil
        }
        answer.status = status
        answer.fields = HeadLines.fields(lines)
        let rest = bytes[bodyStart...]
        if isHead || status < 200 || status == 204 || status == 304 {
            answer.byteCount = bodyStart - bytes.startIndex
        } else if answer["transfer-encoding"] == "chunked" {
            guard let (body, count) = HeadLines.chunked(rest) else { return nil }
            answer.body = body
            answer.byteCount = bodyStart - bytes.startIndex + count
        } else if let length = answer["content-length"].flatMap({ Int($0) }) {
            guard rest.count >= length else { return nil }
            answer.body = Array(rest.prefix(length))
            answer.byteCount = bodyStart - bytes.startIndex + length
        } else {
            guard isEnded else { return nil }
            answer.body = Array(rest)
            answer.byteCount = bytes.count
        }
        return answer
    }
}

/// A request as a backend received it.
struct RawRequest: Sendable {
    /// How many requests were whole before it, on all connections of its backend.
    var number = 0
    var method = ""
    var target = ""
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// Its head's bytes as they came, and how many bytes it has in all.
    var head: [UInt8] = []
    var byteCount = 0

    subscript(_ name: String) -> String? { self.fields.first { $0.name == name }?.value }

    func values(_ name: String) -> [String] {
        self.fields.filter { $0.name == name }.map(\.value)
    }

    var path: String { String(self.target.prefix { $0 != "?" }) }

    /// The head at the start of `bytes`, if it is whole.
    static func head(of bytes: ArraySlice<UInt8>) -> RawRequest? {
        guard let (lines, bodyStart) = HeadLines.read(bytes) else { return nil }
        var request = RawRequest()
        let words = lines[0].split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3 else { return nil }
        request.method = String(words[0])
        request.target = String(words[1])
        request.fields = HeadLines.fields(lines)
        request.head = Array(bytes[bytes.startIndex..<bodyStart])
        request.byteCount = request.head.count
        return request
    }

    /// The request at the start of `bytes`, if it is whole.
    static func whole(of bytes: ArraySlice<UInt8>) -> RawRequest? {
        guard var request = Self.head(of: bytes) else { return nil }
        let rest = bytes.dropFirst(request.byteCount)
        if request["transfer-encoding"] != nil {
            guard let (body, count) = HeadLines.chunked(rest) else { return nil }
            request.body = body
            request.byteCount += count
        } else if let length = request["content-length"].flatMap({ Int($0) }) {
            guard rest.count >= length else { return nil }
            request.body = Array(rest.prefix(length))
            request.byteCount += length
        }
        return request
    }
}

enum HeadLines {
    /// The lines up to the empty one, and where the body starts.
    static func read(_ bytes: ArraySlice<UInt8>) -> (lines: [String], bodyStart: Int)? {
        var lines: [String] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0a) {
            let line = bytes[start..<end]
            let text = String(decoding: line.last == 0x0d ? line.dropLast() : line, as: UTF8.self)
            start = end + 1
            if text.isEmpty { return lines.isEmpty ? nil : (lines, start) }
            lines.append(text)
        }
        return nil
    }

    static func fields(_ lines: [String]) -> [(name: String, value: String)] {
        lines.dropFirst().map { line in
            let name = line.prefix { $0 != ":" }
            let value = line.dropFirst(name.count + 1)
            return (name.lowercased(), String(value.drop { $0 == " " }))
        }
    }

    /// A whole chunked body without trailers, and how many bytes its framing has.
    static func chunked(_ bytes: ArraySlice<UInt8>) -> (body: [UInt8], count: Int)? {
        var body: [UInt8] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0a) {
            let digits = String(decoding: bytes[start..<end].dropLast(), as: UTF8.self)
            guard let size = Int(digits, radix: 16) else { return nil }
            let next = end + 1 + size + 2
            guard bytes.endIndex >= next else { return nil }
            if size == 0 { return (body, next - bytes.startIndex) }
            body += bytes[(end + 1)..<(end + 1 + size)]
            start = next
        }
        return nil
    }
}
