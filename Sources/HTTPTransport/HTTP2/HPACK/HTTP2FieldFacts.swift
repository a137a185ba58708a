/// What is to be known of one field of HTTP/2, found once for each entry of HPACK's tables.
struct HTTP2FieldFacts: BitwiseCopyable {
    /// Pseudo-fields (RFC 9113 8.3).
    enum Pseudo: UInt8 {
        /// An ordinary field.
        case none
        case authority
        case method
        case path
        case scheme
        case status
        /// One there is not.
        case unknown
    }

    /// The class of the name; `.other` for pseudo-fields.
    let known: FieldName
    let pseudo: Pseudo
    /// Whether a message may have a field of this name: a token in lower case (RFC 9113 8.2.1), and
    /// nothing about the connection (8.2.2).
    let isNameAllowed: Bool
    /// Whether a request may: `_` could pass for `-` behind us.
    let isRequestName: Bool
    /// Whether the bytes of the value are those of a field.
    private(set) var isValueAllowed: Bool
    /// Whether whoever sent it wants no table to have it, nor one behind us (RFC 7541, 6.2.3).
    private(set) var isNeverIndexed = false

    /// The facts of a name, and of a value if there is one.
    init(_ name: Span<UInt8>, value: Span<UInt8>? = nil) {
        self.isValueAllowed = value?.isFieldValue ?? true
        guard !name.isEmpty, name[0] != ASCII.colon else {
            self.known = .other
            self.pseudo = Self.pseudo(name)
            self.isNameAllowed = !name.isEmpty
            self.isRequestName = !name.isEmpty
            return
        }
        self.pseudo = .none
        let known = FieldName.classify(name, start: 0, length: name.count)
        self.known = known
        let isToken: Bool
        if FieldNameSet.exact.contains(known) {
            // Its bytes are known but for the case.
            isToken = name.isLowered
            self.isRequestName = true
        } else {
            isToken = name.isMade(of: .lowerToken)
            self.isRequestName = name.isMade(of: .requestFieldName)
        }
        let isOfConnection =
            switch known {
            case .connection, .keepAlive, .transferEncoding, .upgrade: true
            case .proxy: name.isExactly("proxy-connection")
            default: false
            }
        self.isNameAllowed = isToken && !isOfConnection
    }

    /// The same for another value.
    func withValue(_ value: Span<UInt8>, isNeverIndexed: Bool) -> Self {
        var facts = self
        facts.isValueAllowed = value.isFieldValue
        facts.isNeverIndexed = isNeverIndexed
        return facts
    }

    private static func pseudo(_ name: Span<UInt8>) -> Pseudo {
        switch name.count {
        case 0: .none
        case 5 where name.isExactly(":path"): .path
        case 7 where name.isExactly(":method"): .method
        case 7 where name.isExactly(":scheme"): .scheme
        case 7 where name.isExactly(":status"): .status
        case 10 where name.isExactly(":authority"): .authority
        default: .unknown
        }
    }
}

extension Span<UInt8> {
    /// Whether all bytes are in `set`.
    @inline(__always)
    fileprivate func isMade(of set: ByteSet) -> Bool {
        for index in self.indices where !set.contains(self[index]) { return false }
        return true
    }
}
