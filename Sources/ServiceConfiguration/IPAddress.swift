/// An IPv4 or IPv6 address.
///
/// IPv4 is held in its IPv4-mapped form, so that `1.2.3.4` and `::ffff:1.2.3.4`, which is how a
/// dual-stack socket shows the former, are one address (RFC 4291, section 2.5.5.2).
package struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// The 128 bits, most significant first.
    package let bits: UInt128

    /// The address with these 128 bits.
    package init(bits: UInt128) { self.bits = bits }

    /// The IPv4 address with these 32 bits, most significant first.
    package init(ipv4 bits: UInt32) { self.bits = Self.mappedPrefix | UInt128(bits) }

    /// Parses dotted-decimal IPv4 or RFC 4291 text; nil for anything else, zone ids included.
    package init?(_ text: some StringProtocol) {
        if let bits = Self.parseIPv4(text) {
            self.init(ipv4: bits)
        } else if let bits = Self.parseIPv6(text) {
            self.init(bits: bits)
        } else {
            return nil
        }
    }

    /// Whether it is an IPv4 address.
    package var isIPv4: Bool { self.bits >> 32 == Self.mappedPrefix >> 32 }

    /// Whether only this host can be reached by it: `127.0.0.0/8` or `::1`.
    package var isLoopback: Bool {
        self.isIPv4 ? UInt8(truncatingIfNeeded: self.bits >> 24) == 127 : self.bits == 1
    }

    /// The network a client is taken to have for itself, for limits: /24 of IPv4, /56 of IPv6.
    package var sourceNetwork: UInt128 { self.bits >> (self.isIPv4 ? 8 : 72) }

    /// Dotted decimal, or RFC 5952 text.
    package var description: String {
        if self.isIPv4 {
            let octets = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: self.bits >> $0) }
            return octets.map { String($0) }.joined(separator: ".")
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: self.bits >> (112 - 16 * $0)) }
        // The longest run of two or more zero groups, the first of equals, is written "::".
        var longest = 0..<0
        var start = 0
        while start < 8 {
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start >= 2, end - start > longest.count { longest = start..<end }
            start = max(end, start) + 1
        }
        let text = { (range: Range<Int>) in
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return longest.isEmpty
            ? text(0..<8) : "\(text(0..<longest.lowerBound))::\(text(longest.upperBound..<8))"
    }

    private static let mappedPrefix: UInt128 = 0xffff_0000_0000

    private static func parseIPv4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            // No leading zeros: some resolvers read them as octal.
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                part.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let octet = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            bits = bits << 8 | UInt32(octet)
        }
        return bits
    }

    private static func parseIPv6(_ text: some StringProtocol) -> UInt128? {
        let text = String(text)
        let halves: [String]
        if let gap = text.firstRange(of: "::") {
            halves = [String(text[..<gap.lowerBound]), String(text[gap.upperBound...])]
        } else {
            halves = [text]
        }
        guard let head = self.groups(halves[0], mayEndInIPv4: halves.count == 1) else { return nil }
        guard halves.count == 2 else {
            return head.count == 8 ? head.reduce(0) { $0 << 16 | UInt128($1) } : nil
        }
        // "::" stands for at least one group.
        guard let tail = self.groups(halves[1], mayEndInIPv4: true), head.count + tail.count <= 7
        else { return nil }
        let zeros = [UInt16](repeating: 0, count: 8 - head.count - tail.count)
        return (head + zeros + tail).reduce(0) { $0 << 16 | UInt128($1) }
    }

    private static func groups(_ text: String, mayEndInIPv4: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, let bits = self.parseIPv4(part) {
                groups += [UInt16(bits >> 16), UInt16(truncatingIfNeeded: bits)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit),
                let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }
}

/// A range of addresses, as CIDR notation writes it.
package struct AddressRange: Sendable, Hashable {
    /// The lowest address of the range.
    package let network: IPAddress
    /// How many leading bits of the 128 the addresses of the range share; IPv4's count from 96.
    package let prefixBits: Int

    /// Parses `10.0.0.0/8`, `fd00::/8` or a single address; nil for anything else.
    ///
    /// Bits beyond the prefix must be zero: `10.1.2.3/8` is more likely a mistake than a wish.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
        let width = address.isIPv4 ? 32 : 128
        var length = width
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let parsed = Int(parts[1]),
                parsed <= width
            else { return nil }
            length = parsed
        }
        self.prefixBits = 128 - width + length
        self.network = address
        guard address.bits & ~self.mask == 0 else { return nil }
    }

    /// Whether `address` lies in the range.
    package func contains(_ address: IPAddress) -> Bool {
        address.bits & self.mask == self.network.bits
    }

    private var mask: UInt128 { self.prefixBits == 0 ? 0 : ~0 << (128 - self.prefixBits) }
}
