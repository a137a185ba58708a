internal import Glibc

/// What a client calls a server: a DNS name or an IP address, in the one form that is compared.
struct HostName {
    /// Lower case, without the trailing dot; of an address, as inet_ntop(3) writes it.
    let text: String
    let isAddress: Bool

    /// Reads a DNS name, an IPv4 address, or an IPv6 address with or without brackets.
    init(_ host: String) {
        var host = host[...]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if let bytes = Self.addressBytes(String(host)), let text = Self.addressText(bytes) {
            self.text = text
            self.isAddress = true
            return
        }
        self.text = Self.normalised(host)
        self.isAddress = false
    }

    /// Whether the DNS name `pattern` of a certificate stands for this DNS name.
    ///
    /// A "*" stands for exactly one whole label, the leftmost, over at least two more
    /// (RFC 9525, 6.3, and no wildcard directly under a top-level domain).
    func isCovered(by pattern: String) -> Bool {
        guard !self.isAddress, !self.text.isEmpty else { return false }
        let pattern = Self.normalised(pattern[...])
        guard pattern.hasPrefix("*.") else { return pattern == self.text && !pattern.contains("*") }
        let parent = pattern.dropFirst(2)
        guard parent.contains("."), !parent.contains("*"), let dot = self.text.firstIndex(of: "."),
            dot > self.text.startIndex
        else { return false }
        return self.text[self.text.index(after: dot)...] == parent
    }

    /// Whether `name` can stand in a certificate: labels of letters, digits and inner hyphens, the
    /// first of which may be "*" (RFC 5280, 4.2.1.6; RFC 1123, 2.1).
    static func isCertificateName(_ name: String) -> Bool {
        guard (1...253).contains(name.utf8.count), Self.addressBytes(name) == nil else {
            return false
        }
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isWildcard = labels[0].elementsEqual("*".utf8)
        guard !isWildcard || labels.count >= 3 else { return false }
        return labels.dropFirst(isWildcard ? 1 : 0).allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-")
                && label.last != UInt8(ascii: "-")
                && label.allSatisfy {
                    switch $0 {
                    case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "_"): true
                    default: false
                    }
                }
        }
    }

    /// The 4 or 16 bytes of an IP address; nil if `text` is none.
    static func addressBytes(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if unsafe inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
        return unsafe inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }

    /// The text of an IP address of 4 or 16 bytes; nil for another number.
    static func addressText(_ bytes: [UInt8]) -> String? {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard unsafe inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func normalised(_ name: Substring) -> String {
        var name = name
        if name.hasSuffix(".") { name = name.dropLast() }
        // Only ASCII letters have a case in DNS (RFC 4343); String.lowercased() would map others.
        return String(decoding: name.utf8.map { 65...90 ~= $0 ? $0 | 32 : $0 }, as: UTF8.self)
    }
}
