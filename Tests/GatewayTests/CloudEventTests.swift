import Foundation
import Testing

@testable import Gateway
@testable import SealedLog

@Suite("Entries as CloudEvents") struct CloudEventTests {
    /// A body as a client sent it, and the member it becomes.
    static let cases: [([UInt8], String)] = [
        (Array(#"{"a": [1.0]}"#.utf8), #""data":{"a": [1.0]}"#),
        (Array("[1,\r\n\t2]".utf8), #""data":[1,   2]"#),
        (
            Array("\"\u{9b}31m\u{202e}\u{feff}\u{7f}ä\"".utf8),
            #""data":"\u009b31m\u202e\ufeff\u007f\u00e4""#
        ),
        (Array("[\"\u{1f600}\"]".utf8), #""data":["\ud83d\ude00"]"#),
        // As JSON may not be: with a byte order mark, and in UTF-16 and UTF-32.
        ([0xef, 0xbb, 0xbf] + Array("[1]".utf8), #""data_base64":"77u/WzFd""#),
        ([0x5b, 0, 0x31, 0, 0x5d, 0], #""data_base64":"WwAxAF0A""#),
        ([0, 0x5b, 0, 0x31, 0, 0x5d], #""data_base64":"AFsAMQBd""#),
        ([0xff, 0xfe, 0x5b, 0, 0x31, 0, 0x5d, 0], #""data_base64":"//5bADEAXQA=""#),
        ([0x31, 0, 0, 0], #""data_base64":"MQAAAA==""#),
        (Array("\u{9b}31m".utf8), #""data":"\u009b31m""#),
        ([0x9b], #""data_base64":"mw==""#),
    ]

    @Test(
        "whatever a body is, its line is JSON in ASCII that says the same", arguments: Self.cases)
    func bodies(_ body: [UInt8], _ member: String) throws {
        let entry = LogEntry(
            kind: .request, sequence: 0, nanoseconds: 1, requestID: .zero,
            fields: [.init(tag: LogEntry.Tag.body.rawValue, value: body)])
        let line = try #require(try LogText.cloudEvent(entry))
        #expect(line.contains(member), "\(line)")
        #expect(line.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
        let decoded = try JSONSerialization.jsonObject(with: Data(line.utf8))
        let members = try #require(decoded as? [String: Any])
        if let text = members["data_base64"] as? String {
            #expect(Data(base64Encoded: text) == Data(body))
        }
    }
}
