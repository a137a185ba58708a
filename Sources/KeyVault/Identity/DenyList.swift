internal import Foundation

/// Whom nobody talks to: SPIFFE IDs, and serial numbers of certificates in lower-case hexadecimal.
package struct DenyList: Codable, Sendable, Equatable {
    /// The identities and serial numbers.
    package let denied: Set<String>

    /// A list of these.
    package init(_ denied: Set<String>) {
        self.denied = denied
    }

    /// Reads what ``json`` writes; nil for anything else.
    package init?(json: [UInt8]) {
        guard let read = try? JSONDecoder().decode(DenyList.self, from: Data(json)) else {
            return nil
        }
        self = read
    }

    /// The list as one JSON object.
    package var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts always encode.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Whether it has a peer with this identity and this certificate.
    package func contains(identity: String?, serial: String) -> Bool {
        self.denied.contains(serial) || identity.map(self.denied.contains) ?? false
    }
}
