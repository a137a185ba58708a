internal import HTTPTransport
internal import NIOCore

/// One streamed answer of the built-in model: events at fixed distances, each with the time at which
/// it was made (`stamp_ns`, nanoseconds of CLOCK_MONOTONIC), so that a tester on the same machine can
/// tell the model's time from that of the way.
struct TokenStream {
    private let isChat: Bool
    private let behaviour: ModelBehaviour
    private let start: NIODeadline
    private var sent = 0

    /// A stream whose time counts from `start`.
    init(isChat: Bool, behaviour: ModelBehaviour, start: NIODeadline) {
        self.isChat = isChat
        self.behaviour = behaviour
        self.start = start
    }

    /// When the next event is due; nil after the last.
    var due: NIODeadline? {
        guard self.sent < self.behaviour.tokens else { return nil }
        let interval = self.behaviour.tokenInterval.nanoseconds * Int64(self.sent)
        return self.start + self.behaviour.latency + .nanoseconds(interval)
    }

    /// The next event, and after the last the end of the stream.
    mutating func next(now: NIODeadline) -> ByteBuffer {
        let word = Self.words[self.sent % Self.words.count]
        let piece =
            self.isChat
            ? #""delta": {"content": "\#(word) "}"# : #""text": "\#(word) ""#
        var event = ByteBuffer()
        self.sent += 1
        event.writeString(
            #"data: {"id": "stream", "object": "\#(self.object)", "model": "scoregate-model", "#
                + #""stamp_ns": \#(now.uptimeNanoseconds), "#
                + #""choices": [{"index": 0, \#(piece), "finish_reason": null}]}"# + "\n\n")
        guard self.sent == self.behaviour.tokens else { return event }
        event.writeString(
            #"data: {"id": "stream", "object": "\#(self.object)", "model": "scoregate-model", "#
                + #""choices": [], "usage": {"prompt_tokens": 1, "#
                + #""completion_tokens": \#(self.sent), "total_tokens": \#(self.sent + 1)}}"#
                + "\n\ndata: [DONE]\n\n")
        return event
    }

    private var object: String { self.isChat ? "chat.completion.chunk" : "text_completion" }

    private static let words = ["Io", "Europa", "Ganymede", "Callisto", "Amalthea", "Himalia"]
}
