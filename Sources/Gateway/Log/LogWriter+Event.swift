internal import SealedLog

extension LogWriter {
    /// Writes an event into a stream.
    func note(_ event: String, on number: Int, endpoint: String, _ now: LogTime) {
        guard let stream = self[number], let id = try? LogIdentifier.random() else { return }
        var batch = EntryBatch()
        batch.begin(.event, nanoseconds: stream.isHBI ? 0 : now.unixNanoseconds, requestID: id)
        batch.append(.endpoint, utf8: endpoint)
        batch.append(.event, utf8: #"{"event":"\#(event)"}"#)
        batch.end()
        _ = stream.append(batch, now: now)
        stream.write(now: now)
    }
}
