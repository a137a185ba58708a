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
        var count = contents.count
        for end in [UInt8(ascii: "\n"), UInt8(ascii: "\r")]
        where count > 0 && contents.bytes[byte: count - 1] == end {
            count -= 1
        }
        guard count > 0 else { throw .file(path: path, problem: .empty) }
        for index in 0..<count where !(0x21...0x7e ~= contents.bytes[byte: index]) {
            throw .malformed("it holds something else than visible ASCII")
        }
        try self.init(copying: contents.bytes.extracting(first: count))
    }
}
