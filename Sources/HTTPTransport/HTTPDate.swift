internal import NIOCore

/// The value of the Date field, formatted anew once a second.
///
/// IMF-fixdate, RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, always 29 bytes.
package struct HTTPDate {
    private var second = Int.min
    private var text = ByteBuffer()

    /// A cache that has formatted nothing yet.
    package init() {}

    /// How many bytes a date has.
    package static var byteCount: Int { 29 }

    /// Appends the date at `second` since 1970 to `output`.
    package mutating func append(second: Int, to output: inout ByteWriter) {
        if second != self.second {
            self.second = second
            self.format()
        }
        output.append(self.text)
    }

    private mutating func format() {
        let day = self.second.flooredDivision(by: 86400)
        let time = self.second - day * 86400
        let date = CivilDate(daysSince1970: day)
        self.text.clear()
        self.text.writeStaticString(weekdays[(day % 7 + 7 + 4) % 7])
        self.text.writeStaticString(", ")
        self.append(digits: 2, of: date.day)
        self.text.writeStaticString(months[date.month - 1])
        self.append(digits: 4, of: date.year)
        self.text.writeStaticString(" ")
        self.append(digits: 2, of: time / 3600)
        self.text.writeStaticString(":")
        self.append(digits: 2, of: time / 60 % 60)
        self.text.writeStaticString(":")
        self.append(digits: 2, of: time % 60)
        self.text.writeStaticString(" GMT")
    }

    private mutating func append(digits: Int, of number: Int) {
        var divisor = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            self.text.writeInteger(ASCII.zero + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }
}

/// A date of the Gregorian calendar.
package struct CivilDate {
    /// Of the common era.
    package let year: Int
    /// 1 to 12.
    package let month: Int
    /// 1 to 31.
    package let day: Int

    /// The date so many days after 1 January 1970.
    ///
    /// Counts in years that begin in March, so that the leap day is the last one, and in eras of 400
    /// years, which all have 146,097 days.
    package init(daysSince1970: Int) {
        let days = daysSince1970 + 719_468
        let era = days.flooredDivision(by: 146_097)
        let dayOfEra = days - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        self.day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        self.month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        self.year = yearOfEra + era * 400 + (self.month <= 2 ? 1 : 0)
    }
}

extension Int {
    fileprivate func flooredDivision(by divisor: Int) -> Int {
        self >= 0 ? self / divisor : (self + 1) / divisor - 1
    }
}

private let weekdays: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
private let months: [StaticString] = [
    " Jan ", " Feb ", " Mar ", " Apr ", " May ", " Jun ", " Jul ", " Aug ", " Sep ", " Oct ",
    " Nov ", " Dec ",
]
