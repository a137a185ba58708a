internal import Glibc

/// How far a long command has come, on standard error and only where that is a terminal.
struct Progress {
    private let label: String
    private let unit: String
    private let isShown = isatty(STDERR_FILENO) == 1

    init(_ label: String, unit: String) {
        self.label = label
        self.unit = unit
    }

    /// Shows that so many of all are done.
    func show(_ done: Int, of all: Int) {
        guard self.isShown, all > 0 else { return }
        let filled = Self.width * done / all
        let bar =
            String(repeating: "#", count: filled)
            + String(repeating: "-", count: Self.width - filled)
        self.write("\r\(self.label) [\(bar)] \(done) of \(all) \(self.unit)\u{1b}[K")
    }

    /// Takes the line away.
    func end() {
        guard self.isShown else { return }
        self.write("\r\u{1b}[K")
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        // A terminal that is gone is no reason to stop.
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }

    private static let width = 30
}
