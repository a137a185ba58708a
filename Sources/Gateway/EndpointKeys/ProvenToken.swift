internal import Cryptography
internal import State

/// The token a connection proved last, and the digest it has.
///
/// The same token again needs no second digest: whether the digest is a live key of the endpoint is
/// asked anew each time. Holds a copy of what the connection's own request buffer holds anyway, and
/// wipes it when the connection goes. One a connection; loop-bound.
package final class ProvenToken {
    /// `Bearer`, a space and a key.
    private static let byteCount = 73

    private var bytes = [73 of UInt8](repeating: 0)
    private var proven: Digest32?

    /// Nothing proven yet.
    package init() {}

    /// The digest of the key in `authorization`, if it is what was proven; in constant time.
    func digest(of authorization: RawSpan) -> Digest32? {
        guard let proven, authorization.byteCount == Self.byteCount else { return nil }
        return ConstantTime.equal(unsafe self.bytes.span.bytes, authorization) ? proven : nil
    }

    /// Remembers that the key in `authorization` has this digest and was granted.
    func remember(_ authorization: RawSpan, digest: Digest32) {
        guard authorization.byteCount == Self.byteCount else { return }
        for index in 0..<Self.byteCount { self.bytes[index] = authorization.byte(at: index) }
        self.proven = digest
    }

    deinit {
        ConstantTime.wipe(&self.bytes)
    }
}
