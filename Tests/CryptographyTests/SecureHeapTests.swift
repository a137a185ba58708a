import Foundation
import Testing

@testable import Cryptography

@Suite struct SecureHeapTests {
    @Test(
        "The heap grows with the processors, within half of what may be locked",
        arguments: [
            (1, 65_536, 1 << 20), (16, 8 << 20, 1 << 20), (17, 8 << 20, 2 << 20),
            (64, 8 << 20, 4 << 20), (64, 4 << 20, 2 << 20), (256, UInt.max, 16 << 20),
        ] as [(Int, UInt, Int)])
    func size(processors: Int, limit: UInt, bytes: Int) {
        #expect(
            OpenSSLLibrary.secureHeapBytes(processors: processors, limit: limit) == bytes)
    }

    @Test("A hardened process keeps OpenSSL's private keys in locked memory")
    func keys() async {
        // In a process of its own: the heap is there for good once it is there.
        await #expect(processExitsWith: .success) {
            try ProcessHardening.apply()
            try OpenSSLLibrary.reserveSecureHeap()
            let before = OpenSSLLibrary.secureHeapBytesInUse
            let key = try PrivateKey.generate(.ecdsaP256)
            let withKey = OpenSSLLibrary.secureHeapBytesInUse
            try #require(withKey > before)
            _ = try key.pem()
            let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmLck:") }
            let kilobytes = line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
            try #require(kilobytes >= 1024)
        }
    }
}
