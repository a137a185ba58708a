/// A set of ``FieldName`` values, tested with one shift.
package struct FieldNameSet: Sendable, Equatable, ExpressibleByArrayLiteral {
    /// Bit n stands for the name with raw value n; there are fewer than 64 names.
    private var bits: UInt64 = 0
    /// How many names there may be.
    package static let capacity = 64

    /// The set of `names`.
    package init(arrayLiteral names: FieldName...) {
        for name in names { self.insert(name) }
    }

    /// Whether `name` is a member.
    @inline(__always)
    package func contains(_ name: FieldName) -> Bool {
        (self.bits &>> UInt64(name.rawValue)) & 1 != 0
    }

    /// Adds `name`.
    package mutating func insert(_ name: FieldName) {
        precondition(name.rawValue < Self.capacity, "more field names than bits")
        self.bits |= 1 &<< UInt64(name.rawValue)
    }

    /// Removes `name`.
    package mutating func remove(_ name: FieldName) {
        self.bits &= ~(1 &<< UInt64(name.rawValue))
    }

    /// The members of either set.
    package func union(_ other: Self) -> Self {
        var union = self
        union.bits |= other.bits
        return union
    }

    /// Those that stand for one name each, and so tell every byte of it but for the case.
    package static let exact: Self = {
        var names: Self = []
        for name in FieldName.allCases where name.text != nil { names.insert(name) }
        return names
    }()

    /// Fields about one connection and its framing: never forwarded in either direction.
    ///
    /// RFC 9110, 7.6.1; `content-length` and `transfer-encoding` because framing is chosen anew.
    package static let hopByHop: Self = [
        .connection, .keepAlive, .proxy, .te, .trailer, .transferEncoding, .upgrade,
        .http2Settings, .contentLength,
    ]

    /// What a client could use to pass for someone else, or to be routed past the checks.
    package static let spoofable: Self = [
        .forwarded, .xForwarded, .xForwardedFor, .xRealIP, .xClient, .xSSL, .xOriginal, .xRewrite,
        .xHTTPMethod, .xScoregate, .via,
    ]
}
