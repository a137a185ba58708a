package import Cryptography

/// Which of an endpoint's two keys.
package enum EndpointKeySlot: String, Sendable, CaseIterable {
    /// The first; the letter in its text is `p`.
    case primary
    /// The second; the letter in its text is `s`.
    case secondary
}

/// What is kept of an endpoint key: never the key itself.
package struct EndpointKeyRecord: Sendable {
    /// The key's public name, 11 base-62 digits.
    package let kid: String
    /// The endpoint's name.
    package let endpoint: String
    /// Which of the endpoint's two keys.
    package let slot: EndpointKeySlot
    /// HMAC-SHA-256 under the pepper of `sgk1`, kid and secret.
    package let digest: Digest32
    /// When it was made, milliseconds of Unix time.
    package let createdMilliseconds: Int64
    /// From when it is valid, milliseconds of Unix time.
    package let notBeforeMilliseconds: Int64
    /// From when it is no longer valid, milliseconds of Unix time; nil means never.
    package let expiresMilliseconds: Int64?
    /// Whether it is the slot's former key, valid until its grace ends.
    package let isFormer: Bool
    /// Whether it was revoked, but what it has let in may finish.
    package let keepsStreams: Bool

    /// The record with these values.
    package init(
        kid: String, endpoint: String, slot: EndpointKeySlot, digest: Digest32,
        createdMilliseconds: Int64, notBeforeMilliseconds: Int64, expiresMilliseconds: Int64?,
        isFormer: Bool = false, keepsStreams: Bool = false
    ) {
        self.kid = kid
        self.endpoint = endpoint
        self.slot = slot
        self.digest = digest
        self.createdMilliseconds = createdMilliseconds
        self.notBeforeMilliseconds = notBeforeMilliseconds
        self.expiresMilliseconds = expiresMilliseconds
        self.isFormer = isFormer
        self.keepsStreams = keepsStreams
    }

    /// Whether it is valid at `time`, milliseconds of Unix time.
    package func isValid(at time: Int64) -> Bool {
        self.notBeforeMilliseconds <= time && time < self.expiresMilliseconds ?? .max
    }
}

/// All endpoint keys there were at one generation.
package struct EndpointKeyRecords: Sendable {
    /// Counts the changes of endpoint keys.
    package let generation: Int64
    /// By endpoint, slot and age, the newest first.
    package let keys: [EndpointKeyRecord]

    /// The records of one generation.
    package init(generation: Int64, keys: [EndpointKeyRecord]) {
        self.generation = generation
        self.keys = keys
    }
}
