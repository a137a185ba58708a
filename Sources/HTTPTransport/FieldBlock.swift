internal import NIOCore

/// Fields made once and added to many heads, in one copy.
package struct FieldBlock: Sendable {
    /// Their lines.
    let bytes: [UInt8]
    /// Where they are in ``bytes``.
    let fields: [HeadField]

    /// The fields in this order.
    ///
    /// - Parameter fields: Names in lower case and values without control bytes.
    package init(_ fields: KeyValuePairs<StaticString, String>) {
        let head = MessageHead()
        for (name, value) in fields {
            head.append(name, atMost: value.utf8.count) { $0.append(utf8: value) }
        }
        self.bytes = Array(head.bytes.readableBytesView)
        self.fields = head.fields
    }
}
