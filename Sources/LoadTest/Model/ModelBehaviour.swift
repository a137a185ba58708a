package import NIOCore

/// How long the built-in model takes, so that load tests have something of known speed to measure.
package struct ModelBehaviour: Sendable {
    /// From a request's first byte until its answer has been written, or its first token.
    package var latency = TimeAmount.zero
    /// Whether it also answers as an OpenAI-compatible server does, token by token.
    package var hasTokenStream = false
    /// Tokens of an answer.
    package var tokens = 16
    /// From one token to the next.
    package var tokenInterval = TimeAmount.milliseconds(10)

    /// Whether it never sleeps, so that requests do not wait until it is awake.
    package var isBusyPolling = false

    /// A model that answers at once.
    package init() {}
}
