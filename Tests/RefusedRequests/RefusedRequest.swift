/// One request that must be refused, and the status that says so: by the parser, and by the gateway before a
/// backend hears of it.
package struct RefusedRequest: CustomStringConvertible, Sendable {
    /// Of the table of refused inputs.
    package let row: Int
    private let text: [UInt8]
    /// What it is answered with.
    package let status: Int

    /// A request of this text, in which `AUTH` stands for the field with the key.
    package init(_ row: Int, _ text: String, _ status: Int = 400) {
        self.row = row
        self.text = Array(text.utf8)
        self.status = status
    }

    /// The row and how the request begins.
    package var description: String {
        let text = String(decoding: self.text.prefix(100), as: UTF8.self)
        return "row \(self.row): \(text.debugDescription)"
    }

    /// What is sent: with a right key, so that nothing but the form can be the reason.
    package func bytes(key: String) -> [UInt8] {
        let text = self.text.split(separator: Array("AUTH".utf8), omittingEmptySubsequences: false)
        return Array(text.joined(separator: Array("Authorization: Bearer \(key)".utf8)))
    }

    /// A POST with these field lines behind Host, and this body.
    package static func fields(
        _ row: Int, _ lines: String, body: String = "", _ status: Int = 400
    ) -> Self {
        Self(row, "POST /score HTTP/1.1\r\nHost: h\r\nAUTH\r\n\(lines)\r\n\r\n\(body)", status)
    }

    /// A GET of this target.
    static func target(_ row: Int, _ target: String, _ status: Int = 400) -> Self {
        Self(row, "GET \(target) HTTP/1.1\r\nHost: h\r\nAUTH\r\n\r\n", status)
    }

    /// A POST with this chunked body.
    package static func chunked(_ row: Int, _ body: String, _ status: Int = 400) -> Self {
        Self.fields(row, "Transfer-Encoding: chunked", body: body, status)
    }

    /// The whole table.
    package static let all = framing + chunks + lines + fields + limits
}
