internal import Glibc
internal import Synchronization

/// Whether the user has asked to end, by SIGINT or SIGTERM.
enum Interruption {
    private static let count = Atomic<Int>(0)

    static var hasCome: Bool { self.count.load(ordering: .relaxed) > 0 }

    /// From now on the first signal is noted here; a second ends the process at once.
    static func listen() {
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                // What a handler may do: an atomic, signal(2) and raise(3) are safe (signal-safety(7)).
                if Interruption.count.add(1, ordering: .relaxed).newValue > 1 {
                    signal(number, SIG_DFL)
                    raise(number)
                }
            }
        }
    }
}
