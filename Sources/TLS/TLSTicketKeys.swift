internal import COpenSSL
internal import Cryptography
internal import Synchronization

/// The keys session tickets are sealed with (RFC 5077, 4).
///
/// One a process, so that a ticket of one worker resumes at another. Keys are random and in memory
/// only: a restart forgets them. Each is issued under for an hour and accepted for two more.
///
/// Sendable: touched in handshakes only, under a lock held for a copy of 80 bytes.
package final class TLSTicketKeys: Sendable {
    /// One key: its public name, a key for AES-256-CBC and one for HMAC-SHA-256.
    struct Key: Sendable {
        var name: (UInt64, UInt64)
        var encryption: InlineArray<32, UInt8>
        var authentication: InlineArray<32, UInt8>

        /// Wipes this copy.
        mutating func cleanse() { unsafe OPENSSL_cleanse(&self, MemoryLayout<Self>.size) }
    }

    private struct State {
        var keys: [Key] = []
        var issuedSince: ContinuousClock.Instant
    }

    private let state: Mutex<State>

    /// Makes the first key.
    package init() {
        var state = State(issuedSince: .now)
        state.keys.append(Self.makeKey())
        self.state = Mutex(state)
    }

    /// Makes the next key at once; the two before it stay good for the tickets they sealed.
    package func rotate() {
        self.state.withLock { Self.rotate(&$0) }
    }

    /// The key to seal with; makes a new one when the present one has served its hour.
    func current() -> Key {
        self.state.withLock { state in
            if state.issuedSince.duration(to: .now) >= Self.period { Self.rotate(&state) }
            return state.keys[0]
        }
    }

    /// The key of that name and whether it is the present one; nil if it is unknown or too old.
    func find(name: (UInt64, UInt64)) -> (key: Key, isCurrent: Bool)? {
        self.state.withLock { state in
            if state.issuedSince.duration(to: .now) >= Self.period { Self.rotate(&state) }
            guard let index = state.keys.firstIndex(where: { $0.name == name }) else { return nil }
            return (state.keys[index], index == 0)
        }
    }

    private static func rotate(_ state: inout State) {
        // After a quiet time more than one period may have passed: then the old ones are too old.
        let periods = state.issuedSince.duration(to: .now) / self.period
        let kept = max(0, self.acceptedOldKeys - max(0, Int(periods) - 1))
        let keys = [self.makeKey()] + state.keys.prefix(kept)
        // Those that are kept have been copied.
        for index in state.keys.indices { state.keys[index].cleanse() }
        state.keys = keys
        state.issuedSince = .now
    }

    private static func makeKey() -> Key {
        // Before OpenSSL's first use, or it would start with settings of its own.
        _ = try? OpenSSLLibrary.initialise()
        var key = Key(
            name: (0, 0), encryption: .init(repeating: 0), authentication: .init(repeating: 0))
        let answer = unsafe withUnsafeMutableBytes(of: &key) {
            unsafe RAND_priv_bytes(
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), CInt($0.count))
        }
        precondition(answer == 1, "the system has random bytes")
        return key
    }

    private static let period = Duration.seconds(3_600)
    private static let acceptedOldKeys = 2
}
