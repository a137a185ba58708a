/// Whether one direction of a connection is TLS records and nothing else (RFC 8446, 5.1), told as its
/// bytes come.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | type: 20 change_cipher_spec, 21 alert, 22 handshake, 23 application_data |
/// | 1 | 2 | version: 0303; 0301 in a client's first record |
/// | 3 | 2 | length of what follows: 1 to 2^14 + 256 |
struct TLSRecordStream {
    private(set) var byteCount = 0
    /// Records of type 23 that are whole.
    private(set) var applicationRecords = 0
    /// Where it is something else, and what; nothing is looked at after it.
    private(set) var problem: String?
    private var header: [UInt8] = []
    /// Bytes of the present record that are still to come.
    private var left = 0
    private var hasBegun = false

    /// Whether it is right, and ends with a record.
    var isWhole: Bool { self.problem == nil && self.header.isEmpty && self.left == 0 }

    mutating func take(_ bytes: some Collection<UInt8>) {
        var rest = bytes[...]
        while self.problem == nil, !rest.isEmpty {
            if self.left > 0 {
                let piece = rest.prefix(self.left)
                self.left -= piece.count
                self.byteCount += piece.count
                rest = rest.dropFirst(piece.count)
                continue
            }
            self.header.append(rest.removeFirst())
            self.byteCount += 1
            if self.header.count == 5 { self.begin() }
        }
    }

    private mutating func begin() {
        let (type, version) = (self.header[0], self.header[1...2])
        let length = Int(self.header[3]) << 8 | Int(self.header[4])
        let isFirst = !self.hasBegun
        guard (20...23).contains(type), !isFirst || type == 22,
            version == [3, 3] || isFirst && version == [3, 1],
            (1...Self.maximumLength).contains(length)
        else {
            self.problem = "no record at byte \(self.byteCount - 5): \(self.header)"
            return
        }
        if type == 23 { self.applicationRecords += 1 }
        self.hasBegun = true
        self.left = length
        self.header = []
    }

    private static let maximumLength = (1 << 14) + 256
}
