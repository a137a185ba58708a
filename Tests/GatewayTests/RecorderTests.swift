import HTTPTransport
import NIOCore
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
        recorder.keepFields(of: head, in: &message)
        recorder.keep(ByteBuffer(repeating: 1, count: 1000), in: &message, limit: 4096)
        #expect(recorder.heldBytes == 1000)
        recorder.keepFields(of: head, in: &message)
        #expect(recorder.heldBytes == 0)
        #expect(message.size.body == 0 && message.bodyBytes == 0)
    }
}
