internal import NIOCore

// The opening handshake of WebSocket, RFC 6455, 4.
extension MessageHead {
    /// Whether the message asks to switch its connection to WebSocket, or agrees to.
    ///
    /// Set by who has checked it; a stream writes the fields of the connection that say so.
    package var isUpgrade: Bool {
        get { self.facts.isUpgrade }
        set { self.facts.isUpgrade = newValue }
    }

    /// Whether this request asks for WebSocket.
    ///
    /// - Throws: `.malformedField` where it asks otherwise than the RFC says.
    package func asksForWebSocket() throws(HTTPError) -> Bool {
        guard self.version == .http11, self.namesWebSocket else { return false }
        guard self.method == .get, self.framing == .none,
            self.hasOne("sec-websocket-key", { Self.isKey($0) }),
            self.hasOne("sec-websocket-version", { $0.isName("13", start: 0, length: $0.count) })
        else { throw .malformedField }
        return true
    }

    /// Whether this response agrees to WebSocket; that the digest is right is the client's to check.
    var agreesToWebSocket: Bool {
        self.namesWebSocket && self.hasOne("sec-websocket-accept", { $0.count == 28 })
    }

    /// `Upgrade: websocket`, which Connection names.
    private var namesWebSocket: Bool {
        guard self.count(of: .upgrade) == 1, let index = self.index(of: .upgrade),
            self.fields[index].isHopByHop
        else { return false }
        return self.withBytes(self.fields[index].valueRange) {
            $0.isName("websocket", start: 0, length: $0.count)
        }
    }

    private func hasOne(_ name: StaticString, _ isRight: (Span<UInt8>) -> Bool) -> Bool {
        var count = 0
        var right = 0
        for field in self.fields where Int(field.nameLength) == name.utf8CodeUnitCount {
            let isNamed = self.withBytes(field.nameRange) {
                $0.isName(name, start: 0, length: $0.count)
            }
            guard isNamed else { continue }
            count += 1
            if self.withBytes(field.valueRange, isRight) { right += 1 }
        }
        return count == 1 && right == 1
    }

    /// 16 bytes in base64: 22 characters and `==`.
    private static func isKey(_ value: Span<UInt8>) -> Bool {
        guard value.count == 24 else { return false }
        for index in value.indices {
            switch value[index] {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                guard index < 22 else { return false }
            case UInt8(ascii: "="): guard index >= 22 else { return false }
            default: return false
            }
        }
        return true
    }
}
