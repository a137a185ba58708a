/// What is known of one version of an endpoint's wrapping key: never the key itself.
package struct WrappingKeyRecord: Sendable, Equatable {
    /// Random, 16 bytes; stands for the endpoint wherever its name must not be seen.
    package let keyID: [UInt8]
    /// The endpoint's name.
    package let endpoint: String
    /// Counts from 1; the newest wraps.
    package let version: Int64
    /// When it was made, milliseconds of Unix time.
    package let createdMilliseconds: Int64
    /// Whether it may be used.
    package let isEnabled: Bool
    /// Whether nothing is left of it; it is never usable again then.
    package let isDestroyed: Bool

    /// The record with these values.
    package init(
        keyID: [UInt8], endpoint: String, version: Int64, createdMilliseconds: Int64,
        isEnabled: Bool = true, isDestroyed: Bool = false
    ) {
        self.keyID = keyID
        self.endpoint = endpoint
        self.version = version
        self.createdMilliseconds = createdMilliseconds
        self.isEnabled = isEnabled
        self.isDestroyed = isDestroyed
    }
}

/// All that a running process goes by, as it was at one generation.
package struct StateRecords: Sendable {
    /// Counts the changes.
    package let generation: Int64
    /// The endpoint keys.
    package let endpointKeys: EndpointKeyRecords
    /// The versions of all wrapping keys, by endpoint, the newest first.
    package let wrappingKeys: [WrappingKeyRecord]

    /// The records of one generation.
    package init(endpointKeys: EndpointKeyRecords, wrappingKeys: [WrappingKeyRecord] = []) {
        self.generation = endpointKeys.generation
        self.endpointKeys = endpointKeys
        self.wrappingKeys = wrappingKeys
    }
}
