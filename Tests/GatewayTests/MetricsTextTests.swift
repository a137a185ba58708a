import Cryptography
import Foundation
import HTTPTransport
import NIOCore
import State
import Testing

@testable import Gateway

@Suite("Text for logs and metrics")
struct MetricsTextTests {
    @Test("labels are escaped, and buckets add up")
    func prometheus() {
        var text = PrometheusText()
        text.counter("a_total", "Help.", [([("name", "q\"b\\n\nend")], 3)])
        text.histogram("h", "Help.", bounds: [0.5, 1], [([], [1, 2, 3], 4.5)])
        #expect(
            text.text == """
                # HELP a_total Help.
                # TYPE a_total counter
                a_total{name="q\\"b\\\\n\\nend"} 3
                # HELP h Help.
                # TYPE h histogram
                h_bucket{le="0.5"} 1
                h_bucket{le="1"} 3
                h_bucket{le="+Inf"} 6
                h_sum 4.5
                h_count 6

                """)
    }

    @Test("a certificate of several listeners is one series for each use")
    func sharedCertificate() throws {
        let folder = try ConfigurationFolder()
        let listener = ConfigurationFileTests.valid.replacing(
            "admin:",
            with: """
                  - address: 0.0.0.0:8444
                    tls: {certificates: [{chain: gateway.pem, key: gateway.key}]}
                admin:
                """, maxReplacements: 1)
        var text = PrometheusText()
        CertificateMetrics.write(try folder.read(listener), to: &text)
        let series = text.text.split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.prefix { $0 != " " } }
        #expect(series.count == 2, "\(series)")
        #expect(Set(series).count == series.count)
    }

    @Test(
        "keys have their expiry; those that expired have no age, and those of no endpoint nothing")
    func endpointKeys() throws {
        let now = UnixTime.milliseconds
        let digest = try SHA256().digest([0].rawSpan)
        func key(
            _ endpoint: String, _ slot: EndpointKeySlot, expires: Int64?, isFormer: Bool = false
        ) -> EndpointKeyRecord {
            EndpointKeyRecord(
                kid: "\(endpoint)", endpoint: endpoint, slot: slot, digest: digest,
                createdMilliseconds: 5000, notBeforeMilliseconds: 5000,
                expiresMilliseconds: expires,
                isFormer: isFormer)
        }
        let records = EndpointKeyRecords(
            generation: 1,
            keys: [
                key("iris", .primary, expires: now + 60_000),
                key("iris", .primary, expires: now + 1000, isFormer: true),
                key("iris", .secondary, expires: 9000), key("gone", .primary, expires: nil),
                key("wine", .primary, expires: nil),
            ])
        var text = PrometheusText()
        KeyMetrics.write(
            records, try ConfigurationFolder().read(ConfigurationFileTests.valid), to: &text)
        let series = text.text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            series.map { $0.prefix { $0 != " " } } == [
                "gateway_endpoint_key_created_seconds{endpoint=\"iris\",slot=\"primary\"}",
                "gateway_endpoint_key_created_seconds{endpoint=\"wine\",slot=\"primary\"}",
                "gateway_endpoint_key_expires_seconds{endpoint=\"iris\",slot=\"primary\"}",
                "gateway_endpoint_key_expires_seconds{endpoint=\"iris\",slot=\"secondary\"}",
            ])
        #expect(series.last?.hasSuffix(" 9") == true)
    }

    @Test("a line of JSON stays one, whatever bytes it carries")
    func json() throws {
        for byte in UInt8.min...UInt8.max {
            var lines = JSONLines()
            let head = MessageHead()
            let value: [UInt8] = [0x61, byte, 0x22, 0x5c, byte]
            head.append(name: Array("user-agent".utf8).span, value: value.span)
            let range = try #require(head.fields.last?.valueRange)
            lines.bytes("a", head, range)
            lines.string("b", "\u{202e}\n\u{0}\"\\" as String)
            lines.number("c", 7)
            lines.milliseconds("d", .microseconds(1_002_003))
            lines.end()
            let text = String(buffer: lines.bytes)
            #expect(text.utf8.allSatisfy { $0 == 10 || (32...126).contains($0) })
            #expect(text.utf8.count { $0 == 10 } == 1)
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
            #expect((object["a"] as? String)?.unicodeScalars.map(\.value) == value.map(UInt32.init))
            #expect(object["d"] as? Double == 1002.003)
        }
    }

    @Test("made ids are UUIDs of version 4, each another")
    func uuids() {
        var random = FastRandom()
        var seen: Set<String> = []
        for _ in 0..<1000 {
            let id = UUIDText(random: &random)
            var bytes = ByteBuffer()
            bytes.write(atMost: 36) { id.write(to: &$0) }
            let text = String(buffer: bytes)
            #expect(
                text.wholeMatch(
                    of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/)
                    != nil)
            #expect(seen.insert(text).inserted)
        }
    }
}
