/// How a wrapping key wraps, by its name in Azure Key Vault.
package enum WrappingAlgorithm: String, Sendable, CaseIterable {
    /// RSA with OAEP and SHA-256: wrapping needs the public half only.
    case rsaOAEP256 = "RSA-OAEP-256"
    /// AES-256 key wrap, RFC 3394.
    case a256KW = "A256KW"
    /// AES-256-GCM.
    case a256GCM = "A256GCM"
}

/// One version of a wrapping key: what is known of it, never the key itself.
package struct WrappingKey: Sendable, Equatable {
    /// Which version of which key, as the key ring has it; names no endpoint.
    ///
    /// `embedded:<32 hexadecimal digits>/<version>`, or the versioned key id of Azure Key Vault.
    package let id: String
    /// The version by itself.
    package let version: String
    /// How it wraps.
    package let algorithm: WrappingAlgorithm
    /// When it was made, milliseconds of Unix time.
    package let createdMilliseconds: Int64

    /// The version with these values.
    package init(
        id: String, version: String, algorithm: WrappingAlgorithm, createdMilliseconds: Int64
    ) {
        self.id = id
        self.version = version
        self.algorithm = algorithm
        self.createdMilliseconds = createdMilliseconds
    }
}

/// What its vault says of a version of a wrapping key.
package enum WrappingKeyState: String, Sendable, CaseIterable {
    /// It may be used.
    case active
    /// Somebody took it out of use; it can be enabled again.
    case disabled
    /// Its time is over.
    case expired
    /// Its time is still to come.
    case notYetValid = "not yet valid"
    /// It is not there any more.
    case deleted
    /// We have no right to it, or no longer.
    case forbidden
}
