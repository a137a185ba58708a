internal import Glibc
internal import HTTPTransport
internal import NIOCore

/// A body, with places that are filled in anew for each request.
///
/// `{{sequence}}` a number that counts up, `{{uuid}}` a random UUID, `{{random A B}}` a whole number,
/// `{{real A B}}` a number with four decimals, `{{text A B}}` A to B random letters and
/// `{{text-exponential MEAN MAX}}` letters whose number is distributed exponentially.
package struct PayloadTemplate: Sendable, Equatable {
    enum Part: Sendable, Equatable {
        case literal(ByteBuffer)
        case sequence
        case uuid
        case random(Int, Int)
        case real(Double, Double)
        case text(Int, Int)
        case exponentialText(mean: Double, maximum: Int)
    }

    let parts: [Part]

    /// Reads a template.
    ///
    /// - Throws: `.usage` for a place that is none of the above; `{{` of other meaning is not possible.
    package init(_ bytes: [UInt8]) throws(LoadError) {
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.first {
            guard rest.starts(with: Self.opening) else {
                literal.append(byte)
                rest = rest.dropFirst()
                continue
            }
            let inner = rest.dropFirst(2)
            guard let end = inner.firstRange(of: Self.closing)?.lowerBound else {
                throw .usage("a payload has \"{{\" without \"}}\"")
            }
            let place = String(decoding: inner[..<end], as: UTF8.self)
            if !literal.isEmpty { parts.append(.literal(ByteBuffer(bytes: literal))) }
            literal = []
            parts.append(try Self.part(place))
            rest = inner[(end + 2)...]
        }
        if !literal.isEmpty || parts.isEmpty { parts.append(.literal(ByteBuffer(bytes: literal))) }
        self.parts = parts
    }

    /// The body if it is always the same.
    var constant: ByteBuffer? {
        guard self.parts.count == 1, case .literal(let bytes) = self.parts[0] else { return nil }
        return bytes
    }

    /// Appends the body of request number `sequence`.
    func write(to output: inout ByteBuffer, sequence: Int, random: inout FastRandom) {
        for part in self.parts {
            switch part {
            case .literal(let bytes):
                output.writeImmutableBuffer(bytes)
            case .sequence:
                output.write(atMost: 20) { $0.append(decimal: sequence) }
            case .uuid:
                let uuid = UUIDText(random: &random)
                output.write(atMost: UUIDText.byteCount) { uuid.write(to: &$0) }
            case .random(let low, let high):
                let number = Int.random(in: low...high, using: &random)
                if number < 0 { output.writeStaticString("-") }
                output.write(atMost: 20) { $0.append(decimal: abs(number)) }
            case .real(let low, let high):
                output.writeString(
                    Quantity.plain(Double.random(in: low...high, using: &random), digits: 4))
            case .text(let low, let high):
                Self.letters(Int.random(in: low...high, using: &random), &output, &random)
            case .exponentialText(let mean, let maximum):
                let uniform = Double.random(in: 0x1p-53...1, using: &random)
                Self.letters(min(maximum, Int(-log(uniform) * mean)), &output, &random)
            }
        }
    }

    private static func letters(
        _ count: Int, _ output: inout ByteBuffer, _ random: inout FastRandom
    ) {
        output.write(atMost: count) { writer in
            for position in 0..<count {
                // Words of seven letters, so that tokenizers have something like text.
                let isSpace = position % 8 == 7
                let letter = UInt8(truncatingIfNeeded: random.next() % 26) + UInt8(ascii: "a")
                writer.append(isSpace ? UInt8(ascii: " ") : letter)
            }
        }
    }

    private static func part(_ place: String) throws(LoadError) -> Part {
        let words = place.split(separator: " ")
        let numbers = words.dropFirst().map { word in
            word.hasPrefix("-")
                ? Quantity.number(word.dropFirst()).map { -$0 } : Quantity.number(word)
        }
        switch (words.first, numbers.count) {
        case ("sequence", 0): return .sequence
        case ("uuid", 0): return .uuid
        default: break
        }
        if numbers.count == 2, let low = numbers[0], let high = numbers[1], low <= high {
            switch words.first {
            case "random": return .random(Int(low), Int(high))
            case "real": return .real(low, high)
            case "text" where low >= 0 && high <= self.maximumText:
                return .text(Int(low), Int(high))
            case "text-exponential" where low > 0 && high <= self.maximumText:
                return .exponentialText(mean: low, maximum: Int(high))
            default: break
            }
        }
        throw .usage(
            """
            a payload has {{\(place)}}; there are {{sequence}}, {{uuid}}, {{random A B}}, {{real A B}}, \
            {{text A B}} and {{text-exponential MEAN MAX}}, A not above B, text of at most 16 MiB
            """)
    }

    private static let opening = Array("{{".utf8)
    private static let closing = Array("}}".utf8)
    /// 16 MiB of letters: more is a matter of files.
    private static let maximumText = 16_777_216.0
}

extension Quantity {
    /// A number with so many digits after its point, as JSON has it.
    static func plain(_ number: Double, digits: Int) -> String {
        Self.text(number, digits: digits).filter { $0 != "," }
    }
}
