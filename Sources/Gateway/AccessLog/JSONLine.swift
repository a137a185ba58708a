internal import HTTPTransport
internal import NIOCore
internal import State

/// JSON objects, one a line, written straight into a buffer.
///
/// All text is escaped: control characters, quotes, and every byte that is not ASCII, so that no
/// request can break a line or hide in a terminal (bidirectional controls are not ASCII).
struct JSONLines {
    private(set) var bytes = ByteBuffer()
    /// How many objects were ended.
    private(set) var count = 0
    private var isFirst = true

    mutating func string(_ name: StaticString, _ value: String) {
        self.begin(name)
        self.bytes.writeStaticString("\"")
        for byte in value.utf8 { self.escaped(byte) }
        self.bytes.writeStaticString("\"")
    }

    mutating func string(_ name: StaticString, _ value: StaticString) {
        self.begin(name)
        self.bytes.writeStaticString("\"")
        self.bytes.writeStaticString(value)
        self.bytes.writeStaticString("\"")
    }

    /// The bytes at `range` of `head`; empty if there are none.
    mutating func bytes(_ name: StaticString, _ head: MessageHead?, _ range: Range<Int>?) {
        self.begin(name)
        self.bytes.writeStaticString("\"")
        if let head, let range {
            head.withBytes(range) { for index in $0.indices { self.escaped($0[index]) } }
        }
        self.bytes.writeStaticString("\"")
    }

    mutating func id(
        _ name: StaticString, _ id: RequestIDs.Source, _ ids: RequestIDs, _ head: MessageHead?
    ) {
        switch id {
        case .absent: self.bytes(name, nil, nil)
        case .field(let range): self.bytes(name, head, range)
        case .made:
            self.begin(name)
            self.bytes.writeStaticString("\"")
            self.bytes.write(atMost: RequestIDs.maximumCharacters) { ids.made.write(to: &$0) }
            self.bytes.writeStaticString("\"")
        }
    }

    mutating func number(_ name: StaticString, _ value: Int) {
        self.begin(name)
        self.bytes.write(atMost: 20) { $0.append(decimal: max(value, 0)) }
    }

    /// Milliseconds with three decimals.
    mutating func milliseconds(_ name: StaticString, _ amount: TimeAmount) {
        self.begin(name)
        let microseconds = Int(max(amount.nanoseconds, 0) / 1000)
        self.bytes.write(atMost: 20) { $0.append(decimal: microseconds / 1000) }
        self.bytes.writeStaticString(".")
        self.digits(microseconds % 1000, count: 3)
    }

    /// RFC 3339 in UTC, with milliseconds.
    mutating func time(_ name: StaticString, _ time: UnixTime) {
        self.begin(name)
        let date = CivilDate(daysSince1970: time.seconds / 86400)
        let second = time.seconds % 86400
        self.bytes.writeStaticString("\"")
        self.digits(date.year, count: 4)
        self.bytes.writeStaticString("-")
        self.digits(date.month, count: 2)
        self.bytes.writeStaticString("-")
        self.digits(date.day, count: 2)
        self.bytes.writeStaticString("T")
        self.digits(second / 3600, count: 2)
        self.bytes.writeStaticString(":")
        self.digits(second / 60 % 60, count: 2)
        self.bytes.writeStaticString(":")
        self.digits(second % 60, count: 2)
        self.bytes.writeStaticString(".")
        self.digits(time.nanoseconds / 1_000_000, count: 3)
        self.bytes.writeStaticString("Z\"")
    }

    /// Ends the object and the line.
    mutating func end() {
        self.bytes.writeStaticString("}\n")
        self.count += 1
        self.isFirst = true
    }

    private mutating func begin(_ name: StaticString) {
        self.bytes.writeStaticString(self.isFirst ? "{\"" : ",\"")
        self.isFirst = false
        self.bytes.writeStaticString(name)
        self.bytes.writeStaticString("\":")
    }

    private mutating func escaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): self.bytes.writeStaticString("\\\"")
        case UInt8(ascii: "\\"): self.bytes.writeStaticString("\\\\")
        case 0x20...0x7e: self.bytes.writeInteger(byte)
        default:
            self.bytes.writeStaticString("\\u00")
            self.bytes.writeInteger(Self.hexadecimal(byte >> 4))
            self.bytes.writeInteger(Self.hexadecimal(byte & 15))
        }
    }

    private mutating func digits(_ value: Int, count: Int) {
        var divisor = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            self.bytes.writeInteger(UInt8(truncatingIfNeeded: 48 + value / divisor % 10))
            divisor /= 10
        }
    }

    private static func hexadecimal(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 48 + nibble : 87 + nibble
    }
}
