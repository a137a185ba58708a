internal import Glibc

/// How a run goes, on standard error and only where that is a terminal.
package struct LiveLine: Sendable {
    private let isShown = isatty(STDERR_FILENO) == 1
    private let seconds: Double

    /// A line for a run of so many seconds.
    package init(seconds: Double) {
        self.seconds = seconds
    }

    /// Shows a second.
    package func show(_ point: SecondPoint) {
        guard self.isShown else { return }
        func time(_ seconds: Double?) -> String {
            seconds.map { Quantity.text(nanoseconds: $0 * 1e9) } ?? "–"
        }
        self.show(
            "\(point.second + 1) of \(Quantity.text(self.seconds)) s  \(point.completed)/s  "
                + "p50 \(time(point.p50))  p99 \(time(point.p99))  max \(time(point.maximum))  "
                + "errors \(point.failed)")
    }

    /// Shows a text in place of the one before.
    package func show(_ text: String) {
        guard self.isShown else { return }
        self.write("\r\(text)\u{1b}[K")
    }

    /// Takes the line away.
    package func end() {
        guard self.isShown else { return }
        self.write("\r\u{1b}[K")
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        // A terminal that is gone is no reason to stop.
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
