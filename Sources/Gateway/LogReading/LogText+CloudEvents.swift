internal import Foundation
package import SealedLog

// Entries as Azure Machine Learning's data collector writes them: CloudEvents 1.0, a line each
// (learn.microsoft.com/azure/machine-learning/concept-data-collection).
extension LogText {
    /// A request or an answer as a CloudEvent; nil for another entry.
    ///
    /// A body that is JSON stands as it is, but with all that is not ASCII escaped, text as a string,
    /// anything else as base64, or where `payload` says. Header lines are never in it.
    ///
    /// - Parameters:
    ///   - entry: The entry.
    ///   - payload: Keeps a body that is too large for a line or not text elsewhere and gives its URL;
    ///     nil to have all of it in the line.
    /// - Returns: One line without its end.
    /// - Throws: What `payload` throws.
    package static func cloudEvent(
        _ entry: LogEntry, payload: ((_ body: [UInt8]) throws -> String)? = nil
    ) throws -> String? {
        guard entry.kind != .event else { return nil }
        let isRequest = entry.kind == .request
        let (endpoint, deployment) = (entry.text(.endpoint), entry.text(.deployment))
        var members: [(String, String)] = [
            ("specversion", self.quoted("1.0")),
            ("id", self.quoted(self.uuid(of: entry.requestID))),
            (
                "source",
                self.quoted("/onlineEndpoints/\(endpoint)/deployments/\(deployment)")
            ),
            ("type", self.quoted("azureml.inference." + (isRequest ? "request" : "response"))),
            ("time", self.quoted(self.time(entry.nanoseconds))),
        ]
        if let type = entry.contentType {
            members.append(("datacontenttype", self.quoted(type)))
        }
        if let body = entry[.body] {
            let isText = String(validating: body, as: UTF8.self) != nil
            if let payload, !isText || body.count > Self.largestInlineBytes {
                members.append(("data", self.quoted(try payload(body))))
                members.append(("datainblob", self.quoted("true")))
            } else {
                members.append(self.data(body, isWhole: entry.isBodyWhole))
            }
            if !body.isEmpty {
                members.append(("contentrange", self.quoted("bytes 0-\(body.count - 1)/*")))
            }
        }
        if isRequest {
            members.append(("path", self.quoted(entry.text(.path))))
            members.append(("method", self.quoted(entry.text(.method))))
        }
        let requestID = entry.text(.requestIDText)
        let clientID = entry.text(.clientRequestIDText)
        members.append(("correlationid", self.quoted(clientID.isEmpty ? requestID : clientID)))
        members.append(("xrequestid", self.quoted(requestID)))
        return "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    private static func data(_ body: [UInt8], isWhole: Bool) -> (String, String) {
        if isWhole,
            (try? JSONSerialization.jsonObject(with: Data(body), options: .fragmentsAllowed)) != nil
        {
            // Foundation also takes other encodings and byte order marks, which JSON between systems
            // has not (RFC 8259, 8.1). UTF-16 and UTF-32 show by zeros.
            guard let text = String(validating: body, as: UTF8.self), !body.contains(0),
                !body.starts(with: Self.byteOrderMark)
            else { return self.base64(body) }
            return ("data", self.line(of: text))
        }
        guard let text = String(validating: body, as: UTF8.self) else { return self.base64(body) }
        return ("data", self.quoted(text))
    }

    private static func base64(_ body: [UInt8]) -> (String, String) {
        ("data_base64", self.quoted(Data(body).base64EncodedString()))
    }

    /// JSON as one line of ASCII, in which nothing can break a line or steer a terminal.
    ///
    /// Line ends and tabs stand only between its parts, anything that is not ASCII only in strings.
    private static func line(of json: String) -> String {
        var line = ""
        for unit in json.utf16 {
            switch unit {
            case 0x09, 0x0a, 0x0d: line += " "
            case 0x20..<0x7f: line.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default: line += self.escaped(unit)
            }
        }
        return line
    }

    /// The 16 bytes as a UUID's text.
    static func uuid(of id: LogIdentifier) -> String {
        var text = id.text
        for offset in [20, 16, 12, 8] {
            text.insert("-", at: text.index(text.startIndex, offsetBy: offset))
        }
        return text
    }

    /// 4 MB, as there: larger bodies have a file of their own.
    private static let largestInlineBytes = 4_194_304
    /// U+FEFF in UTF-8.
    private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
}

extension LogEntry {
    /// A field as text; empty where there is none.
    func text(_ tag: Tag) -> String { String(decoding: self[tag] ?? [], as: UTF8.self) }

    /// Whether the body is all there was.
    fileprivate var isBodyWhole: Bool { self[.bodyDigest] == nil }

    fileprivate var contentType: String? {
        for line in self.text(.headers).split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "content-type" else { continue }
            return parts[1].trimmingCharacters(in: .whitespaces)
        }
        return nil
    }
}
