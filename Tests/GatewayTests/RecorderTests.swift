import HTTPTransport
import NIOCore
import NIOEmbedded
import NIOPosix
import SealedLog
import Testing

@testable import Gateway

@Suite("Recorder")
struct RecorderTests {
    @Test("an answer in another's place leaves nothing of that one behind")
    func replaced() throws {
        let recorder = try Recorder(
            worker: 0, eventLoop: MultiThreadedEventLoopGroup.singleton.next(),
            queue: EntryQueue(capacityBytes: 1 << 20, doorbell: try Doorbell()), secretHeaders: [])
        let head = MessageHead()
        head.append("a", "b")
        var message = Recording.Message()
        recorder.keepFields(of: head, forwarded: false, in: &message)
        recorder.keep(ByteBuffer(repeating: 1, count: 1000), in: &message, limit: 4096)
        #expect(recorder.heldBytes == 1000)
        recorder.keepFields(of: head, forwarded: false, in: &message)
        #expect(recorder.heldBytes == 0)
        #expect(message.size.body == 0 && message.bodyBytes == 0)
    }

    @Test("the first entry of a stream takes no memory for the streams before it")
    func streams() throws {
        let queue = EntryQueue(capacityBytes: 1 << 20, doorbell: try Doorbell())
        for _ in 0..<4 {
            var item = EntryQueue.Item(
                stream: 0, batch: EntryBatch(reserving: 1024), ticket: nil)
            queue.release(&item)
        }
        let recorder = try Recorder(
            worker: 0, eventLoop: EmbeddedEventLoop(), queue: queue,
            secretHeaders: [])
        let configuration = EndpointConfiguration(
            name: "iris", hosts: [], authentication: .key, wireCompatibility: .managed,
            bodyBytes: 1, deployments: [])
        let log = EndpointLog(
            configuration, stream: 399, durability: .bounded, isRequired: false)
        recorder.write(to: log, .init(lines: 0, body: 0, isWhole: true)) { batch, _ in
            batch.begin(.request, nanoseconds: 0, requestID: .zero)
            batch.end()
        }
        recorder.flushAll()
        let written = queue.takeAll().items
        #expect(written.map(\.stream) == [399])
        var spares = 0
        while queue.spare() != nil { spares += 1 }
        #expect(spares == 3)
    }

    @Test(
        "secrets are told apart by name, also where the configuration names a known field",
        arguments: [
            ("authorization", true), ("cookie", true), ("set-cookie", true),
            ("proxy-anything", true), ("X-SSL-Client", true), ("x-client-cert", true),
            ("X-Forwarded-Client-Cert", true), ("api-key", true), ("X-Auth-TOKEN", true),
            ("client-secret", true), ("db-password", true), ("x-signature", true),
            ("x-authorization", true), ("x-tenant", true), ("User-Agent", true),
            ("content-type", false), ("x-request-id", false), ("accept", false), ("key", false),
            ("tokens", false), ("x-tenants", false), ("x-forwarded-host", false),
        ])
    func secrets(_ name: String, _ isSecret: Bool) throws {
        let secrets = SecretFields(["x-tenant", "user-agent"])
        let head = MessageHead()
        head.append(name: Array(name.utf8).span, value: Array("v".utf8).span)
        let bytes = head.bytes
        let field = try #require(head.fields.first)
        #expect(secrets.contains(field, bytes.readableBytesUInt8Span) == isSecret)
    }
}
