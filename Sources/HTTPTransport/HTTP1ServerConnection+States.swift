extension HTTP1ServerConnection {
    /// How far the request has come.
    enum Reading {
        case head
        case body
        /// The request is complete, its answer is not.
        case complete
        /// After 101: bytes, to the connection's end.
        case tunnel
        /// No request will be read any more: what arrives is counted and dropped.
        case discarding(DiscardBudget)
        /// A bad or slow request: its answer is the last one.
        case refused
    }

    /// How far its answer has come.
    enum Writing {
        /// No answer begun.
        case head
        case body(remaining: Int)
        case chunks
        /// The body's end is the connection's.
        case untilClose
        /// After 101: bytes, to the connection's end.
        case tunnel
        /// The answer has no body (HEAD, 204, 304); what the receiver sends of one is dropped.
        case bodiless
        case complete
    }
}
