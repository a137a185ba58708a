internal import NIOCore

// What a proxy changes in a head on its way from one side to the other.
extension MessageHead {
    /// Leaves out the fields of these names, which end at this hop; what is appended later stays.
    package func remove(_ names: FieldNameSet) {
        // Taken out of the head, so that each change needs no access to the object.
        var fields: [HeadField] = []
        swap(&fields, &self.fields)
        for index in fields.indices where names.contains(fields[index].name) {
            fields[index].isHopByHop = true
        }
        swap(&fields, &self.fields)
    }

    /// Leaves out the field at this place of the table.
    package func leaveOut(at index: Int) { self.fields[index].isHopByHop = true }

    /// Adds a field with the value that `write` appends: up to `room` bytes, which are at most
    /// 65,535, no control bytes.
    ///
    /// `field` is the name's class where it matters to somebody who writes the head.
    @inline(__always)
    package func append(
        _ name: StaticString, as field: FieldName = .other, atMost room: Int,
        _ write: (inout ByteWriter) -> Void
    ) {
        let start = self.bytes.writerIndex
        let nameLength = name.utf8CodeUnitCount
        self.bytes.write(atMost: nameLength + room + 4) { output in
            output.append(name)
            output.append(": ")
            write(&output)
            output.append("\r\n")
        }
        let valueStart = start + nameLength + 2
        self.fields.append(
            HeadField(
                nameStart: UInt32(start), valueStart: UInt32(valueStart),
                nameLength: UInt16(nameLength),
                valueLength: UInt16(self.bytes.writerIndex - 2 - valueStart),
                name: field, isHopByHop: false, isCanonical: true))
    }

    /// Leaves out the fields with this name, which is lower case; what is appended later stays.
    package func remove(named name: [UInt8]) {
        let buffer = self.bytes
        let bytes = buffer.readableBytesUInt8Span
        for index in self.fields.indices {
            let range = self.fields[index].nameRange
            guard range.count == name.count else { continue }
            let isSame = name.indices.allSatisfy { place in
                let byte = bytes[range.lowerBound + place]
                return (0x41...0x5a ~= byte ? byte | 0x20 : byte) == name[place]
            }
            if isSame { self.fields[index].isHopByHop = true }
        }
    }

    /// Adds a field whose value is a secret: written as `authorization` is, in no table of HPACK.
    ///
    /// - Parameters:
    ///   - name: In lower case.
    ///   - valueBytes: How many bytes `write` appends, no control bytes.
    ///   - write: Appends the value.
    package func appendSecret(
        named name: [UInt8], valueBytes: Int, _ write: (inout ByteWriter) -> Void
    ) {
        let start = self.bytes.writerIndex
        self.bytes.write(atMost: name.count + valueBytes + 4) { output in
            output.append(name.span)
            output.append(": ")
            write(&output)
            output.append("\r\n")
        }
        self.fields.append(
            HeadField(
                nameStart: UInt32(start), valueStart: UInt32(start + name.count + 2),
                nameLength: UInt16(name.count), valueLength: UInt16(valueBytes),
                name: .authorization, isHopByHop: false, isCanonical: true))
    }

    /// Takes back the field that was added last, to nothing that was parsed.
    package func removeLastField() {
        guard let last = self.fields.popLast() else { return }
        self.bytes.moveWriterIndex(to: Int(last.nameStart))
    }

    /// Adds the fields of `block`.
    package func append(_ block: FieldBlock) {
        let start = UInt32(self.bytes.writerIndex)
        self.bytes.append(block.bytes.span)
        for field in block.fields { self.fields.append(field.moved(by: start)) }
    }

    /// Adds a field with a constant value.
    package func append(_ name: StaticString, _ value: StaticString) {
        self.append(name, atMost: value.utf8CodeUnitCount) { $0.append(value) }
    }

    /// Adds a field with the bytes at `range` of `other`, or of this head, as its value.
    package func append(_ name: StaticString, _ range: Range<Int>, of other: MessageHead) {
        let value = other.bytes
        self.append(name, atMost: range.count) {
            $0.append(value.readableBytesUInt8Span.extracting(range))
        }
    }

    /// Gives `body` the bytes at `range` as raw memory, which is what digests take.
    package func withRawBytes<Result>(_ range: Range<Int>, _ body: (RawSpan) -> Result) -> Result {
        let bytes = self.bytes
        return body(bytes.readableBytesSpan.extracting(range))
    }
}
