internal import NIOCore

/// What one pass over an event's bytes tells of it without parsing JSON.
struct JSONOutline {
    /// Whether it is one object, as far as its braces, brackets and quotes say.
    private(set) var isWhole = false
    /// Whether it has a member `error` of its own that is not null.
    private(set) var hasError = false

    /// Looks at `data`, which has no white space at its ends.
    init(_ data: ByteBufferView) {
        guard data.first == UInt8(ascii: "{") else { return }
        let second = data.dropFirst().first { $0 != UInt8(ascii: " ") }
        guard second == UInt8(ascii: "\"") || second == UInt8(ascii: "}") else { return }
        var depth = 0
        // Where the present string begins; nil outside of strings.
        var string: Int?
        var isEscaped = false
        for (position, byte) in zip(data.indices, data) {
            if let start = string {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    string = nil
                    if depth == 1, data[start..<position].elementsEqual(Self.error) {
                        self.hasError = self.hasError || Self.isSet(data[(position + 1)...])
                    }
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): string = position + 1
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                // What follows the end of the object belongs to none.
                if depth == 0 { self.isWhole = position == data.endIndex - 1 }
                guard depth > 0 else { return }
            default: break
            }
        }
    }

    /// Whether `rest` begins with a colon and a value other than null: what is before it is a name then.
    private static func isSet(_ rest: ByteBufferView) -> Bool {
        let rest = rest.drop { $0 == UInt8(ascii: " ") }
        guard rest.first == UInt8(ascii: ":") else { return false }
        return !rest.dropFirst().drop { $0 == UInt8(ascii: " ") }.starts(with: Self.null)
    }

    private static let error = Array("error".utf8)
    private static let null = Array("null".utf8)
}
