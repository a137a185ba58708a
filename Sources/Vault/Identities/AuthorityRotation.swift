internal import Cryptography
internal import State

/// Which trust roots and intermediates there shall be, by the clock it is given.
///
/// A trust root's life:
///
///     (none) ─▶ signing ─────────────────────────────▶ outgoing ─▶ retired
///     (none) ─▶ published ─ two leaf lives ─▶ signing     two leaf lives
///
/// A new root is published while the old one signs: every service renews several times in two leaf
/// lives, and so has the new root before anybody shows a certificate under it. The old root stays
/// trusted until all it has signed has expired. Under the root that signs there is an intermediate,
/// which alone issues; one that is replaced retires at once, because chains carry their own.
struct AuthorityRotation {
    /// How long the certificates of services are valid, in seconds: the longest there are and will be.
    let leafSeconds: Int64

    /// One thing to be done.
    enum Step: Equatable {
        /// Make a trust root that begins in this state.
        case makeRoot(AuthorityRecord.State)
        /// Make an intermediate under this root, in the place of another, if there is one.
        case makeIntermediate(root: [UInt8], replacing: [UInt8]?)
        /// Let a published root sign, and the one that signed so far go.
        case promote(root: [UInt8], replacing: [UInt8]?)
        /// Trust a root no more, nor what stands under it.
        case retire(root: [UInt8])
    }

    /// The next thing to be done with all the authorities there are and were; nil if all is as it
    /// shall be at `now`, Unix time in seconds.
    func step(_ present: [AuthorityRecord], now: Int64) -> Step? {
        let roots = present.filter { $0.issuerID == nil }
        let signing = roots.first { $0.state == .signing }
        if let old = roots.first(where: { $0.state == .outgoing && self.isOver($0, now: now) }) {
            return .retire(root: old.id)
        }
        let published = roots.first { $0.state == .published }
        if let published, signing == nil || self.isOver(published, now: now) {
            return .promote(root: published.id, replacing: signing?.id)
        }
        guard let signing else { return .makeRoot(.signing) }
        guard signing.certificate.notAfter > now else { return .retire(root: signing.id) }
        if published == nil, signing.certificate.notAfter - now < Self.rootRemainderSeconds {
            return .makeRoot(.published)
        }
        let intermediate = present.first { $0.issuerID == signing.id && $0.state == .signing }
        guard let intermediate else {
            return .makeIntermediate(root: signing.id, replacing: nil)
        }
        let end = intermediate.certificate.notAfter
        // One that ends with its root cannot be had for longer.
        if end - now < Self.intermediateRemainderSeconds, end < signing.certificate.notAfter {
            return .makeIntermediate(root: signing.id, replacing: intermediate.id)
        }
        return nil
    }

    /// Whether a root has been in its state for two leaf lives.
    private func isOver(_ root: AuthorityRecord, now: Int64) -> Bool {
        now - root.sinceMilliseconds / 1000 >= 2 * self.leafSeconds
    }

    /// 60 days: a new root is published by itself when the old one has no more left.
    static let rootRemainderSeconds: Int64 = 60 * 86_400
    /// 10 days, a third of an intermediate's life.
    static let intermediateRemainderSeconds: Int64 = 10 * 86_400
}
