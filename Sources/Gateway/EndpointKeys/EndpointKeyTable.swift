internal import Cryptography
package import State

/// The endpoint keys of one generation, for finding one by its kid.
///
/// Immutable and shared by all workers; a change makes a new one. Open addressing with linear
/// probing, at most half full: kids are random and not the caller's choice, so runs stay short
/// and nobody outside can lengthen them.
package struct EndpointKeyTable: Sendable {
    /// Counts the changes of endpoint keys.
    package let generation: Int64
    /// How many keys there are.
    package var count: Int { self.entries.count }

    struct Entry: Sendable {
        let id: EndpointKeyID
        let digest: Digest32
        /// The endpoint's number in the snapshot.
        let endpoint: Int
        let notBeforeMilliseconds: Int64
        let expiresMilliseconds: Int64
        /// Whether what it has let in may finish although it is valid no more.
        let keepsStreams: Bool
    }

    private let entries: [Entry]
    /// Indices into the entries plus one, 0 where free; a power of two in number.
    private let buckets: [Int32]

    /// The keys in `records` of the endpoints named `endpoints`, whose positions are their numbers.
    ///
    /// Keys of other endpoints are left out: no request can be for them.
    package init(_ records: EndpointKeyRecords, endpoints: [String]) {
        let numbers = Dictionary(
            endpoints.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let entries = records.keys.compactMap { record -> Entry? in
            guard let endpoint = numbers[record.endpoint], let id = EndpointKeyID(record.kid)
            else { return nil }
            return Entry(
                id: id, digest: record.digest, endpoint: endpoint,
                notBeforeMilliseconds: record.notBeforeMilliseconds,
                expiresMilliseconds: record.expiresMilliseconds ?? .max,
                keepsStreams: record.keepsStreams)
        }
        var size = 16
        while size < 2 * entries.count { size *= 2 }
        var buckets = [Int32](repeating: 0, count: size)
        for (index, entry) in entries.enumerated() {
            var bucket = Self.hash(entry.id) & (size - 1)
            while buckets[bucket] != 0 { bucket = (bucket + 1) & (size - 1) }
            buckets[bucket] = Int32(index + 1)
        }
        self.generation = records.generation
        self.entries = entries
        self.buckets = buckets
    }

    /// Whether the key with that kid may still be used for `endpoint` at `now`.
    ///
    /// For exchanges that a key admitted before the table changed.
    package func admits(_ id: EndpointKeyID, endpoint: Int, nowMilliseconds now: Int64) -> Bool {
        guard let entry = self.entry(id) else { return false }
        return entry.endpoint == endpoint
            && (entry.keepsStreams
                || (entry.notBeforeMilliseconds <= now && now < entry.expiresMilliseconds))
    }

    /// When the next of the keys that are valid at `now` expires; `.max` if none does.
    package func nextExpiry(afterMilliseconds now: Int64) -> Int64 {
        self.entries.lazy.map(\.expiresMilliseconds).filter { $0 > now }.min() ?? .max
    }

    func entry(_ id: EndpointKeyID) -> Entry? {
        let mask = self.buckets.count - 1
        var bucket = Self.hash(id) & mask
        while case let index = Int(self.buckets[bucket]), index != 0 {
            if self.entries[index - 1].id == id { return self.entries[index - 1] }
            bucket = (bucket + 1) & mask
        }
        return nil
    }

    private static func hash(_ id: EndpointKeyID) -> Int {
        // Fibonacci hashing: the digits use few of each byte's bits, the product spreads them.
        let product = (id.high ^ id.low << 40) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: product >> 32)
    }
}
