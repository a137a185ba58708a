/// Where an Azure Key Vault, or a service that speaks as one, answers: `https://HOST[:PORT]`.
package struct VaultAddress: Sendable, Hashable {
    /// A DNS name in lower case, or an IP address; of IPv6 without brackets.
    package let host: String
    /// 443 where none was given.
    package let port: Int

    /// Reads a base URL; nil for another scheme, a path, a user, a query, or characters no host has.
    package init?(_ text: String) {
        guard text.hasPrefix(Self.scheme) else { return nil }
        var rest = text.dropFirst(Self.scheme.count)
        if rest.hasSuffix("/") { rest.removeLast() }
        var host = rest
        var port: Substring?
        if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            host = rest[rest.index(after: rest.startIndex)..<end]
            let tail = rest[rest.index(after: end)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { return nil }
            port = tail.isEmpty ? nil : tail.dropFirst()
            guard host.contains(":"), host.utf8.allSatisfy(Self.isAddressByte) else { return nil }
        } else {
            if let colon = rest.firstIndex(of: ":") {
                host = rest[..<colon]
                port = rest[rest.index(after: colon)...]
            }
            guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy(Self.isNameByte) else {
                return nil
            }
        }
        if let port {
            guard (1...5).contains(port.utf8.count), port.utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
                let number = Int(port), 1...65_535 ~= number
            else { return nil }
            self.port = number
        } else {
            self.port = Self.defaultPort
        }
        self.host = host.lowercased()
    }

    /// What `Host` says: without the default port.
    var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return self.port == Self.defaultPort ? host : "\(host):\(self.port)"
    }

    /// The versioned id of a key there.
    package func keyID(_ name: String, version: String) -> String {
        "\(self)/keys/\(name)/\(version)"
    }

    /// The version in the id of a key there.
    ///
    /// - Returns: nil if the id is not of a version of exactly that key of exactly this vault.
    package func version(of id: String, _ name: String) -> String? {
        self.version(of: id, under: "keys/\(name)")
    }

    /// The version in the id of a secret there, as ``version(of:_:)`` for keys.
    func secretVersion(of id: String, _ name: String) -> String? {
        self.version(of: id, under: "secrets/\(name)")
    }

    private func version(of id: String, under path: String) -> String? {
        let prefix = "\(self)/\(path)/"
        guard id.hasPrefix(prefix) else { return nil }
        let version = String(id.dropFirst(prefix.count))
        return Self.isKeyVersion(version) ? version : nil
    }

    /// Whether `text` can be a key's name: 1 to 127 letters, digits and dashes.
    package static func isKeyName(_ text: String) -> Bool {
        (1...127).contains(text.utf8.count)
            && text.utf8.allSatisfy { self.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
    }

    /// Whether `text` can be a key's version: 1 to 64 letters and digits.
    package static func isKeyVersion(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.allSatisfy(self.isLetterOrDigit)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        self.isLetterOrDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private static let scheme = "https://"
    private static let defaultPort = 443
}

extension VaultAddress: CustomStringConvertible {
    /// The base URL in the one form that is compared.
    package var description: String { Self.scheme + self.authority }
}
