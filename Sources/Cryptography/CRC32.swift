/// A cyclic redundancy check of 32 bits: against slips of the pen and torn writes, not forgery.
package struct CRC32: Sendable {
    private let table: [UInt32]

    /// The one of IEEE 802.3, reflected polynomial 0xEDB88320.
    package static let ieee = CRC32(polynomial: 0xEDB8_8320)

    /// CRC-32C, Castagnoli's (RFC 3720, 12.1), reflected polynomial 0x82F63B78.
    package static let castagnoli = CRC32(polynomial: 0x82F6_3B78)

    private init(polynomial: UInt32) {
        self.table = (0..<256).map { byte in
            (0..<8).reduce(UInt32(byte)) { register, _ in
                register & 1 == 0 ? register >> 1 : register >> 1 ^ polynomial
            }
        }
    }

    /// The IEEE checksum of `bytes`.
    package static func checksum(of bytes: RawSpan) -> UInt32 {
        self.ieee.checksum(of: bytes)
    }

    /// The checksum of `bytes`.
    package func checksum(of bytes: RawSpan) -> UInt32 {
        var register = ~UInt32(0)
        for index in 0..<bytes.byteCount {
            register =
                self.table[Int(UInt8(truncatingIfNeeded: register) ^ bytes[byte: index])]
                ^ register >> 8
        }
        return ~register
    }
}
