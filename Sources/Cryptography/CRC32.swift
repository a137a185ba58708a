/// The CRC-32 of IEEE 802.3: a check against slips of the pen, not against forgery.
package enum CRC32 {
    /// The checksum of `bytes`.
    package static func checksum(of bytes: RawSpan) -> UInt32 {
        var register = ~UInt32(0)
        for index in 0..<bytes.byteCount {
            register =
                Self.table[Int(UInt8(truncatingIfNeeded: register) ^ bytes[byte: index])]
                ^ register >> 8
        }
        return ~register
    }

    /// The remainder of each byte by the reflected polynomial 0xEDB88320.
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { register, _ in
            register & 1 == 0 ? register >> 1 : register >> 1 ^ 0xEDB8_8320
        }
    }
}
