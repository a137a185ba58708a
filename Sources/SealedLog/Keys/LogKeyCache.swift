package import Cryptography

/// Log keys that a reader has unwrapped, and how far it has walked from each.
///
/// Keeps step 0 and the last step of each key, so that reading a stream from its first segment to
/// its last walks each step once. Not Sendable: one a thread.
package final class LogKeyCache {
    private var keys: [LogIdentifier: Walk] = [:]
    private let unwrap: (LogIdentifier) throws(SealedLogError) -> LogKey

    /// Makes an empty cache.
    ///
    /// - Parameter unwrap: Gives the log key of that id at step 0. A closure because where keys come
    ///   from, a vault, is a matter of the caller. Throws `.keyRing` where there is none, or where
    ///   its wrapping key is not one of the caller's (`.foreign`).
    package init(unwrap: @escaping (LogIdentifier) throws(SealedLogError) -> LogKey) {
        self.unwrap = unwrap
    }

    /// Runs `body` with the log key of a segment, at its step.
    ///
    /// - Throws: `.keyRing` with `.foreign` if the key is for another stream.
    package func withKey<Value>(
        of header: SegmentHeader, _ hkdf: HKDF,
        _ body: (borrowing LogKey) throws(SealedLogError) -> Value
    ) throws(SealedLogError) -> Value {
        let walk: Walk
        if let known = self.keys[header.logKeyID] {
            walk = known
        } else {
            walk = try Walk(first: self.unwrap(header.logKeyID), hkdf)
            self.keys[header.logKeyID] = walk
        }
        guard walk.streamID == header.streamID else {
            throw .keyRing(path: header.logKeyID.text + KeyRing.suffix, .foreign)
        }
        try walk.go(to: header.step, hkdf)
        return try body(walk.present)
    }

    /// Forgets and wipes all keys.
    package func removeAll() {
        self.keys.removeAll()
    }

    private final class Walk {
        let streamID: LogIdentifier
        private let first: LogKey
        private(set) var present: LogKey

        init(first: consuming LogKey, _ hkdf: HKDF) throws(SealedLogError) {
            self.streamID = first.streamID
            self.present = try first.advanced(by: 0, with: hkdf)
            self.first = first
        }

        func go(to step: UInt32, _ hkdf: HKDF) throws(SealedLogError) {
            if step == self.present.step { return }
            if step > self.present.step {
                self.present = try self.present.advanced(by: step - self.present.step, with: hkdf)
            } else {
                self.present = try self.first.advanced(by: step, with: hkdf)
            }
        }
    }
}
