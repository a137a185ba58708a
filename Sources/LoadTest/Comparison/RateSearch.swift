/// Finds the highest rate that holds: doubles or halves until it is between two, then bisects.
///
/// Pure: it is told what each trial found.
struct RateSearch {
    /// The highest rate that held.
    private(set) var held: Double?
    /// The lowest that did not.
    private(set) var broken: Double?
    private(set) var trials = 0
    /// The rate to try next; nil once the answer is found.
    private(set) var next: Double?
    /// The lowest rate that is tried, unless it begins below.
    let lowest: Double

    /// A search that begins at `start`, and tries nothing below `lowest`.
    init(start: Double, lowest: Double = Self.lowest) {
        self.next = start
        self.lowest = max(lowest, Self.lowest)
    }

    /// Takes what the trial of ``next`` found.
    mutating func record(isHeld: Bool) {
        guard let rate = self.next else { return }
        self.trials += 1
        if isHeld { self.held = rate } else { self.broken = rate }
        self.next = self.trials < Self.maximumTrials ? self.following : nil
    }

    private var following: Double? {
        switch (self.held, self.broken) {
        case (let held?, let broken?):
            // The middle on a scale of ratios.
            broken / held > Self.precision ? (held * broken).squareRoot() : nil
        case (let held?, nil): held < Self.highest ? min(held * 2, Self.highest) : nil
        case (nil, let broken?): broken > self.lowest ? max(broken / 2, self.lowest) : nil
        case (nil, nil): nil
        }
    }

    /// 5 %: repeated runs differ by as much.
    private static let precision = 1.05
    /// From 1 a second to 1,000,000 and back to within 5 % takes 25.
    private static let maximumTrials = 32
    static let lowest = 1.0
    private static let highest = 1e6
}
