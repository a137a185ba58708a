internal import Foundation
package import SealedLog

/// Entries and findings of the sealed log as text.
package enum LogText {
    /// One entry as a line of JSON, in which nothing can break a line or steer a terminal.
    ///
    /// Bodies and fields that are UTF-8 stand as text, others as base64 under a name of their own.
    package static func json(_ entry: LogEntry) -> String {
        var members: [(String, String)] = [
            ("kind", self.quoted("\(entry.kind)")), ("sequence", "\(entry.sequence)"),
        ]
        if entry.nanoseconds > 0 {
            members.append(("time", self.quoted(self.time(entry.nanoseconds))))
        }
        members.append(("id", self.quoted(entry.requestID.text)))
        for field in entry.fields { members.append(self.member(field)) }
        return "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    /// RFC 3339 in UTC, with milliseconds.
    package static func time(_ nanoseconds: UInt64) -> String {
        Date(timeIntervalSince1970: Double(nanoseconds / 1_000_000) / 1000)
            .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    /// What was found, and where, in words.
    package static func finding(_ finding: StreamReport.Finding) -> String {
        switch finding {
        case .segment(let name, let fault, let frame):
            "\(name.text): \(fault.rawValue) at frame \(frame)"
        case .logKey(let name, let problem): "\(name.text): log key \(self.problem(problem))"
        case .malformedPayload(let name, let frame):
            "\(name.text): malformed payload of frame \(frame)"
        case .missing(let range):
            "segments \(range.lowerBound) to \(range.upperBound) are missing, and nothing says why"
        case .misplaced(let name): "\(name.text): misplaced, its header is another segment's"
        case .impossibleNumber(let name): "\(name.text): has a number that no stream gets to"
        case .previousDiffers(let name):
            "\(name.text): names another segment before it than there is"
        case .tornUnnamed(let name, let fault, let frame):
            "\(name.text): \(fault.rawValue) at frame \(frame), which no later segment knows of"
        case .recoveryDiffers(let name): "\(name.text): is not as it was found at recovery"
        case .sequenceMissing(let name, let expected, let found):
            "\(name.text): entries \(expected) to \(found - 1) are missing"
        case .sequenceRepeated(let name, let expected, let found):
            "\(name.text): entry \(found) again, where \(expected) was due"
        case .rolledBack(let anchored, let found):
            "rolled-back: segment \(anchored) was written, the last there is "
                + (found.map { "\($0)" } ?? "none")
        case .truncated(let name): "\(name.text): truncated, or not the one that was written"
        case .foreignLogKey(let name, let id): "\(name.text): foreign-log-key \(id.text)"
        }
    }

    /// What is worth knowing, in words.
    package static func note(_ note: StreamReport.Note) -> String {
        switch note {
        case .open(let name, let torn): "\(name.text): open\(torn ? ", with a torn end" : "")"
        case .recovered(let name, let recovery):
            "\(name.text): recovered, \(recovery.frames) whole frames, \(recovery.tornBytes) torn bytes"
        case .tornChanged(let name): "\(name.text): its torn end changed since"
        case .lostBeforeRecovery(let name, let frame): "\(name.text): lost from frame \(frame) on"
        case .gap(let name, let gap):
            "\(name.text): \(gap.entries) entries and \(gap.bodies) bodies lost (\(gap.reason))"
        case .removed(let event):
            "segments \(event.first) to \(event.last) \(event.name.rawValue): \(event.reason)"
        }
    }

    static func event(
        _ event: String, stream: LogIdentifier, reader: String, _ filter: String
    ) -> String {
        #"{"event":"\#(event)","stream":"\#(stream.text)","reader":\#(self.quoted(reader)),"filter":\#(self.quoted(filter))}"#
    }

    private static func problem(_ problem: KeyRingProblem) -> String {
        switch problem {
        case .missing: "is missing from the key ring"
        case .malformed(let reason): "cannot be used: \(reason)"
        case .fromTheFuture(let format): "has format \(format), of a later version"
        case .misplaced: "is misplaced"
        case .foreign: "is foreign"
        }
    }

    private static func member(_ field: LogEntry.Field) -> (String, String) {
        guard let tag = LogEntry.Tag(rawValue: field.tag) else {
            return ("tag\(field.tag)_base64", self.quoted(Data(field.value).base64EncodedString()))
        }
        let name = self.name(tag)
        switch tag {
        case .status, .bodyBytes, .duration:
            return (name, "\(field.value.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })")
        case .outcome:
            let outcome = field.value.first.flatMap { LogEntry.Outcome(rawValue: $0) }
            return (name, self.quoted(outcome.map { "\($0)" } ?? "\(field.value)"))
        case .bodyDigest:
            let digits = field.value.map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            return (name, self.quoted(digits.joined()))
        case .event:
            // We wrote it as JSON; what would steer a terminal is shown escaped all the same.
            let isPlain = field.value.allSatisfy { (0x20..<0x7f).contains($0) }
            let text = String(decoding: field.value, as: UTF8.self)
            return (name, isPlain ? text : self.quoted(text))
        default:
            guard let text = String(validating: field.value, as: UTF8.self) else {
                return ("\(name)_base64", self.quoted(Data(field.value).base64EncodedString()))
            }
            return (name, self.quoted(text))
        }
    }

    private static func name(_ tag: LogEntry.Tag) -> String {
        switch tag {
        case .endpoint: "endpoint"
        case .deployment: "deployment"
        case .method: "method"
        case .path: "path"
        case .status: "status"
        case .headers: "headers"
        case .body: "body"
        case .bodyBytes: "body_bytes"
        case .bodyDigest: "body_sha256"
        case .requestIDText: "x_request_id"
        case .clientRequestIDText: "x_ms_client_request_id"
        case .endpointKeyID: "endpoint_key_id"
        case .outcome: "outcome"
        case .backend: "backend"
        case .duration: "duration_ns"
        case .event: "event"
        }
    }

    /// A JSON string in ASCII, for a little of it may reach a terminal.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22: quoted += "\\\""
            case 0x5c: quoted += "\\\\"
            case 0x20..<0x7f: quoted.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default: quoted += self.escaped(unit)
            }
        }
        return quoted + "\""
    }

    /// One unit of UTF-16 as a JSON string has it: `\u` and four digits.
    static func escaped(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
