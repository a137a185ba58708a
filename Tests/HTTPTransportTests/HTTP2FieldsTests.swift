import CNghttp2
import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

@Suite("Fields on their way to nghttp2")
struct HTTP2FieldsTests {
    /// What an independent decoder with a table of its own reads, name and value on a line.
    @safe private final class Decoder {
        private var inflater: OpaquePointer?

        init() { unsafe nghttp2_hd_inflate_new(&self.inflater) }

        deinit { unsafe nghttp2_hd_inflate_del(self.inflater) }

        func lines(_ block: [UInt8]) throws -> [String] {
            var lines: [String] = []
            var rest = block[...]
            while true {
                var field = unsafe nghttp2_nv()
                var flags: CInt = 0
                let count = unsafe rest.withUnsafeBufferPointer {
                    unsafe nghttp2_hd_inflate_hd2(
                        self.inflater, &field, &flags, $0.baseAddress, $0.count, 1)
                }
                try #require(count >= 0)
                rest = rest.dropFirst(count)
                if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = unsafe UnsafeBufferPointer(start: field.name, count: field.namelen)
                    let value = unsafe UnsafeBufferPointer(
                        start: field.value, count: field.valuelen)
                    lines.append(
                        unsafe "\(String(decoding: name, as: UTF8.self)): "
                            + String(decoding: value, as: UTF8.self))
                }
                if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
            }
            unsafe nghttp2_hd_inflate_end_headers(self.inflater)
            return lines
        }
    }

    @Test("Names arrive in lower case; that of an id is spelled once, and its values every time")
    func names() throws {
        let context = LoopContext(eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
        let session = try #require(HTTP2Session(isServer: false, loop: context))
        // SETTINGS: 2,000 streams at once.
        let settings: [UInt8] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 7, 0xd0]
        guard case .all = session.receive(ByteBuffer(bytes: settings)) else {
            Issue.record("SETTINGS refused")
            return
        }
        var preface = ByteBuffer()
        _ = session.drain(into: &preface, limit: 1 << 16)
        let decoder = Decoder()
        var counts: [Int] = []
        for number in 0..<1030 {
            let stream = HTTP2Stream(session: session, limits: HTTPLimits(), isEncrypted: true)
            let head = stream.head
            head.method = .post
            try head.setTarget(Array("/score?v=1".utf8).span)
            for (name, value) in [
                ("Host", "iris.test"), ("Content-Type", "application/json"), ("X-Other", "Kept"),
                ("X-Forwarded-Proto", "https"), ("X-Request-ID", "\(1_000_000 + number)"),
            ] {
                _ = head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
            }
            session.fields.withRequest(
                head, for: session, isEncrypted: true, contentLength: 1070,
                strippedPrefixBytes: 0
            ) {
                #expect(session.submitRequest(stream, hasBody: false) > 0)
            }
            var output = ByteBuffer()
            #expect(!session.drain(into: &output, limit: 1 << 16))
            let block = Array(output.readableBytesView.dropFirst(9))
            counts.append(block.count)
            let lines = try decoder.lines(block)
            #expect(
                lines == [
                    ":method: POST", ":scheme: https", ":authority: iris.test",
                    ":path: /score?v=1", "content-type: application/json", "x-other: Kept",
                    "x-forwarded-proto: https", "x-request-id: \(1_000_000 + number)",
                    "content-length: 1070",
                ])
        }
        // The second and those after it refer to the table.
        #expect(counts[1] < counts[0] && counts[1...1000].allSatisfy { $0 == counts[1] })
        // Once in 1024 the name gets its place anew, should others have pushed it out.
        #expect(Set(counts[1001...]).count == 2)
    }
}
