/// One field of a ``MessageHead``: where its name and value are in the head's bytes.
package struct HeadField: Sendable, Equatable {
    /// Offset of the name's first byte.
    package let nameStart: UInt32
    /// Offset of the value's first byte, after the white space.
    package let valueStart: UInt32
    /// How many bytes the name has.
    package let nameLength: UInt16
    /// Without the white space around the value; may be zero.
    package let valueLength: UInt16
    /// The class of the name.
    package let name: FieldName
    /// Whether the message's Connection field names this field: it ends at this hop.
    package internal(set) var isHopByHop: Bool
    /// Whether the line is exactly `name ":" SP value CRLF`, so that it may be copied as it stands.
    package let isCanonical: Bool
    /// Whether the peer asks, in HTTP/2, that no table of HPACK has it (RFC 7541, 6.2.3).
    var isNeverIndexed = false

    /// The offsets of the name's bytes.
    package var nameRange: Range<Int> {
        Int(self.nameStart)..<(Int(self.nameStart) &+ Int(self.nameLength))
    }

    /// The offsets of the value's bytes.
    package var valueRange: Range<Int> {
        Int(self.valueStart)..<(Int(self.valueStart) &+ Int(self.valueLength))
    }

    /// The same field in a head where its bytes begin `offset` later.
    func moved(by offset: UInt32) -> HeadField {
        HeadField(
            nameStart: self.nameStart + offset, valueStart: self.valueStart + offset,
            nameLength: self.nameLength, valueLength: self.valueLength, name: self.name,
            isHopByHop: self.isHopByHop, isCanonical: self.isCanonical,
            isNeverIndexed: self.isNeverIndexed)
    }

    /// The offset after the CRLF of a canonical line.
    var lineEnd: Int { Int(self.valueStart) &+ Int(self.valueLength) &+ 2 }
}
