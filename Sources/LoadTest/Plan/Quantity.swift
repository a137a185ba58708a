internal import Glibc
package import NIOCore

/// Numbers with units, as the command line has them.
package enum Quantity {
    /// A duration: `250us`, `5ms`, `30s`, `1.5m`, `1h`; nil if it is none.
    package static func duration(_ text: some StringProtocol) -> TimeAmount? {
        let units: [(String, Double)] = [
            ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
        ]
        for (unit, nanoseconds) in units where text.hasSuffix(unit) {
            guard let number = Self.number(text.dropLast(unit.count)) else { continue }
            let total = number * nanoseconds
            return total <= Self.longest ? .nanoseconds(Int64(total)) : nil
        }
        return nil
    }

    /// A number of bytes: `512`, `64k`, `10M`, in powers of 1024, at most 10^15; nil if it is none.
    package static func bytes(_ text: some StringProtocol) -> Int? {
        let units: [(String, Double)] = [("k", 1024), ("M", 1_048_576), ("G", 1_073_741_824)]
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let number = Self.number(text.dropLast(1)), number * factor <= Self.mostBytes
            else { return nil }
            return Int(number * factor)
        }
        return Self.number(text).map { Int($0) }
    }

    /// A share of 0 to 1: `5%` or `0.05`; nil if it is none.
    package static func share(_ text: some StringProtocol) -> Double? {
        let share =
            text.hasSuffix("%") ? Self.number(text.dropLast(1)).map { $0 / 100 } : number(text)
        return share.flatMap { $0 <= 1 ? $0 : nil }
    }

    /// A decimal number that is not negative, at most 10^12; nil if it is none.
    package static func number(_ text: some StringProtocol) -> Double? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e })
        else { return nil }
        return Double(String(text)).flatMap { $0 <= 1e12 ? $0 : nil }
    }

    /// A duration as people read it: `873 µs`, `5.02 ms`, `1.20 s`.
    package static func text(nanoseconds: Double) -> String {
        switch nanoseconds {
        case ..<1e3: "\(Self.text(nanoseconds, digits: 0)) ns"
        case ..<1e6: "\(Self.text(nanoseconds / 1e3)) µs"
        case ..<1e9: "\(Self.text(nanoseconds / 1e6)) ms"
        default: "\(Self.text(nanoseconds / 1e9)) s"
        }
    }

    /// Three significant digits, or more where the number has more before its point.
    package static func text(_ number: Double) -> String {
        switch abs(number) {
        case ..<10: Self.text(number, digits: 2)
        case ..<100: Self.text(number, digits: 1)
        default: Self.text(number, digits: 0)
        }
    }

    /// A number with so many digits after its point.
    package static func text(_ number: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let rounded = (abs(number) * scale).rounded()
        guard rounded < 1e15 else { return "\(number)" }
        let sign = number < 0 && rounded > 0 ? "-" : ""
        let whole = Int(rounded)
        guard digits > 0 else { return sign + Self.grouped(whole) }
        let fraction = String(whole % Int(scale))
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return sign + Self.grouped(whole / Int(scale)) + "." + zeros + fraction
    }

    /// A number with at most three digits after its point, and no zeros at its end.
    package static func short(_ number: Double) -> String {
        var text = Self.text(number, digits: 3)
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    /// A number of bytes as people read it, in powers of 1024.
    package static func text(bytes: Int) -> String {
        switch Double(bytes) {
        case ..<1024: "\(bytes) B"
        case ..<1_048_576: "\(Self.text(Double(bytes) / 1024)) KiB"
        case ..<1_073_741_824: "\(Self.text(Double(bytes) / 1_048_576)) MiB"
        default: "\(Self.text(Double(bytes) / 1_073_741_824)) GiB"
        }
    }

    private static func grouped(_ number: Int) -> String {
        var digits = String(number)
        var position = digits.count - 3
        while position > 0 {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: position))
            position -= 3
        }
        return digits
    }

    /// A week: longer than anybody tests, and far from what 64 bits of nanoseconds hold.
    private static let longest = 604_800e9
    /// A petabyte: more than anybody sends, and far from what 64 bits hold.
    private static let mostBytes = 1e15
}
