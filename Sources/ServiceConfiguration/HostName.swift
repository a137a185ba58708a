/// The form of host names in the configuration.
package enum HostName {
    /// `text` in lower case without trailing dot, IPv6 in brackets, as a Host field is compared.
    ///
    /// nil if it is neither a DNS name nor an IP address; a port or a wildcard is neither.
    package static func normalized(_ text: String) -> String? {
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        if let address = IPAddress(isBracketed ? String(text.dropFirst().dropLast()) : text) {
            guard !address.isIPv4 else { return isBracketed ? nil : address.description }
            return "[\(address)]"
        }
        var name = text.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isValid =
            name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.utf8.allSatisfy { self.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
                    && label.first != "-" && label.last != "-"
            }
            // All digits would be read as an address by some resolvers.
            && !(labels.last?.utf8.allSatisfy { $0 < UInt8(ascii: "A") } ?? true)
        return isValid ? name : nil
    }

    /// Whether `byte` is an ASCII letter or digit.
    package static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    /// Whether `byte` stands for itself everywhere in a URI (RFC 3986, section 2.3).
    package static func isUnreserved(_ byte: UInt8) -> Bool {
        self.isLetterOrDigit(byte) || "-._~".utf8.contains(byte)
    }
}
