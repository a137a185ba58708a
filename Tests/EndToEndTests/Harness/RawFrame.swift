import NIOCore

/// One HTTP/2 frame, made and read without any code of the program under test.
struct RawFrame: Sendable, Equatable {
    var type: UInt8
    var flags: UInt8 = 0
    var stream: UInt32
    var payload: [UInt8] = []

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// The client's preface with empty settings.
    static var start: [UInt8] { self.preface + RawFrame(type: 4, stream: 0).bytes }

    var bytes: [UInt8] {
        let length = UInt32(self.payload.count)
        return Self.word(length).dropFirst() + [self.type, self.flags] + Self.word(self.stream)
            + self.payload
    }

    static func word(_ number: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    /// HEADERS with END_HEADERS; END_STREAM unless there is to be a body.
    static func headers(
        _ fields: [(String, String)], stream: UInt32 = 1, endsStream: Bool = true,
        endsHeaders: Bool = true
    ) -> [UInt8] {
        Self.headers(
            block: Self.block(fields), stream: stream, endsStream: endsStream,
            endsHeaders: endsHeaders)
    }

    /// HEADERS, and CONTINUATION where the block is longer than a frame.
    static func headers(
        block: [UInt8], stream: UInt32 = 1, endsStream: Bool = true, endsHeaders: Bool = true
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = block[...]
        repeat {
            let isFirst = bytes.isEmpty
            let isLast = rest.count <= 16_384
            let flags: UInt8 = (endsStream && isFirst ? 1 : 0) | (endsHeaders && isLast ? 4 : 0)
            bytes +=
                RawFrame(
                    type: isFirst ? 1 : 9, flags: flags, stream: stream,
                    payload: Array(rest.prefix(16_384))
                ).bytes
            rest = rest.dropFirst(16_384)
        } while !rest.isEmpty
        return bytes
    }

    static func data(_ text: String, stream: UInt32 = 1, endsStream: Bool = true) -> [UInt8] {
        RawFrame(
            type: 0, flags: endsStream ? 1 : 0, stream: stream, payload: Array(text.utf8)
        ).bytes
    }

    static func reset(_ stream: UInt32, code: UInt32 = 8) -> [UInt8] {
        RawFrame(type: 3, stream: stream, payload: Self.word(code)).bytes
    }

    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
        RawFrame(type: 8, stream: stream, payload: Self.word(increment)).bytes
    }

    /// SETTINGS of these numbers and values.
    static func settings(_ entries: [(UInt16, UInt32)]) -> [UInt8] {
        let payload = entries.flatMap { id, value in
            [UInt8(id >> 8), UInt8(truncatingIfNeeded: id)] + Self.word(value)
        }
        return RawFrame(type: 4, stream: 0, payload: payload).bytes
    }

    /// Fields as literals without indexing and with new names (RFC 7541 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + Self.string(name) + Self.string(value) }
    }

    static func string(_ text: String) -> [UInt8] {
        var length = text.utf8.count
        guard length >= 127 else { return [UInt8(length)] + Array(text.utf8) }
        var bytes: [UInt8] = [127]
        length -= 127
        while length >= 128 {
            bytes.append(UInt8(length & 127) | 128)
            length >>= 7
        }
        return bytes + [UInt8(length)] + Array(text.utf8)
    }

    /// All whole frames of `bytes`.
    static func parse(_ bytes: [UInt8]) -> [RawFrame] {
        var frames: [RawFrame] = []
        var rest = bytes[...]
        while rest.count >= 9 {
            let start = rest.startIndex
            let length = rest[start..<start + 3].reduce(0) { $0 << 8 | Int($1) }
            guard rest.count >= 9 + length else { break }
            let stream = rest[start + 5..<start + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            frames.append(
                RawFrame(
                    type: rest[start + 3], flags: rest[start + 4], stream: stream,
                    payload: Array(rest[(start + 9)..<(start + 9 + length)])))
            rest = rest.dropFirst(9 + length)
        }
        return frames
    }

    /// The error code of RST_STREAM or GOAWAY.
    var code: UInt32? {
        let start = self.type == 7 ? 4 : 0
        guard self.type == 3 || self.type == 7, self.payload.count >= start + 4 else { return nil }
        return self.payload[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The status of a response's HEADERS, whose first field it is.
    var status: Int? {
        guard self.type == 1, let first = self.payload.first else { return nil }
        let indexed = [8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500]
        if first & 0x80 != 0 { return indexed[Int(first & 0x7f)] }
        guard self.payload.count > 2 else { return nil }
        let isHuffman = self.payload[1] & 0x80 != 0
        let value = self.payload.dropFirst(2).prefix(Int(self.payload[1] & 0x7f))
        guard isHuffman else { return Int(String(decoding: value, as: UTF8.self)) }
        return Self.digits(value)
    }

    /// Digits in the code of RFC 7541, appendix B: `0` to `2` have five bits, the others six.
    private static func digits(_ bytes: ArraySlice<UInt8>) -> Int? {
        var bits = bytes.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 } }[...]
        var number = 0
        for _ in 0..<3 {
            let five = bits.prefix(5).reduce(0) { $0 << 1 | Int($1) }
            if five <= 2 {
                number = number * 10 + five
                bits = bits.dropFirst(5)
            } else {
                let six = bits.prefix(6).reduce(0) { $0 << 1 | Int($1) }
                guard (0x19...0x1f).contains(six) else { return nil }
                number = number * 10 + six - 0x16
                bits = bits.dropFirst(6)
            }
        }
        return number
    }
}

extension RawClient {
    /// The frames that came so far.
    var frames: [RawFrame] { RawFrame.parse(self.received.value.bytes) }

    /// Waits until frames came of which this holds, or the connection ended.
    @discardableResult
    func frames(
        _ timeout: TimeAmount = .seconds(60), until holds: @escaping @Sendable ([RawFrame]) -> Bool
    ) async -> [RawFrame] {
        await self.received.wait(timeout) {
            $0.isClosed || $0.isInputClosed || holds(RawFrame.parse($0.bytes))
        }
        return self.frames
    }
}

extension Stage {
    /// The fields of a good request.
    func fields(
        _ method: String = "POST", _ path: String = "/score", _ more: [(String, String)] = []
    ) -> [(String, String)] {
        [
            (":method", method), (":scheme", "https"), (":authority", "localhost"),
            (":path", path), ("authorization", "Bearer \(self.key)"),
        ] + more
    }

    func connectHTTP2() async throws -> RawClient {
        let client = try await self.connect(alpn: ["h2"])
        await client.send(RawFrame.start)
        return client
    }
}
