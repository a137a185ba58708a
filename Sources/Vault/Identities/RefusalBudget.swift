/// How many refusals the audit takes: 60 a minute, so that strangers can neither fill the disk nor push
/// out what services did; the others are counted.
///
/// Time comes in as an argument.
struct RefusalBudget {
    private var minuteStart: Int64?
    private var written = 0
    private var leftOut = 0

    /// Takes an entry's place at `now`, in milliseconds.
    ///
    /// - Returns: How many were left out since the last one that was written; nil if this is left out too.
    mutating func take(now: Int64) -> Int? {
        if self.minuteStart.map({ now < $0 || now - $0 >= Self.minute }) ?? true {
            self.minuteStart = now
            self.written = 0
        }
        guard self.written < Self.entries else {
            self.leftOut += 1
            return nil
        }
        self.written += 1
        defer { self.leftOut = 0 }
        return self.leftOut
    }

    private static let minute: Int64 = 60_000
    /// 60 a minute: 31 million a year under attack, of which the audit keeps the last ten.
    private static let entries = 60
}
