internal import Cryptography

/// Bodies from files.
package enum PayloadFile {
    /// The whole file as one body.
    ///
    /// - Throws: `.environment` if it cannot be read, `.usage` if it is no template.
    package static func body(_ path: String) throws(LoadError) -> PayloadTemplate {
        try PayloadTemplate(self.read(path))
    }

    /// Each line that is not empty as a body of its own (JSON lines).
    ///
    /// - Throws: As ``body(_:)``, and `.usage` if there is no line.
    package static func lines(_ path: String) throws(LoadError) -> [PayloadTemplate] {
        let bytes = try self.read(path)
        var templates: [PayloadTemplate] = []
        for line in bytes.split(whereSeparator: {
            $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r")
        }) {
            templates.append(try PayloadTemplate(Array(line)))
        }
        guard !templates.isEmpty else { throw .usage("\(path): no line with a body") }
        return templates
    }

    private static func read(_ path: String) throws(LoadError) -> [UInt8] {
        do throws(CryptographyError) {
            return try WholeFile.read(path, maximum: self.maximumBytes)
        } catch {
            throw .environment("the payload cannot be read: \(error)")
        }
    }

    /// 256 MiB, held in memory.
    private static let maximumBytes = 268_435_456
}
