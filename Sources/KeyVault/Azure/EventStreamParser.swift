/// Reads server-sent events (HTML Living Standard, 9.2) from bytes as they come.
///
/// A value without I/O. Bounded: a line or an event that grows beyond ``maximumBytes`` ends the stream.
struct EventStreamParser {
    /// One event.
    struct Event: Equatable, Sendable {
        /// `message` where the stream gives none.
        var name = "message"
        /// The lines of its data, joined by line feeds.
        var data = ""
    }

    /// The stream cannot be followed any more.
    struct TooLarge: Error {}

    /// Of the last event that had one; what to go on after.
    private(set) var lastID: String?
    private var line: [UInt8] = []
    private var endedWithReturn = false
    private var name = ""
    private var data: [String] = []
    private var dataBytes = 0

    /// Reads what came.
    ///
    /// - Returns: The events that are complete with it; comments, which only keep the stream alive, are none.
    mutating func read(_ bytes: some Sequence<UInt8>) throws(TooLarge) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            // CR, LF and CR LF all end a line.
            if byte == UInt8(ascii: "\n"), self.endedWithReturn {
                self.endedWithReturn = false
                continue
            }
            self.endedWithReturn = byte == UInt8(ascii: "\r")
            guard byte == UInt8(ascii: "\n") || self.endedWithReturn else {
                guard self.line.count < Self.maximumBytes else { throw TooLarge() }
                self.line.append(byte)
                continue
            }
            if let event = try self.endLine() { events.append(event) }
        }
        return events
    }

    private mutating func endLine() throws(TooLarge) -> Event? {
        defer { self.line.removeAll(keepingCapacity: true) }
        guard !self.line.isEmpty else {
            defer {
                self.name = ""
                self.data = []
                self.dataBytes = 0
            }
            guard !self.data.isEmpty else { return nil }
            return Event(
                name: self.name.isEmpty ? "message" : self.name,
                data: self.data.joined(separator: "\n"))
        }
        let text = String(decoding: self.line, as: UTF8.self)
        let colon = text.firstIndex(of: ":") ?? text.endIndex
        var value = text[colon...].dropFirst()
        if value.first == " " { value.removeFirst() }
        switch text[..<colon] {
        case "event": self.name = String(value)
        case "data":
            // With the line feed after it: lines without a value are not free.
            self.dataBytes += value.utf8.count + 1
            guard self.dataBytes <= Self.maximumBytes else { throw TooLarge() }
            self.data.append(String(value))
        case "id":
            // What can be sent back in a header field.
            if value.utf8.count <= 256, value.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) {
                self.lastID = String(value)
            }
        default: break
        }
        return nil
    }

    /// 64 KiB, as of an answer.
    static let maximumBytes = 65_536
}
