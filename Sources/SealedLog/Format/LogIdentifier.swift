internal import Cryptography

/// 16 bytes that name a stream, a segment, a log key, a process start or a request.
package struct LogIdentifier: Hashable, Comparable, Sendable {
    /// Bytes 0 to 7, big-endian.
    package let high: UInt64
    /// Bytes 8 to 15, big-endian.
    package let low: UInt64

    /// How many bytes it has.
    package static let byteCount = 16

    /// What stands where there is no segment to name.
    package static let zero = LogIdentifier(high: 0, low: 0)

    /// The identifier of these two halves, most significant first, as a UUID has them.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The identifier at `offset` of `bytes`, which must have all of it.
    package init(_ bytes: RawSpan, at offset: Int) {
        self.high = bytes.bigEndian(UInt64.self, at: offset)
        self.low = bytes.bigEndian(UInt64.self, at: offset + 8)
    }

    /// Reads 32 lower-case hexadecimal digits; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard let bytes = Hexadecimal.bytes(of: text), bytes.count == Self.byteCount else {
            return nil
        }
        self.init(bytes.rawSpan, at: 0)
    }

    /// A new one from the kernel's random numbers.
    package static func random() throws(SealedLogError) -> LogIdentifier {
        let bytes = try withCryptography { () throws(CryptographyError) in
            try SystemRandom.bytes(count: self.byteCount)
        }
        return LogIdentifier(bytes.rawSpan, at: 0)
    }

    /// The 16 bytes.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(self)
        return bytes
    }

    /// The bytes as 32 lower-case digits.
    package var text: String { hexadecimal(self.high) + hexadecimal(self.low) }

    /// Orders by bytes, as index frames do.
    package static func < (first: LogIdentifier, second: LogIdentifier) -> Bool {
        (first.high, first.low) < (second.high, second.low)
    }
}

/// `number` as 16 lower-case digits.
func hexadecimal(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

extension [UInt8] {
    mutating func append(_ identifier: LogIdentifier) {
        self.append(bigEndian: identifier.high)
        self.append(bigEndian: identifier.low)
    }
}
