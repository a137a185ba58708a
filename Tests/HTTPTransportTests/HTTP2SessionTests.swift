import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// Frames into a session and out of it, without a connection around it.
@Suite("HTTP/2 sessions")
struct HTTP2SessionTests {
    /// What the session said, in words.
    private final class Owner: HTTP2SessionOwner {
        let session: HTTP2Session
        private let loop: LoopContext
        var said: [String] = []
        var streams: [Int32: Stream] = [:]
        private var written = ByteBuffer()

        init(isServer: Bool, settings: [UInt8] = [], headBytes: Int = 65_536) throws {
            self.loop = LoopContext(
                eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
            self.session = HTTP2Session(isServer: isServer, loop: self.loop)
            self.session.owner = self
            self.session.announce(headBytes: headBytes)
            self.take(Array((isServer ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "").utf8))
            self.take(Self.frame(4, 0, 0, settings))
            _ = self.frames()
        }

        deinit { self.session.abandon() }

        static func frame(
            _ type: UInt8, _ flags: UInt8, _ stream: Int32, _ payload: [UInt8] = []
        ) -> [UInt8] {
            var bytes = ByteBuffer()
            bytes.writeInteger(UInt32(payload.count) << 8 | UInt32(type))
            bytes.writeInteger(flags)
            bytes.writeInteger(stream)
            return Array(bytes.readableBytesView) + payload
        }

        func take(_ bytes: [UInt8]) {
            guard case .all = self.session.receive(ByteBuffer(bytes: bytes)) else {
                self.said.append("not HTTP/2")
                return
            }
        }

        /// What leaves now: type, flags, stream and payload.
        func frames() -> [(type: UInt8, flags: UInt8, stream: Int32, payload: [UInt8])] {
            var isMore = true
            while isMore {
                var bytes = ByteBuffer()
                isMore = self.session.drain(into: &bytes, limit: 40_000)
                self.written.writeBuffer(&bytes)
            }
            var frames: [(type: UInt8, flags: UInt8, stream: Int32, payload: [UInt8])] = []
            if self.written.readableBytesView.starts(with: "PRI".utf8) {
                self.written.moveReaderIndex(forwardBy: 24)
            }
            while let word: UInt32 = self.written.readInteger(),
                let flags: UInt8 = self.written.readInteger(),
                let stream: Int32 = self.written.readInteger(),
                let payload = self.written.readBytes(length: Int(word >> 8))
            {
                frames.append((UInt8(word & 255), flags, stream, payload))
            }
            self.written.clear()
            return frames
        }

        /// Opens a stream of ours.
        func request(hasBody: Bool = true) throws -> Stream {
            let stream = Stream(session: self.session, owner: self)
            stream.head.method = .post
            try stream.head.setTarget(Array("/x".utf8).span)
            stream.id = self.session.submitRequest(
                stream, stream.head, isEncrypted: true, contentLength: nil,
                strippedPrefixBytes: 0, hasBody: hasBody)
            self.streams[stream.id] = stream
            return stream
        }

        func frameBegan(_ frame: HTTP2FrameHeader) {}
        func unknownFrameReceived() { self.said.append("unknown") }
        func openStream(_ id: Int32) -> HTTP2Stream? {
            guard self.streams.count < 3 else { return nil }
            let stream = Stream(session: self.session, owner: self)
            stream.id = id
            self.streams[id] = stream
            return stream
        }
        func fieldRefused() { self.said.append("field refused") }
        func frameReceived(_ frame: HTTP2FrameHeader, windowIncrement: Int32) {}
        func resetSent(_ streamID: Int32, code: UInt32) {
            self.said.append("\(streamID) reset \(code)")
        }
        func frameRefused(_ streamID: Int32) { self.said.append("\(streamID) refused") }
        func streamClosed(_ stream: HTTP2Stream, code: UInt32) {
            self.said.append("\(stream.id) closed \(code)")
            self.streams[stream.id] = nil
            stream.recycle()
        }
        func outputLeft() {}
    }

    private final class Stream: HTTP2Stream {
        private unowned let owner: Owner
        var received = 0

        init(session: HTTP2Session, owner: Owner) {
            self.owner = owner
            super.init(session: session, limits: HTTPLimits(), isEncrypted: true)
        }

        override func receiveField(
            _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
        ) -> HTTP2HeadReader.Verdict {
            facts.pseudo == .unknown ? .malformed : .taken
        }
        override func fieldsEnded(endsStream: Bool) {
            self.owner.said.append("\(self.id) head\(endsStream ? " end" : "")")
        }
        override func receiveData(_ bytes: ByteBuffer) {
            self.received += bytes.readableBytes
            self.passedOn(bytes.readableBytes)
        }
        override func dataEnded() { self.owner.said.append("\(self.id) end") }
    }

    private static let get: [UInt8] = [0x82, 0x87, 0x84]

    private static func frame(
        _ type: UInt8, _ flags: UInt8, _ stream: Int32, _ payload: [UInt8] = []
    ) -> [UInt8] {
        Owner.frame(type, flags, stream, payload)
    }

    /// What the code of the GOAWAY among `frames` is.
    private static func end(
        _ frames: [(type: UInt8, flags: UInt8, stream: Int32, payload: [UInt8])]
    ) -> UInt8? {
        frames.last { $0.type == 7 }?.payload[7]
    }

    @Test("frames mean the same wherever the bytes are cut")
    func cut() throws {
        let bytes =
            Self.frame(1, 0, 1, [0x82]) + Self.frame(9, 0, 1, [0x87, 0x04])
            + Self.frame(9, 4, 1, [0x01, 0x2f]) + Self.frame(0, 0, 1, [1, 2, 3])
            + Self.frame(0xbb, 0, 0, [9, 9, 9]) + Self.frame(0, 9, 1, [2, 4, 5, 0, 0])
        let whole = try Owner(isServer: true)
        whole.take(bytes)
        #expect(whole.said == ["1 head", "unknown", "1 end"])
        #expect(whole.streams[1]?.received == 5)
        for place in bytes.indices {
            let owner = try Owner(isServer: true)
            owner.take(Array(bytes[..<place]))
            owner.take(Array(bytes[place...]))
            #expect(owner.said == whole.said && owner.streams[1]?.received == 5)
        }
        let owner = try Owner(isServer: true)
        for byte in bytes { owner.take([byte]) }
        #expect(owner.said == whole.said && owner.streams[1]?.received == 5)
    }

    @Test(
        "a frame that breaks the rules ends the connection with the code for it",
        arguments: [
            ("DATA padded with more than there is", frame(0, 8, 1, [3, 1, 2]), 1),
            ("HEADERS padded with more than there is", frame(1, 12, 3, [9, 0x82]), 1),
            ("DATA padded without saying how much", frame(0, 8, 1), 6),
            ("HEADERS padded without saying how much", frame(1, 12, 3), 6),
            ("HEADERS too short for their priority", frame(1, 0x24, 3, [0x82]), 6),
            ("HEADERS on stream 0", frame(1, 4, 0, get), 1),
            ("PRIORITY of four bytes", frame(2, 0, 1, [0, 0, 0, 0]), 6),
            ("RST_STREAM of three bytes", frame(3, 0, 1, [0, 0, 0]), 6),
            ("RST_STREAM of an idle stream", frame(3, 0, 9, [0, 0, 0, 0]), 1),
            ("SETTINGS on a stream", frame(4, 0, 1), 1),
            ("SETTINGS of five bytes", frame(4, 0, 0, [0, 1, 0, 0, 0]), 6),
            ("an acknowledgement with a payload", frame(4, 1, 0, [0, 1, 0, 0, 0, 0]), 6),
            ("ENABLE_PUSH of 2", frame(4, 0, 0, [0, 2, 0, 0, 0, 2]), 1),
            ("MAX_FRAME_SIZE of 16,383", frame(4, 0, 0, [0, 5, 0, 0, 0x3f, 0xff]), 1),
            ("33 settings", frame(4, 0, 0, [UInt8](repeating: 0, count: 198)), 11),
            ("PUSH_PROMISE", frame(5, 4, 1, [0, 0, 0, 2]), 1),
            ("PING on a stream", frame(6, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0]), 1),
            ("GOAWAY of seven bytes", frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0]), 6),
            ("WINDOW_UPDATE of an idle stream", frame(8, 0, 9, [0, 0, 0, 1]), 1),
            ("CONTINUATION without HEADERS", frame(9, 4, 1), 1),
            ("CONTINUATION of another stream", frame(1, 0, 3) + frame(9, 4, 1), 1),
            ("a block that ends within a field", frame(1, 4, 3, [0x82, 0x04, 9]), 9),
        ])
    func broken(what: String, bytes: [UInt8], code: UInt8) throws {
        let owner = try Owner(isServer: true)
        owner.take(Self.frame(1, 4, 1, Self.get))
        owner.take(bytes)
        // Nothing more is read.
        owner.take(Self.frame(1, 4, 7, Self.get))
        #expect(Self.end(owner.frames()) == code, "\(what)")
        #expect(owner.streams[7] == nil && !owner.session.wantsRead)
    }

    @Test("more DATA than a stream's window resets the stream, and no other")
    func overflow() throws {
        let owner = try Owner(isServer: true)
        for id: Int32 in [1, 3] { owner.take(Self.frame(1, 4, id, Self.get)) }
        _ = owner.streams[1]?.pauseReading(true)
        for _ in 0..<5 {
            owner.take(Self.frame(0, 0, 1, [UInt8](repeating: 0, count: 16_384)))
        }
        owner.take(Self.frame(0, 1, 3, [1]))
        #expect(owner.said == ["1 head", "3 head", "1 refused", "3 end"])
        #expect(owner.frames().map(\.payload) == [[0, 0, 0, 3]])
        #expect(owner.said.last == "1 closed 3")
    }

    @Test("SETTINGS come first, and are acknowledged once each way")
    func settings() throws {
        let early = try Owner(isServer: false)
        #expect(early.said.isEmpty)
        // The first acknowledgement is due, the second is not.
        early.take(Self.frame(4, 1, 0))
        #expect(Self.end(early.frames()) == nil)
        early.take(Self.frame(4, 1, 0))
        #expect(Self.end(early.frames()) == 1)

        let loop = LoopContext(eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
        let session = HTTP2Session(isServer: false, loop: loop)
        let owner = try Owner(isServer: false)
        session.owner = owner
        _ = session.receive(ByteBuffer(bytes: Self.frame(6, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])))
        #expect(session.isTerminated)
        session.abandon()
    }

    @Test("a peer that reads no acknowledgements cannot ask for any number of them")
    func acknowledgements() throws {
        let owner = try Owner(isServer: true)
        let ping = Self.frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
        for _ in 0..<1000 { owner.take(ping) }
        #expect(!owner.session.isTerminated)
        let frames = owner.frames()
        #expect(frames.count == 1000)
        #expect(frames.allSatisfy { $0.flags == 1 && $0.payload == [1, 2, 3, 4, 5, 6, 7, 8] })
        for _ in 0..<1001 { owner.take(ping) }
        #expect(owner.session.isOverdone)
        #expect(Self.end(owner.frames()) == 11)
    }

    @Test("DATA leave as the stream's window and the connection's allow, in turn")
    func windows() throws {
        // INITIAL_WINDOW_SIZE 20,000.
        let owner = try Owner(isServer: false, settings: [0, 4, 0, 0, 0x4e, 0x20])
        let first = try owner.request()
        let second = try owner.request()
        for stream in [first, second] { stream.queue(ByteBuffer(repeating: 1, count: 60_000)) }
        var sizes = owner.frames().filter { $0.type == 0 }.map {
            [Int($0.stream), $0.payload.count]
        }
        #expect(sizes == [[1, 16_384], [3, 16_384], [1, 3616], [3, 3616]])
        // The setting opens both, by as much as it grows: the connection's is next.
        owner.take(Self.frame(4, 0, 0, [0, 4, 0, 1, 0, 0]))
        sizes = owner.frames().filter { $0.type == 0 }.map { [Int($0.stream), $0.payload.count] }
        #expect(sizes.reduce(0) { $0 + $1[1] } == 65_535 - 40_000)
        owner.take(Self.frame(8, 0, 0, [0, 1, 0, 0]))
        second.queueEnd(trailers: nil)
        let rest = owner.frames()
        #expect(rest.reduce(0) { $0 + $1.payload.count } == 120_000 - 65_535)
        #expect(rest.last { $0.type == 0 && $0.stream == 3 }?.flags == 1)
        #expect(rest.allSatisfy { $0.stream == 3 || $0.flags == 0 })
    }

    @Test("trailers follow the last DATA; a block longer than a frame is continued")
    func trailers() throws {
        let owner = try Owner(isServer: true)
        owner.take(Self.frame(1, 5, 1, Self.get))
        let stream = try #require(owner.streams[1])
        let head = MessageHead()
        head.status = 200
        for number in 0..<5 {
            _ = head.append(
                name: Array("x-\(number)".utf8).span,
                value: [UInt8](repeating: 0x61, count: 10_000).span)
        }
        owner.session.submitResponse(stream, head, contentLength: nil, hasBody: true)
        stream.queue(ByteBuffer(string: "body"))
        let trailers = MessageHead()
        _ = trailers.append(
            name: Array("grpc-status".utf8).span, value: Array("0".utf8).span)
        stream.queueEnd(trailers: trailers)
        let frames = owner.frames()
        #expect(frames.map(\.type) == [1, 9, 9, 9, 0, 1])
        #expect(frames.map(\.flags) == [0, 0, 0, 4, 0, 5])
        #expect(frames.prefix(3).allSatisfy { $0.payload.count == 16_384 })
        #expect(owner.said.suffix(1) == ["1 closed 0"])
        let inflater = NGHTTP2.Inflater()
        let lines = try inflater.lines(frames.prefix(4).flatMap(\.payload))
        #expect(lines.count == 6 && lines[5].count == 10_005)
        #expect(try inflater.lines(frames[5].payload) == ["grpc-status: 0"])
    }

    @Test("a stream we reset is over once RST_STREAM has left; what comes meanwhile is dropped")
    func reset() throws {
        let owner = try Owner(isServer: true)
        owner.take(Self.frame(1, 4, 1, Self.get))
        let stream = try #require(owner.streams[1])
        let head = MessageHead()
        head.status = 200
        owner.session.submitResponse(stream, head, contentLength: nil, hasBody: true)
        stream.queue(ByteBuffer(string: "body"))
        owner.session.reset(1, code: 2)
        owner.session.reset(1, code: 8)
        stream.queueEnd(trailers: nil)
        owner.take(Self.frame(0, 1, 1, [1, 2, 3]))
        #expect(stream.received == 0 && owner.said == ["1 head"])
        let frames = owner.frames()
        #expect(frames.map(\.type) == [1, 3])
        #expect(frames.last?.payload == [0, 0, 0, 2])
        #expect(owner.said == ["1 head", "1 reset 2", "1 closed 2"])

        // Also where both ends have come meanwhile.
        owner.take(Self.frame(1, 4, 3, Self.get))
        let ended = try #require(owner.streams[3])
        owner.session.submitResponse(ended, head, contentLength: nil, hasBody: false)
        _ = owner.frames()
        owner.session.reset(3, code: 0)
        owner.take(Self.frame(0, 1, 3, [1, 2, 3]))
        #expect(owner.said.last == "3 head")
        _ = owner.frames()
        #expect(owner.said.suffix(2) == ["3 reset 0", "3 closed 0"])
    }

    @Test("a malformed field resets its stream, and the table goes on")
    func field() throws {
        let owner = try Owner(isServer: true)
        // `:x: y`, then a field that goes to the table, which the next head refers to.
        let bad: [UInt8] = [0, 2, 0x3a, 0x78, 1, 0x79, 0x40, 1, 0x61, 1, 0x62]
        owner.take(Self.frame(1, 5, 1, Self.get + bad))
        owner.take(Self.frame(1, 5, 3, Self.get + [0xbe]))
        #expect(owner.said == ["field refused", "3 head end"])
        #expect(owner.frames().map(\.payload) == [[0, 0, 0, 1]])
    }

    @Test(
        "windows are given back by half, of the stream as it passes on, of the connection at once")
    func updates() throws {
        let owner = try Owner(isServer: true)
        owner.take(Self.frame(1, 4, 1, Self.get))
        let stream = try #require(owner.streams[1])
        let piece = Self.frame(0, 0, 1, [UInt8](repeating: 0, count: 16_384))
        for _ in 0..<2 { owner.take(piece) }
        #expect(owner.frames().map(\.payload) == [[0, 0, 0x80, 0]])
        #expect(stream.pauseReading(true) == false)
        for _ in 0..<4 { owner.take(piece) }
        #expect(owner.frames().isEmpty)
        #expect(stream.pauseReading(false))
        #expect(owner.frames().map(\.payload) == [[0, 1, 0, 0]])
        // Padding is given back though nobody sees it; what others get counts for all.
        let padding = [254] + [UInt8](repeating: 0, count: 254)
        for _ in 0..<26 { owner.take(Self.frame(0, 8, 1, padding)) }
        for _ in 0..<26 {
            owner.take(piece)
            owner.take(Self.frame(8, 0, 1, [0, 0, 0, 1]))
        }
        let updates = owner.frames()
        #expect(updates.contains { $0.type == 8 && $0.stream == 0 })
        #expect(!owner.session.isTerminated)
    }

    @Test("a stream that closes while it waits for the connection's window is forgotten")
    func starved() throws {
        let owner = try Owner(isServer: true)
        for id in [Int32(1), 3] { owner.take(Self.frame(1, 4, id, Self.get)) }
        for id in [Int32(1), 3] {
            let stream = try #require(owner.streams[id])
            let head = MessageHead()
            head.status = 200
            owner.session.submitResponse(stream, head, contentLength: nil, hasBody: true)
            stream.queue(ByteBuffer(repeating: 0x61, count: 65_535))
        }
        #expect(owner.frames().reduce(0) { $0 + ($1.type == 0 ? $1.payload.count : 0) } == 65_535)
        #expect(owner.session.starved.count == 2)
        owner.take(Self.frame(3, 0, 3, [0, 0, 0, 8]))
        #expect(owner.said.last == "3 closed 8")
        #expect(owner.session.starved.map(\.id) == [1] && owner.session.ready.isEmpty)
    }

    @Test("a head has as many frames as it takes, and some more")
    func continuations() throws {
        for (headBytes, count, isTaken) in [
            (65_536, 8, true), (65_536, 9, false), (1 << 20, 68, true), (1 << 20, 69, false),
        ] {
            let owner = try Owner(isServer: true, headBytes: headBytes)
            owner.take(Self.frame(1, 0, 1, Self.get))
            for number in 1...count {
                owner.take(Self.frame(9, number == count ? 4 : 0, 1, [0, 1, 0x78, 1, 0x79]))
            }
            #expect(owner.said == (isTaken ? ["1 head"] : ["1 refused"]))
        }
    }

    @Test("streams beyond the backend's GOAWAY are refused, those before it go on")
    func goAway() throws {
        let owner = try Owner(isServer: false)
        let streams = try (0..<3).map { _ in try owner.request() }
        _ = owner.frames()
        owner.take(Self.frame(7, 0, 0, [0, 0, 0, 3, 0, 0, 0, 0]))
        #expect(owner.said == ["5 closed 7"])
        #expect(!owner.session.mayOpenStreams && owner.session.wantsRead)
        // A later one may take fewer, never more.
        owner.take(Self.frame(1, 5, 1, [0x88]))
        streams[0].queueEnd(trailers: nil)
        _ = owner.frames()
        #expect(owner.said.suffix(2) == ["1 head end", "1 closed 0"])
        // Who asks now is told so, not left waiting.
        #expect(try owner.request().id == -1)
        owner.session.reset(-1, code: 8)
        #expect(owner.frames().isEmpty)
        #expect(owner.said.last == "-1 closed 7")
        owner.take(Self.frame(7, 0, 0, [0, 0, 0, 9, 0, 0, 0, 0]))
        #expect(Self.end(owner.frames()) == 1)
    }

    @Test("after the second step of a shutdown new streams are passed over, the table goes on")
    func shutDown() throws {
        let owner = try Owner(isServer: true)
        owner.take(Self.frame(1, 5, 1, Self.get))
        owner.session.announceShutdown()
        owner.take(Self.frame(1, 5, 3, Self.get + [0x40, 1, 0x61, 1, 0x62]))
        owner.session.shutDown()
        owner.take(Self.frame(1, 4, 5, Self.get + [0x40, 1, 0x63, 1, 0x64]))
        owner.take(Self.frame(0, 1, 5, [1]))
        #expect(owner.said == ["1 head end", "3 head end"])
        let lasts = owner.frames().map { Array($0.payload.prefix(4)) }
        #expect(lasts == [[0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 3]])
        // Two entries: both blocks were read.
        owner.take(Self.frame(1, 5, 7, Self.get + [0xbf]))
        #expect(!owner.session.isTerminated)
    }
}
