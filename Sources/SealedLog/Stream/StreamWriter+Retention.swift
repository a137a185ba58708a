internal import Cryptography

extension StreamWriter {
    /// Removes the oldest segments, those last written before `milliseconds`.
    ///
    /// First an `expired` event is written that names them and is made durable, so that `verify`
    /// tells a segment that expired from one that was taken away. The present segment stays.
    ///
    /// - Returns: How many segments were removed.
    package func expire(
        writtenBefore milliseconds: UInt64, now: LogTime
    ) throws(SealedLogError) -> Int {
        let files = self.log.files
        let names = try StreamFolder.segments(in: self.folder, files)
        var count = 0
        // The newest stays even if it is old: it says what became of the others.
        while count < names.count - 1, names[count].segmentID != self.segment?.header.segmentID {
            let source = try SegmentSource(self.folder + "/" + names[count].text, files)
            guard source.writtenMilliseconds < milliseconds else { break }
            count += 1
        }
        guard count > 0 else { return 0 }
        let next = try SegmentSource(self.folder + "/" + names[count].text, files).header()
        var batch = EntryBatch()
        batch.begin(
            .event,
            nanoseconds: self.settings.flags.contains(.hbi) ? 0 : now.unixNanoseconds,
            requestID: try .random())
        batch.append(
            .event,
            utf8: RemovalEvent(
                name: .expired, streamID: self.streamID, first: names[0].number,
                last: names[count - 1].number, head: next.previousHead, reason: "retention"
            ).text)
        batch.end()
        guard !self.append(batch, now: now).isEmpty, self.synchronize(now: now) else {
            throw self.failure ?? .keyUsedUp
        }
        for name in names[..<count] { try files.remove(self.folder + "/" + name.text) }
        try files.synchronizeFolder(self.folder)
        return count
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
    /// The number of the first segment.
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
