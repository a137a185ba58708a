internal import SealedLog

extension LogWriter {
    /// Writes an event into a stream.
    func note(_ event: String, on number: Int, endpoint: String, _ now: LogTime) {
        guard let stream = self[number], let batch = Self.event(event, endpoint, of: stream, now)
        else { return }
        _ = stream.append(batch, now: now)
        stream.write(now: now)
    }

    /// Wipes the keys of an endpoint's stream, with an event about that as the last it seals.
    ///
    /// - Parameters:
    ///   - log: The endpoint's.
    ///   - now: The present time.
    ///   - wiped: Called once the keys are gone, before the disk is touched.
    func revoke(_ log: EndpointLog, _ now: LogTime, wiped: () -> Void) {
        let event = self[log.stream].flatMap { Self.event("revoked", log.endpoint, of: $0, now) }
        self.revoke(log.stream, now: now, event: event, wiped: wiped)
    }

    private static func event(
        _ event: String, _ endpoint: String, of stream: StreamWriter, _ now: LogTime
    ) -> EntryBatch? {
        guard let id = try? LogIdentifier.random() else { return nil }
        var batch = EntryBatch()
        batch.begin(.event, nanoseconds: stream.isHBI ? 0 : now.unixNanoseconds, requestID: id)
        batch.append(.endpoint, utf8: endpoint)
        batch.append(.event, utf8: #"{"event":"\#(event)"}"#)
        batch.end()
        return batch
    }
}
