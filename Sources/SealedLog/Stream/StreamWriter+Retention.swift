internal import Cryptography

extension StreamWriter {
    /// Removes the oldest segments, those last written before `milliseconds`.
    ///
    /// First an `expired` event is written that names them and is made durable, so that `verify`
    /// tells a segment that expired from one that was taken away. The present segment stays.
    /// Where a full disk keeps the stream from being written, the log's reserve is the room for the
    /// event and all that comes before it; the stream then goes on.
    ///
    /// - Returns: How many segments were removed.
    /// - Throws: What keeps the event from being durable: none is then removed.
    package func expire(
        writtenBefore milliseconds: UInt64, now: LogTime
    ) throws(SealedLogError) -> Int {
        let files = self.log.files
        // What was removed may have freed less than the reserve takes: the next call tries again.
        defer { if self.failure == nil { try? self.log.setReserveAside() } }
        let names = try StreamFolder.segments(in: self.folder, files)
        var count = 0
        // The newest stays even if it is old: it says what became of the others.
        while count < names.count - 1, names[count].segmentID != self.segment?.header.segmentID {
            let source = try SegmentSource(self.folder + "/" + names[count].text, files)
            guard source.writtenMilliseconds < milliseconds else { break }
            count += 1
        }
        guard count > 0 else { return 0 }
        let head = try self.head(before: names[count])
        try self.goOnWithReserve(now)
        // All that is gone is named, from 0 on: an event that named what expired before goes with its
        // segment, and nobody here can read whether there was one.
        var batch = EntryBatch()
        batch.begin(
            .event,
            nanoseconds: self.settings.flags.contains(.hbi) ? 0 : now.unixNanoseconds,
            requestID: try .random())
        batch.append(
            .event,
            utf8: RemovalEvent(
                name: .expired, streamID: self.streamID, first: 0, last: names[count - 1].number,
                head: head, reason: "retention"
            ).text)
        batch.end()
        guard !self.append(batch, now: now).isEmpty, self.synchronize(now: now) else {
            throw self.failure ?? .keyUsedUp
        }
        for name in names[..<count] { try files.remove(self.folder + "/" + name.text) }
        try files.synchronizeFolder(self.folder)
        return count
    }

    /// The chain's head before a segment; zero where its header is not whole, as on a disk that was
    /// full: then nobody asks for it.
    private func head(before name: SegmentName) throws(SealedLogError) -> ChainHead {
        do throws(SealedLogError) {
            return try SegmentSource(self.folder + "/" + name.text, self.log.files)
                .header().previousHead
        } catch {
            guard case .segment = error else { throw error }
            return .zero
        }
    }

    /// Has a stream that a full disk stopped go on, with the log's reserve as room.
    private func goOnWithReserve(_ now: LogTime) throws(SealedLogError) {
        guard let failure = self.failure else { return }
        // Without the room it gave, a try would leave one more segment that is cut off.
        guard failure.isDiskFull, try self.log.releaseReserve() else { throw failure }
        do throws(SealedLogError) {
            try self.restart(now)
            self.failure = nil
        } catch {
            self.failure = error
            throw error
        }
    }
}

/// The event that names segments which were removed on purpose, as the JSON of its entry.
package struct RemovalEvent: Equatable, Sendable {
    /// Why segments are removed.
    package enum Name: String, Sendable {
        /// They were older than what is kept.
        case expired
        /// Their keys were destroyed.
        case shredded
    }

    /// Why.
    package var name: Name
    /// The stream.
    package var streamID: LogIdentifier
    /// The number of the first segment; 0 where segments expired.
    package var first: UInt64
    /// The number of the last segment.
    package var last: UInt64
    /// The chain's head of the last segment, as the one after it has it.
    package var head: ChainHead
    /// In words.
    package var reason: String

    /// Describes a removal.
    package init(
        name: Name, streamID: LogIdentifier, first: UInt64, last: UInt64, head: ChainHead,
        reason: String
    ) {
        self.name = name
        self.streamID = streamID
        self.first = first
        self.last = last
        self.head = head
        self.reason = reason
    }

    /// The JSON.
    package var text: String {
        FlatJSON.line(of: [
            ("event", .text(self.name.rawValue)), ("stream", .text(self.streamID.text)),
            ("first_segment", .number(self.first)), ("last_segment", .number(self.last)),
            ("last_chain_head", .text(self.head.text)), ("reason", .text(self.reason)),
        ])
    }

    /// Reads the JSON; nil if it is another event.
    package init?(_ json: [UInt8]) {
        guard let members = FlatJSON.members(of: json),
            case .text(let event)? = members["event"], let name = Name(rawValue: event),
            case .text(let stream)? = members["stream"], let streamID = LogIdentifier(stream),
            case .number(let first)? = members["first_segment"],
            case .number(let last)? = members["last_segment"],
            case .text(let head)? = members["last_chain_head"], let head = ChainHead(head),
            case .text(let reason)? = members["reason"]
        else { return nil }
        self.init(
            name: name, streamID: streamID, first: first, last: last, head: head, reason: reason)
    }
}
