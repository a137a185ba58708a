import Testing

@testable import HTTPTransport

/// Eight bytes at a time must be the same as one by one.
@Suite struct ByteScanTests {
    @Test("each byte at each place of a value of each length", arguments: 1...19)
    func values(length: Int) {
        for place in 0..<length {
            for byte in UInt8.min...UInt8.max {
                var value = [UInt8](repeating: UInt8(ascii: "a"), count: length)
                value[place] = byte
                let isBlank = byte == 0x20 || byte == 0x09
                let isControl = byte < 0x20 && byte != 0x09 || byte == 0x7f
                let isAtEnd = place == 0 || place == length - 1
                let isValue = value.span.isFieldValue
                #expect(isValue == !(isControl || isBlank && isAtEnd), "\(byte) at \(place)")
            }
        }
    }

    @Test("a control byte after one that is let through is found")
    func afterTab() {
        for value in ["a\tb\u{1}c", "a\t\u{7f}bcdefgh", "12345678\t\n1234567", "\u{80}\t\u{0}x"] {
            let isValue = Array(value.utf8).span.isFieldValue
            #expect(!isValue)
        }
        let isEmpty = [UInt8]().span.isFieldValue
        #expect(isEmpty)
    }

    @Test("names are lowered where no byte is another in disguise")
    func lowered() {
        let name = Array("x-ms-client-request-id".utf8)
        for length in 1...name.count {
            let right = Array(name.prefix(length))
            let isRight = right.span.isLowered
            #expect(isRight)
            for place in right.indices where right[place] & 0x20 != 0 {
                var wrong = right
                wrong[place] &= ~0x20
                let isWrong = wrong.span.isLowered
                #expect(!isWrong, "\(place) of \(length)")
            }
        }
    }

    @Test("a literal is itself only")
    func exactly() {
        for (text, isSame) in [
            (":authority", true), (":Authority", false), (":authorit", false),
            (":authority1", false), (":authoritY", false), ("", false),
        ] {
            let isExactly = Array(text.utf8).span.isExactly(":authority")
            #expect(isExactly == isSame)
        }
    }
}
