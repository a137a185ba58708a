extension SecretBytes {
    /// The word in a file: visible ASCII; one line end after it is no part of it.
    ///
    /// - Parameters:
    ///   - path: A file that is its owner's, or is given as ``SecretFileAccess`` allows.
    ///   - maximum: Most bytes of the file.
    /// - Throws: `.file` if it cannot be read, is empty or open to others; `.malformed` if it holds
    ///   anything else.
    package init(wordIn path: String, maximum: Int) throws(CryptographyError) {
        let contents = try SecretBytes(contentsOf: path, maximum: maximum)
        guard contents.wordCount > 0 else { throw .file(path: path, problem: .empty) }
        self = try contents.word()
    }

    /// The word in these bytes: visible ASCII, as can stand in a field; one line end after it is no
    /// part of it.
    ///
    /// - Throws: `.malformed` if there is none, or anything else.
    package func word() throws(CryptographyError) -> SecretBytes {
        let count = self.wordCount
        guard count > 0 else { throw .malformed("it is empty") }
        for index in 0..<count where !(0x21...0x7e ~= self.bytes[byte: index]) {
            throw .malformed("it holds something else than visible ASCII")
        }
        return try SecretBytes(copying: self.bytes.extracting(first: count))
    }

    private var wordCount: Int {
        var count = self.count
        for end in [UInt8(ascii: "\n"), UInt8(ascii: "\r")]
        where count > 0 && self.bytes[byte: count - 1] == end {
            count -= 1
        }
        return count
    }
}
