/// JSON as the key ring has it: one object whose members are texts and whole numbers.
enum FlatJSON {
    /// A member's value.
    enum Value: Equatable {
        case text(String)
        case number(UInt64)
    }

    /// Writes members in their order.
    static func text(of members: [(name: String, value: Value)]) -> String {
        let lines = members.map { member in
            switch member.value {
            case .text(let text): "  \(self.quoted(member.name)): \(self.quoted(text))"
            case .number(let number): "  \(self.quoted(member.name)): \(number)"
            }
        }
        return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
    }

    /// Writes members on one line.
    static func line(of members: [(name: String, value: Value)]) -> String {
        let parts = members.map { member in
            switch member.value {
            case .text(let text): "\(self.quoted(member.name)):\(self.quoted(text))"
            case .number(let number): "\(self.quoted(member.name)):\(number)"
            }
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    /// Reads an object; nil for anything else: nested values, signs, fractions, a member twice.
    static func members(of bytes: [UInt8]) -> [String: Value]? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var parser = Parser(rest: Array(text.unicodeScalars)[...])
        return parser.object()
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\" + String(scalar)
            case "\u{20}"...: quoted.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return quoted + "\""
    }

    private struct Parser {
        var rest: ArraySlice<Unicode.Scalar>

        mutating func object() -> [String: Value]? {
            guard self.take("{") else { return nil }
            var members: [String: Value] = [:]
            if !self.take("}") {
                repeat {
                    guard let name = self.string(), self.take(":"), members[name] == nil,
                        let value = self.value()
                    else { return nil }
                    members[name] = value
                } while self.take(",")
                guard self.take("}") else { return nil }
            }
            self.skipSpace()
            return self.rest.isEmpty ? members : nil
        }

        private mutating func value() -> Value? {
            self.skipSpace()
            if self.rest.first == "\"" { return self.string().map { .text($0) } }
            let digits = self.rest.prefix { ("0"..."9").contains($0) }
            guard digits.first != "0" || digits.count == 1,
                let number = UInt64(String(String.UnicodeScalarView(digits)))
            else { return nil }
            self.rest.removeFirst(digits.count)
            return .number(number)
        }

        private mutating func string() -> String? {
            guard self.take("\"") else { return nil }
            var text = String.UnicodeScalarView()
            while let scalar = self.rest.popFirst() {
                switch scalar {
                case "\"": return String(text)
                case "\\":
                    guard let escaped = self.escape() else { return nil }
                    text.append(escaped)
                case "\u{20}"...: text.append(scalar)
                default: return nil
                }
            }
            return nil
        }

        private mutating func escape() -> Unicode.Scalar? {
            switch self.rest.popFirst() {
            case "\"": return "\""
            case "\\": return "\\"
            case "/": return "/"
            case "b": return "\u{8}"
            case "f": return "\u{C}"
            case "n": return "\n"
            case "r": return "\r"
            case "t": return "\t"
            case "u":
                let digits = self.rest.prefix(4)
                guard digits.count == 4, digits.allSatisfy({ $0.properties.isASCIIHexDigit }),
                    let value = UInt32(String(String.UnicodeScalarView(digits)), radix: 16)
                else { return nil }
                self.rest.removeFirst(4)
                // Halves of a surrogate pair are no scalars; nothing we read needs them.
                return Unicode.Scalar(value)
            default: return nil
            }
        }

        private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            self.skipSpace()
            guard self.rest.first == scalar else { return false }
            self.rest.removeFirst()
            return true
        }

        private mutating func skipSpace() {
            self.rest = self.rest.drop { [" ", "\n", "\r", "\t"].contains($0) }
        }
    }
}
