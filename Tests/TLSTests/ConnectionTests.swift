import COpenSSL
import NIOCore
import NIOEmbedded
import Testing

@testable import TLS

@Suite struct ConnectionTests {
    let certificates: TestCertificates
    let pair: TLSPair

    init() throws {
        self.certificates = try TestCertificates()
        self.pair = try TLSPair(
            server: TLSServerConfiguration(certificates: [self.certificates.server(["a.example"])]),
            client: TLSClientConfiguration(
                trustRoots: self.certificates.root, peer: .dnsName("a.example")))
    }

    @Test("8 MiB pass each way, whatever the pieces", arguments: [Int.max, 1_000, 17_000])
    func large(chunk: Int) throws {
        try self.pair.connect()
        let bytes = (0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 13) }
        try self.pair.client.writeOutbound(ByteBuffer(bytes: bytes))
        try self.pair.server.writeOutbound(ByteBuffer(bytes: bytes))
        self.pair.carry(chunk: chunk)
        #expect(self.pair.serverRecorder.received == bytes)
        #expect(self.pair.clientRecorder.received == bytes)
    }

    @Test("A handshake and its bytes may come one byte at a time")
    func byteAtATime() throws {
        try self.pair.client.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.pair.server.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        self.pair.client.writeAndFlush(ByteBuffer(string: "early"), promise: nil)
        self.pair.carry(chunk: 1)
        #expect(self.pair.serverRecorder.received == Array("early".utf8))
        #expect(self.pair.serverRecorder.errors == [])
    }

    @Test(
        "A peer that changes its keys more than 16 times a minute is let go",
        arguments: [SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED])
    func keyUpdates(_ kind: Int32) throws {
        let pair = try self.pairWithOpenSSL()
        try pair.connect()
        for number in 1...17 {
            let connection = try #require(pair.clientHandler.connection)
            // It leaves before the next record (SSL_key_update(3)).
            #expect(unsafe SSL_key_update(connection.ssl, kind) == 1)
            pair.client.writeAndFlush(ByteBuffer(string: "x"), promise: nil)
            pair.carry()
            pair.server.writeAndFlush(ByteBuffer(string: "y"), promise: nil)
            pair.carry()
            if number <= 16 {
                #expect(pair.serverRecorder.received.count == number)
                #expect(pair.clientRecorder.received.count == number)
                #expect(pair.serverRecorder.errors == [])
                #expect(pair.clientRecorder.errors == [])
            }
        }
        #expect(pair.serverRecorder.errors == [.tooManyKeyChanges])
    }

    @Test("OpenSSL opens our records and we open its", arguments: [Int.max, 999])
    func openSSL(chunk: Int) throws {
        let pair = try self.pairWithOpenSSL()
        try pair.connect()
        let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 13) }
        try pair.client.writeOutbound(ByteBuffer(bytes: bytes))
        try pair.server.writeOutbound(ByteBuffer(bytes: bytes))
        pair.carry(chunk: chunk)
        #expect(pair.serverRecorder.received == bytes)
        #expect(pair.clientRecorder.received == bytes)
        try pair.server.close().wait()
        pair.carry(chunk: chunk)
        #expect(pair.clientRecorder.inputClosed == 1)
        #expect(pair.clientRecorder.errors == [])
    }

    /// A client that leaves its connection to OpenSSL after the handshake too.
    private func pairWithOpenSSL() throws -> TLSPair {
        var client = TLSClientConfiguration(
            trustRoots: self.certificates.root, peer: .dnsName("a.example"))
        client.wantsTickets = true
        return try TLSPair(
            server: TLSServerConfiguration(certificates: [self.certificates.server(["a.example"])]),
            client: client)
    }

    @Test("Writes of one flush are one write to the channel, and one read at the peer")
    func oneWrite() throws {
        try self.pair.connect()
        self.pair.server.write(ByteBuffer(string: "a"), promise: nil)
        self.pair.server.write(ByteBuffer(string: "b"), promise: nil)
        self.pair.server.flush()
        let first = try self.pair.server.readOutbound(as: ByteBuffer.self)
        #expect(try self.pair.server.readOutbound(as: ByteBuffer.self) == nil)
        try self.pair.client.writeInbound(try #require(first))
        #expect(self.pair.clientRecorder.received == Array("ab".utf8))
        #expect(self.pair.clientRecorder.reads == 1)
    }

    @Test("The first 16 KiB go in records of 1,300 bytes, the rest in full ones")
    func recordSizes() throws {
        try self.pair.connect()
        try self.pair.server.writeOutbound(ByteBuffer(repeating: 1, count: 1_290))
        #expect(try self.records() == [1_290])
        try self.pair.server.writeOutbound(ByteBuffer(repeating: 1, count: 64_000))
        let sizes = try self.records()
        #expect(sizes.prefix(12).allSatisfy { $0 == 1_300 })
        #expect(sizes.contains(16_384))
        #expect(sizes.reduce(0, +) == 64_000)
    }

    @Test("close sends close_notify; the peer hears it once and is not told of truncation")
    func closeNotify() throws {
        try self.pair.connect()
        self.pair.client.close(promise: nil)
        self.pair.carry()
        #expect(self.pair.serverRecorder.inputClosed == 1)
        self.pair.server.pipeline.fireChannelInactive()
        #expect(self.pair.serverRecorder.errors == [])
        #expect(self.pair.counters.truncations == 0)
    }

    @Test("A close after an abort is a cut, whatever was written before")
    func abort() throws {
        try self.pair.connect()
        self.pair.server.write(ByteBuffer(string: "half an answer"), promise: nil)
        self.pair.server.pipeline.triggerUserOutboundEvent(TLSOutboundEvent.abort, promise: nil)
        self.pair.server.close(promise: nil)
        #expect(!self.pair.server.isActive)
        #expect(try self.pair.server.readOutbound(as: ByteBuffer.self) == nil)
        #expect(self.pair.serverRecorder.errors == [])
        #expect(self.pair.counters.truncations == 0)
    }

    @Test("A close waits 30 s for a reader that takes nothing, and ends when all is taken")
    func slowReader() throws {
        for isTaken in [false, true] {
            let pair = try TLSPair(
                server: TLSServerConfiguration(
                    certificates: [self.certificates.server(["a.example"])]),
                client: TLSClientConfiguration(
                    trustRoots: self.certificates.root, peer: .dnsName("a.example")))
            let socket = HoldingSocket()
            try pair.server.pipeline.syncOperations.addHandler(socket, position: .first)
            try pair.connect()
            let loop = pair.server.embeddedEventLoop
            socket.hold()
            pair.server.writeAndFlush(ByteBuffer(repeating: 0, count: 50_000), promise: nil)
            pair.server.close(promise: nil)
            loop.advanceTime(by: .seconds(29))
            #expect(pair.server.isActive)
            if isTaken { socket.take() }
            loop.advanceTime(by: isTaken ? .milliseconds(100) : .seconds(2))
            #expect(!pair.server.isActive)
            pair.carry()
            #expect(pair.clientRecorder.received.count == (isTaken ? 50_000 : 0))
            #expect(pair.clientRecorder.inputClosed == (isTaken ? 1 : 0))
        }
    }

    @Test("An end without close_notify is a truncation")
    func truncation() throws {
        try self.pair.connect()
        self.pair.client.pipeline.fireChannelInactive()
        #expect(self.pair.clientRecorder.errors == [.truncated])
        self.pair.server.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(self.pair.serverRecorder.errors == [.truncated])
        #expect(self.pair.counters.truncations == 1)
    }

    @Test("A record that was changed is refused, wherever it was", arguments: 0..<27)
    func tampered(position: Int) throws {
        try self.pair.connect()
        try self.pair.client.writeOutbound(ByteBuffer(string: "score"))
        var bytes = try #require(try self.pair.client.readOutbound(as: ByteBuffer.self))
        try #require(bytes.readableBytes == 27)
        let byte = try #require(bytes.getInteger(at: position, as: UInt8.self))
        bytes.setInteger(byte ^ 0x41, at: position)
        _ = try? self.pair.server.writeInbound(bytes)
        _ = try? self.pair.server.writeInbound(ByteBuffer(repeating: 0, count: 20_000))
        #expect(self.pair.serverRecorder.received == [])
        #expect(self.pair.serverRecorder.errors.count == 1)
        #expect(!self.pair.server.isActive)
    }

    @Test("A slow client is cut off", arguments: [0, 1, 100])
    func slowClient(sent: Int) throws {
        try self.pair.client.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.pair.server.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var hello = try #require(try self.pair.client.readOutbound(as: ByteBuffer.self))
        if let part = hello.readSlice(length: sent), sent > 0 {
            try self.pair.server.writeInbound(part)
        }
        self.pair.server.embeddedEventLoop.advanceTime(by: .milliseconds(4_999))
        #expect(self.pair.serverRecorder.errors == [])
        self.pair.server.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(
            self.pair.serverRecorder.errors == [
                .handshakeTimeout(phase: sent == 0 ? .firstByte : .clientHello)
            ])
        #expect(!self.pair.server.isActive)
    }

    @Test("A client that does not finish is cut off after 10 s")
    func unfinished() throws {
        try self.pair.client.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.pair.server.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let hello = try #require(try self.pair.client.readOutbound(as: ByteBuffer.self))
        try self.pair.server.writeInbound(hello)
        self.pair.server.embeddedEventLoop.advanceTime(by: .milliseconds(9_999))
        #expect(self.pair.serverRecorder.errors == [])
        self.pair.server.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(self.pair.serverRecorder.errors == [.handshakeTimeout(phase: .handshake)])
        #expect(self.pair.resources.handshakes.isEmpty)
    }

    @Test("Bytes that are not TLS end the connection")
    func noTLS() throws {
        try self.pair.server.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        _ = try? self.pair.server.writeInbound(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
        #expect(self.pair.serverRecorder.errors.count == 1)
        #expect(!self.pair.server.isActive)
    }

    @Test("A ClientHello that does not end is refused at 16 KiB")
    func largeClientHello() throws {
        try self.pair.server.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var bytes = ByteBuffer(bytes: [22, 3, 1, 0x40, 0, 1, 1, 0, 0, 3, 3])
        bytes.writeRepeatingByte(7, count: 16_384 - 6)
        bytes.writeBytes([22, 3, 1, 0x40, 0])
        bytes.writeRepeatingByte(7, count: 100)
        _ = try? self.pair.server.writeInbound(bytes)
        #expect(self.pair.serverRecorder.errors == [.clientHelloTooLarge])
    }

    /// The plaintext sizes of the TLS 1.3 records the server has written.
    private func records() throws -> [Int] {
        var sizes: [Int] = []
        while var bytes = try self.pair.server.readOutbound(as: ByteBuffer.self) {
            while let header = bytes.readBytes(length: 5) {
                let count = Int(header[3]) << 8 | Int(header[4])
                bytes.moveReaderIndex(forwardBy: count)
                sizes.append(count - 17)
            }
        }
        return sizes
    }
}
