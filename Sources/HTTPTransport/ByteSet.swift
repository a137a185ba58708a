/// A set of ASCII bytes as a bitmap of 128 bits; bytes from 0x80 on are in no set.
///
/// A value made of two constants, so that a test needs no table, no lazy global and no branch.
struct ByteSet {
    /// Membership of 0x00 to 0x3F, bit n for byte n.
    let low: UInt64
    /// Membership of 0x40 to 0x7F, bit n for byte 0x40 + n.
    let high: UInt64

    /// Whether `byte` is a member.
    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let half = byte & 0x40 == 0 ? self.low : self.high
        return byte < 0x80 && (half &>> UInt64(byte & 0x3f)) & 1 != 0
    }

    /// `tchar` of RFC 9110, 5.6.2.
    static var token: Self { Self(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe) }

    /// `tchar` without `_`: the names a request may use.
    ///
    /// CGI-like servers turn both `-` and `_` into `_`, so `x_gw_endpoint` could pass for
    /// `x-gw-endpoint` after our filter.
    static var requestFieldName: Self {
        Self(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_47ff_fffe)
    }

    /// `tchar` without upper-case letters: the names of HTTP/2 (RFC 9113 8.2).
    static var lowerToken: Self { Self(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c000_0000) }

    /// `unreserved / sub-delims / ":" / "@" / "/"` of RFC 3986: path bytes that stand for themselves.
    static var path: Self { Self(low: 0x2fff_ffd2_0000_0000, high: 0x47ff_fffe_87ff_ffff) }

    /// Query bytes that stand for themselves: visible ASCII without `" # % < > \`.
    ///
    /// Wider than RFC 3986: browsers send `[ ] { } | ^` and the backquote in queries unescaped
    /// (the query percent-encode set of the WHATWG URL standard).
    static var query: Self { Self(low: 0xafff_ffd2_0000_0000, high: 0x7fff_ffff_efff_ffff) }

    /// Letters, digits, `.`, `-` and `_`: what a host name is made of.
    static var hostName: Self { Self(low: 0x03ff_6000_0000_0000, high: 0x07ff_fffe_87ff_fffe) }

    /// Hexadecimal digits, `:` and `.`: the inside of `[ ]` in a host.
    static var ipv6: Self { Self(low: 0x07ff_4000_0000_0000, high: 0x0000_007e_0000_007e) }
}
