internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration

/// Reads the header a proxy puts before a connection's first byte, then steps out of the way.
///
/// Both forms of the PROXY protocol (haproxy.org, proxy-protocol.txt, 2.1 and 2.2). Only a trusted
/// proxy may connect to such a listener at all; anything but a whole, well-formed header within
/// ``headerTime`` closes the connection.
final class ProxyProtocolHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// The client the header names; nil for the proxy's own connections (LOCAL, UNKNOWN).
    private(set) var source: SocketAddress?
    private let version: ListenerConfiguration.ProxyProtocol
    private let isTrusted: Bool
    private let timer: DeadlineTimer
    private var input = ByteBuffer()
    private var context: ChannelHandlerContext?

    init(version: ListenerConfiguration.ProxyProtocol, loop: LoopContext, isTrusted: Bool) {
        self.version = version
        self.isTrusted = isTrusted
        self.timer = DeadlineTimer(wheel: loop.deadlines)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.timer.bind(to: self)
        self.timer.set(.now() + Self.headerTime)
        // A connection that had to wait is active by now, and is not told of it again.
        if !self.isTrusted, context.channel.isActive { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.timer.invalidate()
    }

    func channelActive(context: ChannelHandlerContext) {
        guard self.isTrusted else {
            context.close(promise: nil)
            return
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.isTrusted else { return }
        var bytes = Self.unwrapInboundIn(data)
        self.input.writeBuffer(&bytes)
        do throws(ProxyHeader.Malformed) {
            let header =
                self.version == .v1
                ? try ProxyHeader(version1: &self.input) : try ProxyHeader(version2: &self.input)
            guard let header else { return }
            self.source = header.source
            let rest = self.input
            self.input = ByteBuffer()
            // Once removed, a context leads nowhere; this handler was the pipeline's first.
            let pipeline = context.pipeline.syncOperations
            pipeline.removeHandler(self, promise: nil)
            if rest.readableBytes > 0 {
                pipeline.fireChannelRead(Self.wrapInboundOut(rest))
                pipeline.fireChannelReadComplete()
            }
        } catch {
            context.close(promise: nil)
        }
    }

    /// 5 s: the header comes with the first packet.
    private static let headerTime = TimeAmount.seconds(5)
}

extension ProxyProtocolHandler: DeadlineOwner {
    func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        self.context?.close(promise: nil)
    }
}

/// A PROXY protocol header.
struct ProxyHeader {
    /// The bytes are no such header.
    struct Malformed: Error {}

    /// Where the client's connection comes from; nil if the header does not say.
    let source: SocketAddress?

    /// Reads `PROXY TCP4|TCP6|UNKNOWN … CRLF`; nil if more bytes are needed.
    ///
    /// - Throws: Over 107 bytes, the longest there can be, or not of the form.
    init?(version1 input: inout ByteBuffer) throws(Malformed) {
        let view = input.readableBytesView
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count < 107, "PROXY ".utf8.starts(with: view.prefix(6)) else {
                throw Malformed()
            }
            return nil
        }
        let length = end - view.startIndex + 1
        guard length <= 107, let line = input.readString(length: length), line.hasSuffix("\r\n")
        else { throw Malformed() }
        let words = line.dropLast().split(separator: " ", omittingEmptySubsequences: false)
        guard words.count >= 2, words[0] == "PROXY" else { throw Malformed() }
        switch words[1] {
        case "UNKNOWN":
            self.source = nil
        case "TCP4", "TCP6":
            guard words.count == 6, let port = UInt16(words[4]), UInt16(words[5]) != nil,
                let source = IPAddress(words[2]), IPAddress(words[3]) != nil,
                source.isIPv4 == (words[1] == "TCP4"),
                let address = try? SocketAddress(
                    ipAddress: source.description, port: Int(port))
            else { throw Malformed() }
            self.source = address
        default:
            throw Malformed()
        }
    }

    /// Reads the binary form; nil if more bytes are needed.
    ///
    /// | offset | bytes | field |
    /// |---|---|---|
    /// | 0 | 12 | signature |
    /// | 12 | 1 | version 2 in the high half; 0 LOCAL or 1 PROXY in the low |
    /// | 13 | 1 | family and protocol: 0x11 TCP over IPv4, 0x21 over IPv6 |
    /// | 14 | 2 | length of what follows, big-endian |
    /// | 16 | 12 or 36 | source, destination, their ports; then extensions |
    ///
    /// - Throws: Another signature or version, or more than 4 KiB.
    init?(version2 input: inout ByteBuffer) throws(Malformed) {
        let signature: [UInt8] = [
            0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
        ]
        guard signature.starts(with: input.readableBytesView.prefix(12)) else { throw Malformed() }
        let start = input.readerIndex
        guard input.readableBytes >= 16,
            let command: UInt8 = input.getInteger(at: start + 12),
            let family: UInt8 = input.getInteger(at: start + 13),
            let length: UInt16 = input.getInteger(at: start + 14)
        else { return nil }
        guard length <= 4096, command == 0x20 || command == 0x21 else { throw Malformed() }
        guard input.readableBytes >= 16 + Int(length) else { return nil }
        input.moveReaderIndex(forwardBy: 16)
        guard var block = input.readSlice(length: Int(length)) else { return nil }
        guard command == 0x21 else {
            self.source = nil
            return
        }
        switch family {
        case 0x11:
            guard let bits: UInt32 = block.readInteger(), block.readInteger(as: UInt32.self) != nil,
                let port: UInt16 = block.readInteger(),
                let address = try? SocketAddress(
                    ipAddress: IPAddress(ipv4: bits).description, port: Int(port))
            else { throw Malformed() }
            self.source = address
        case 0x21:
            guard let bits: UInt128 = block.readInteger(),
                block.readInteger(as: UInt128.self) != nil,
                let port: UInt16 = block.readInteger(),
                let address = try? SocketAddress(
                    ipAddress: IPAddress(bits: bits).description, port: Int(port))
            else { throw Malformed() }
            self.source = address
        default:
            self.source = nil
        }
    }
}
