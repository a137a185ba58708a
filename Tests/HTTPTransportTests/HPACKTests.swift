import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

@Suite("HPACK")
struct HPACKTests {
    /// Ours, giving lines as the other one's does.
    private final class Decoder {
        private let decoder = HPACKDecoder(shared: HPACKShared())

        /// The fields of a block that comes in these pieces.
        func lines(_ pieces: [[UInt8]]) throws -> [String] {
            var lines: [String] = []
            var rest: [UInt8] = []
            self.decoder.beginBlock()
            for piece in pieces {
                rest += piece
                let count = try self.decoder.decode(rest.span) { name, value, facts in
                    let same = HTTP2FieldFacts(name, value: value)
                    #expect(
                        facts.known == same.known && facts.pseudo == same.pseudo
                            && facts.isNameAllowed == same.isNameAllowed
                            && facts.isRequestName == same.isRequestName
                            && facts.isValueAllowed == same.isValueAllowed)
                    lines.append("\(Self.text(name)): \(Self.text(value))")
                }
                rest.removeFirst(count)
            }
            try #require(rest.isEmpty)
            return lines
        }

        private static func text(_ bytes: Span<UInt8>) -> String {
            String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
        }
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        var digits = hex.filter { $0 != " " }[...]
        var bytes: [UInt8] = []
        while let byte = UInt8(digits.prefix(2), radix: 16) {
            bytes.append(byte)
            digits = digits.dropFirst(2)
        }
        return bytes
    }

    // RFC 7541, appendix C.
    private static let requests = [
        [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
        [
            ":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com",
            "cache-control: no-cache",
        ],
        [
            ":method: GET", ":scheme: https", ":path: /index.html",
            ":authority: www.example.com", "custom-key: custom-value",
        ],
    ]
    private static let responses = [
        [
            ":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ],
        [
            ":status: 307", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ],
        [
            ":status: 200", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:22 GMT",
            "location: https://www.example.com", "content-encoding: gzip",
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ],
    ]

    @Test(
        "the blocks of RFC 7541, appendix C, with and without Huffman's code",
        arguments: [
            (
                [
                    "828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
                    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
                ], Self.requests
            ),
            (
                [
                    "828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
                    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
                ], Self.requests
            ),
            (
                // With a table of 256 bytes, which each block of the appendix takes for granted.
                [
                    """
                    3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 \
                    66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3
                    """,
                    "4883640effc1c0bf",
                    """
                    88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b \
                    d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 \
                    0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07
                    """,
                ], Self.responses
            ),
        ])
    func vectors(blocks: [String], fields: [[String]]) throws {
        let decoder = Decoder()
        for (block, lines) in zip(blocks, fields) {
            #expect(try decoder.lines([Self.bytes(block)]) == lines)
        }
    }

    @Test(
        "what is no block is refused",
        arguments: [
            ("80", "entry 0"), ("be", "an entry the table does not have"),
            ("ffffffffff7f", "an entry of any number"), ("ff80808080", "a number without end"),
            ("3fe21f", "a table larger than was allowed"), ("8220", "a size after a field"),
            ("0084ffffffff00", "the end of a string spelled out"),
            ("008207ff00", "padding of eight bits"), ("00811800", "padding of zeros"),
            ("007fffffff7f", "a name of any length"),
        ])
    func refused(block: String, what: String) {
        #expect(throws: HPACKDecoder.Failure.self, "\(what)") {
            try Decoder().lines([Self.bytes(block)])
        }
    }

    @Test("a string of 64 KiB is read, a longer one is not")
    func longest() throws {
        let value = [UInt8](repeating: 0x61, count: 65_536)
        // 65,536 and 65,537, less the prefix of 127.
        let name: [UInt8] = [0x00, 0x01, 0x78]
        let lines = try Decoder().lines([name + [0x7f, 0x81, 0xff, 0x03] + value])
        #expect(lines == ["x: \(String(repeating: "a", count: 65_536))"])
        #expect(throws: HPACKDecoder.Failure.tooLong) {
            try Decoder().lines([name + [0x7f, 0x82, 0xff, 0x03]])
        }
    }

    /// Fields as messages have them: some again and again, some once.
    private static func fields(_ random: inout SplitMix) -> [(name: String, value: String)] {
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        return (0..<below(12)).map { _ in
            let name =
                switch below(4) {
                case 0: [":path", ":status", "content-type", "accept", "x-request-id"][below(5)]
                case 1: "x-\(below(40))"
                default: ["date", "te", "cookie", "x-long-name-of-something"][below(4)]
                }
            let count = below(10) == 0 ? below(5000) : below(30)
            let bytes = (0..<count).map { _ in
                // Text mostly, now and then a byte with a long code.
                below(20) == 0 ? UInt8(below(127)) : UInt8(0x20 + below(95))
            }
            let value = below(2) == 0 ? "\(below(5))" : String(decoding: bytes, as: UTF8.self)
            return (name, value)
        }
    }

    @Test("what nghttp2 writes is read as it was, wherever it is cut", arguments: 1...20)
    func reads(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let deflater = NGHTTP2.Deflater()
        let whole = Decoder()
        let cut = Decoder()
        for round in 0..<200 {
            if round % 50 == 49 { deflater.setTableBytes(Int(random.next() % 4097)) }
            let fields = Self.fields(&random)
            let block = try deflater.block(fields)
            let lines = fields.map { "\($0.name): \($0.value)" }
            #expect(try whole.lines([block]) == lines)
            let place = block.isEmpty ? 0 : Int(random.next() % UInt64(block.count))
            #expect(
                try cut.lines([Array(block[..<place]), [], Array(block[place...])]) == lines)
        }
    }

    @Test("what we write nghttp2 reads as it was, whatever table it allows", arguments: 1...20)
    func writes(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let encoder = HPACKEncoder(shared: HPACKShared())
        let inflater = NGHTTP2.Inflater()
        let own = Decoder()
        for round in 0..<200 {
            if round % 50 == 49 {
                // Down and up again within one block, once.
                for size in [Int(random.next() % 4097), round == 99 ? 4096 : 100] {
                    inflater.setTableBytes(size)
                    encoder.setTableBytes(size)
                }
            }
            let head = MessageHead()
            head.status = 200 + round % 300
            let fields = Self.fields(&random).filter {
                !$0.name.hasPrefix(":") && !["te", "content-length"].contains($0.name)
            }
            for (name, value) in fields {
                _ = head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
            }
            var output = ByteBuffer()
            output.write(atMost: HPACKEncoder.blockBytes(head)) {
                encoder.appendResponse(head, contentLength: round % 7, to: &$0)
            }
            let block = Array(output.readableBytesView)
            let lines =
                [":status: \(head.status)"] + fields.map { "\($0.name): \($0.value)" }
                + ["content-length: \(round % 7)"]
            #expect(
                try inflater.lines(block)
                    == lines.map { $0.hasPrefix("cookie: ") ? "!\($0)" : $0 })
            #expect(try own.lines([block]) == lines)
        }
    }

    @Test("what a peer wants in no table is in none behind us")
    func neverIndexed() throws {
        let decoder = HPACKDecoder(shared: HPACKShared())
        var reader = HTTP2HeadReader(limits: HTTPLimits(), isEncrypted: true)
        let head = MessageHead()
        reader.reset()
        decoder.beginBlock()
        // `x: y` never to be indexed, `a: b` not to be, and `c: d` to be.
        let block: [UInt8] = [
            0x10, 1, 0x78, 1, 0x79, 0, 1, 0x61, 1, 0x62, 0x40, 1, 0x63, 1, 0x64,
        ]
        let count = try decoder.decode(block.span) { name, value, facts in
            _ = reader.receive(name, value, facts, into: head, kind: .response)
        }
        #expect(count == block.count && head.fields.count == 3)
        head.status = 200
        let encoder = HPACKEncoder(shared: HPACKShared())
        let inflater = NGHTTP2.Inflater()
        for _ in 0..<2 {
            var output = ByteBuffer()
            output.write(atMost: HPACKEncoder.blockBytes(head)) {
                encoder.appendResponse(head, contentLength: nil, to: &$0)
            }
            #expect(
                try inflater.lines(Array(output.readableBytesView))
                    == [":status: 200", "!x: y", "a: b", "c: d"])
        }
    }

    @Test("names leave in lower case; an id's is spelled once, its values never fill the table")
    func ids() throws {
        let encoder = HPACKEncoder(shared: HPACKShared())
        let inflater = NGHTTP2.Inflater()
        var counts: [Int] = []
        var tableBytes: Set<Int> = []
        for number in 0..<1030 {
            let head = MessageHead()
            head.method = .post
            try head.setTarget(Array("/score?v=1".utf8).span)
            for (name, value) in [
                ("Host", "iris.test"), ("Content-Type", "application/json"), ("X-Other", "Kept"),
                ("X-Forwarded-Proto", "https"), ("X-Request-ID", "\(1_000_000 + number)"),
                ("X-Unknown-ID", "\(2_000_000 + number)"),
            ] {
                _ = head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
            }
            // One has as many letters as `authorization`, whose class they have.
            for name in ["api-key", "x-backend-key"] {
                head.appendSecret(named: Array(name.utf8), valueBytes: 3) { $0.append("abc") }
            }
            var output = ByteBuffer()
            output.write(atMost: HPACKEncoder.blockBytes(head)) {
                encoder.appendRequest(
                    head, isEncrypted: true, contentLength: 1070, strippedPrefixBytes: 0,
                    to: &$0)
            }
            counts.append(output.readableBytes)
            #expect(
                try inflater.lines(Array(output.readableBytesView)) == [
                    ":method: POST", ":scheme: https", ":authority: iris.test",
                    ":path: /score?v=1", "content-type: application/json", "x-other: Kept",
                    "x-forwarded-proto: https", "x-request-id: \(1_000_000 + number)",
                    "x-unknown-id: \(2_000_000 + number)", "!api-key: abc",
                    "!x-backend-key: abc", "content-length: 1070",
                ])
            if number > 9 { tableBytes.insert(inflater.tableBytes) }
        }
        #expect(counts[1] < counts[0] && counts[9] < counts[1])
        #expect(Set(counts[9...]) == [counts[9]])
        #expect(tableBytes.count == 1)
    }

    @Test("streams are found by their numbers, whoever came and went")
    func streams() throws {
        var random = SplitMix(state: 7)
        let loop = LoopContext(eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
        let session = HTTP2Session(isServer: true, loop: loop)
        var table = HTTP2StreamTable()
        var expected: [Int32: HTTP2Stream] = [:]
        for round in 0..<20_000 {
            let id = Int32(random.next() % 400) * 2 + 1
            if expected[id] == nil, round % 3 != 0 || expected.count < 100 {
                let stream = HTTP2Stream(
                    session: session, limits: HTTPLimits(), isEncrypted: true)
                table.insert(stream, id)
                expected[id] = stream
            } else {
                table.remove(id)
                expected[id] = nil
            }
            #expect(table.count == expected.count)
            let other = Int32(random.next() % 400) * 2 + 1
            #expect(
                unsafe table[other]?.toOpaque()
                    == expected[other].map { unsafe Unmanaged.passUnretained($0).toOpaque() })
        }
        #expect(table.all.count == expected.count)
    }
}
