package import Cryptography
package import State

/// Who may do what with which keys and secrets.
///
/// What is not granted is refused.
package struct VaultPolicy: Sendable, Equatable {
    /// Rights on all names that fit a pattern.
    package struct Grant: Sendable, Equatable {
        /// On keys or on secrets.
        package var kind: VaultVersion.Kind
        /// Which names.
        package var names: NamePattern
        /// What may be done with them.
        package var rights: Set<VaultRight>

        /// A grant with these values.
        package init(_ kind: VaultVersion.Kind, _ names: NamePattern, _ rights: Set<VaultRight>) {
            self.kind = kind
            self.names = names
            self.rights = rights
        }
    }

    /// The grants by identity.
    package var grants: [SPIFFEID: [Grant]]

    /// A policy with these grants.
    package init(grants: [SPIFFEID: [Grant]]) { self.grants = grants }

    /// Whether `identity` may do this with the key or secret `name`.
    package func allows(
        _ right: VaultRight, _ kind: VaultVersion.Kind, _ name: String, to identity: SPIFFEID
    ) -> Bool {
        self.grants[identity]?.contains {
            $0.kind == kind && $0.rights.contains(right) && $0.names.matches(name)
        } ?? false
    }

    /// Whether `identity` may do this with some name.
    package func allowsSome(
        _ right: VaultRight, _ kind: VaultVersion.Kind, to identity: SPIFFEID
    ) -> Bool {
        self.grants[identity]?.contains { $0.kind == kind && $0.rights.contains(right) } ?? false
    }
}

/// One name, or all that begin alike: `iris-log` or `iris-*`.
package struct NamePattern: Sendable, Hashable {
    private let prefix: String
    private let isExact: Bool

    /// Reads a pattern; nil if it can fit no name.
    package init?(_ text: String) {
        self.isExact = !text.hasSuffix("*")
        self.prefix = (self.isExact ? text : String(text.dropLast())).lowercased()
        guard self.isExact ? VaultName.isValid(self.prefix) : VaultName.isPrefix(self.prefix) else {
            return nil
        }
    }

    /// Whether `name` fits; case does not count, as it does not in names.
    package func matches(_ name: String) -> Bool {
        self.isExact ? name.lowercased() == self.prefix : name.lowercased().hasPrefix(self.prefix)
    }

    /// Whether some name fits both.
    func overlaps(_ other: NamePattern) -> Bool {
        switch (self.isExact, other.isExact) {
        case (true, _): other.matches(self.prefix)
        case (false, true): self.matches(other.prefix)
        case (false, false):
            self.prefix.hasPrefix(other.prefix) || other.prefix.hasPrefix(self.prefix)
        }
    }
}

/// The form of the names of keys and secrets: letters, digits and dashes, at most 127.
package enum VaultName {
    /// Whether `text` is a name.
    package static func isValid(_ text: String) -> Bool { !text.isEmpty && self.isPrefix(text) }

    static func isPrefix(_ text: String) -> Bool {
        text.utf8.count <= self.maximumBytes
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// As Azure Key Vault's.
    private static let maximumBytes = 127
}
