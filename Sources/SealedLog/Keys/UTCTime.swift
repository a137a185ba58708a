/// Times as RFC 3339 writes them, in UTC with whole seconds: `2026-01-02T03:04:05Z`.
enum UTCTime {
    /// Writes Unix milliseconds, cut to the second.
    static func text(milliseconds: UInt64) -> String {
        let seconds = milliseconds / 1000
        let (year, month, day) = self.date(days: Int(seconds / 86_400))
        let rest = Int(seconds % 86_400)
        return "\(year)-\(two(month))-\(two(day))T"
            + "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    /// Reads what ``text(milliseconds:)`` writes, as Unix milliseconds; nil for anything else.
    static func milliseconds(_ text: String) -> UInt64? {
        // No sign: a part that is negative would count back before 1970.
        let form = "dddd-dd-ddTdd:dd:ddZ".utf8
        guard text.utf8.count == form.count,
            zip(text.utf8, form).allSatisfy({ byte, place in
                place == UInt8(ascii: "d")
                    ? (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) : byte == place
            })
        else { return nil }
        let parts = text.split(separator: "T")
        let date = parts[0].split(separator: "-").compactMap { Int($0) }
        let time = parts[1].dropLast().split(separator: ":").compactMap { Int($0) }
        guard date.count == 3, time.count == 3, (1970...9999).contains(date[0]) else { return nil }
        let (year, month, day) = (date[0], date[1], date[2])
        // Days from 1970-01-01, with years that begin in March so that the leap day comes last.
        let marchYear = month <= 2 ? year - 1 : year
        let days =
            365 * marchYear + marchYear / 4 - marchYear / 100 + marchYear / 400
            + (153 * ((month + 9) % 12) + 2) / 5 + day - 1 - 719_468
        let seconds = 3600 * time[0] + 60 * time[1] + time[2]
        let milliseconds = UInt64(86_400_000 * days + 1000 * seconds)
        // Whatever is no date does not come back as it was.
        return self.text(milliseconds: milliseconds) == text ? milliseconds : nil
    }

    private static func date(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = (shiftedMonth + 2) % 12 + 1
        return (
            era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month,
            dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        )
    }

    private static func two(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
