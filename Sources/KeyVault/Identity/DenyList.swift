internal import Foundation

/// Whom nobody talks to: SPIFFE IDs, and serial numbers of certificates in lower-case hexadecimal.
package struct DenyList: Sendable, Equatable {
    /// The identities and serial numbers.
    package let denied: Set<String>

    /// A list of these.
    package init(_ denied: Set<String>) {
        self.denied = denied
    }

    /// Reads what ``json`` writes; nil for anything else.
    package init?(json: [UInt8]) {
        guard let read = try? JSONDecoder().decode(Body.self, from: Data(json)) else { return nil }
        self.denied = Set(read.denied)
    }

    /// The list as one JSON object; the same for the same list.
    package var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts always encode.
        let encoded = try? encoder.encode(Body(denied: self.denied.sorted()))
        return encoded.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Whether it has a peer with this identity, or with this certificate.
    package func contains(identity: String?, serial: String) -> Bool {
        self.denied.contains(serial) || identity.map(self.denied.contains) ?? false
    }

    private struct Body: Codable {
        let denied: [String]
    }
}
