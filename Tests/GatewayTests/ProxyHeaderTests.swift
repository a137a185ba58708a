import HTTPTransport
import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import Gateway

@Suite("PROXY protocol header")
struct ProxyHeaderTests {
    private static func v2(
        command: UInt8 = 0x21, family: UInt8, _ block: [UInt8], length: UInt16? = nil
    ) -> [UInt8] {
        let length = length ?? UInt16(block.count)
        return [
            0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family,
            UInt8(length >> 8), UInt8(length & 0xff),
        ] + block
    }

    private static let v2IPv4 = Self.v2(
        family: 0x11, [192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 1, 187])
    private static let v2IPv6 = Self.v2(
        family: 0x21,
        [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
            + [UInt8](repeating: 0, count: 15) + [1] + [0x30, 0x39, 1, 187] + [4, 0, 1, 9])

    @Test(
        "the text form names the client",
        arguments: [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n", "192.0.2.1"),
            ("PROXY TCP6 2001:db8::1 ::1 12345 443\r\n", "2001:db8::1"),
            ("PROXY UNKNOWN\r\n", nil), ("PROXY UNKNOWN a b c\r\n", nil),
        ] as [(String, String?)])
    func version1(text: String, source: String?) throws {
        var input = ByteBuffer(string: text + "rest")
        let found = try ProxyHeader(version1: &input)
        let header = try #require(found)
        #expect(header.source?.ipAddress == source)
        #expect(header.source?.port == source.map { _ in 12345 })
        #expect(String(buffer: input) == "rest")
        for count in 0..<text.utf8.count {
            var cut = ByteBuffer(bytes: text.utf8.prefix(count))
            let header = try ProxyHeader(version1: &cut)
            #expect(header.map { _ in true } == nil)
            #expect(cut.readableBytes == count)
        }
    }

    @Test(
        "what is not the text form is refused",
        arguments: [
            "GET / HTTP/1.1\r\n", "PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 -1 443\r\n", "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 host 10.0.0.1 1 2\r\n", "PROXY\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWN " + String(repeating: "x", count: 100) + "\r\n",
            "PROXY " + String(repeating: "x", count: 101),
        ])
    func malformed1(text: String) {
        var input = ByteBuffer(string: text)
        #expect(throws: ProxyHeader.Malformed.self) { try ProxyHeader(version1: &input) }
    }

    @Test(
        "the binary form names the client, and waits for its end at every length",
        arguments: [
            (Self.v2IPv4, "192.0.2.1"), (Self.v2IPv6, "2001:db8::1"),
            (Self.v2(command: 0x20, family: 0, []), nil), (Self.v2(family: 0x31, [1, 2, 3]), nil),
        ] as [([UInt8], String?)])
    func version2(bytes: [UInt8], source: String?) throws {
        var input = ByteBuffer(bytes: bytes + [7])
        let found = try ProxyHeader(version2: &input)
        let header = try #require(found)
        #expect(header.source?.ipAddress == source)
        #expect(header.source?.port == source.map { _ in 12345 })
        #expect(input.readableBytes == 1)
        for count in 0..<bytes.count {
            var cut = ByteBuffer(bytes: bytes.prefix(count))
            let header = try ProxyHeader(version2: &cut)
            #expect(header.map { _ in true } == nil)
            #expect(cut.readableBytes == count)
        }
    }

    @Test(
        "what is not the binary form is refused",
        arguments: [
            Array("GET / HTTP/1.1\r\n".utf8), Self.v2(command: 0x11, family: 0x11, []),
            Self.v2(command: 0x22, family: 0x11, []), Self.v2(family: 0x11, [1, 2, 3]),
            Self.v2(family: 0x21, [UInt8](repeating: 0, count: 12)),
            Self.v2(family: 0x11, [], length: 4097),
        ])
    func malformed2(bytes: [UInt8]) {
        var input = ByteBuffer(bytes: bytes)
        #expect(throws: ProxyHeader.Malformed.self) { try ProxyHeader(version2: &input) }
    }

    @Test("a peer that is no trusted proxy is not listened to, whenever the handler comes")
    func untrusted() throws {
        let channel = EmbeddedChannel()
        let context = LoopContext(
            eventLoop: channel.embeddedEventLoop, tls: try TLSWorkerResources())
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        // As for a connection that had to wait: it is active already.
        try channel.pipeline.syncOperations.addHandler(
            ProxyProtocolHandler(version: .v1, loop: context, isTrusted: false))
        _ = try? channel.writeInbound(
            ByteBuffer(string: "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\nhello"))
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
        #expect(try channel.readInbound(as: ByteBuffer.self) == nil)
    }
}
