package import NIOCore

// What a proxy changes in a head on its way from one side to the other.
extension MessageHead {
    /// Leaves out the fields of these names, which end at this hop; what is appended later stays.
    package func remove(_ names: FieldNameSet) {
        for index in self.fields.indices where names.contains(self.fields[index].name) {
            self.fields[index].isHopByHop = true
        }
    }

    /// Adds a field with the value that `write` appends; at most 65,535 bytes, no control bytes.
    package func append(_ name: StaticString, _ write: (inout ByteBuffer) -> Void) {
        let start = self.bytes.writerIndex
        self.bytes.writeStaticString(name)
        self.bytes.writeStaticString(": ")
        let valueStart = self.bytes.writerIndex
        write(&self.bytes)
        let valueLength = self.bytes.writerIndex - valueStart
        self.bytes.writeStaticString("\r\n")
        self.fields.append(
            HeadField(
                nameStart: UInt32(start), valueStart: UInt32(valueStart),
                nameLength: UInt16(name.utf8CodeUnitCount), valueLength: UInt16(valueLength),
                name: .other, isHopByHop: false, isCanonical: true))
    }

    /// Adds a field with a constant value.
    package func append(_ name: StaticString, _ value: StaticString) {
        self.append(name) { $0.writeStaticString(value) }
    }

    /// Adds a field with the bytes at `range` of `other`, or of this head, as its value.
    package func append(_ name: StaticString, _ range: Range<Int>, of other: MessageHead) {
        let value = other.bytes
        self.append(name) { output in
            guard let slice = value.getSlice(at: range.lowerBound, length: range.count) else {
                return
            }
            output.writeImmutableBuffer(slice)
        }
    }

    /// Gives `body` the bytes at `range` as raw memory, which is what digests take.
    package func withRawBytes<Result>(_ range: Range<Int>, _ body: (RawSpan) -> Result) -> Result {
        let bytes = self.bytes
        return body(bytes.readableBytesSpan.extracting(range))
    }
}
