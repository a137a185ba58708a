package import Cryptography

/// The key that seals the secrets of the state.
///
/// Its file holds either 32 bytes and nothing else, or 64 hexadecimal digits with or without a
/// line end after them, as `openssl rand -hex 32` writes them. The length tells which.
package enum RootKey {
    /// How many bytes the key has.
    package static let byteCount = 32

    /// Reads the key from the file at `path`, which must be its owner's alone.
    ///
    /// - Throws: `.rootKey` if the file cannot be read, others may read it, or it is no key.
    package static func read(path: String) throws(StateError) -> SecretBytes {
        do throws(CryptographyError) {
            let contents = try SecretBytes(contentsOf: path, maximum: 4096)
            if contents.count == self.byteCount { return contents }
            if let key = try self.decodeHexadecimal(contents) { return key }
        } catch .file(_, let problem) {
            throw .rootKey(path: path, reason: problem.description)
        } catch {
            throw .rootKey(path: path, reason: error.description)
        }
        throw .rootKey(
            path: path,
            reason: "it must hold 32 bytes or 64 hexadecimal digits, as from: openssl rand -hex 32")
    }

    /// Makes a new key and writes it to `path` as 64 hexadecimal digits, mode 0600.
    ///
    /// - Throws: `.rootKey` if the file exists already or cannot be written.
    package static func create(path: String) throws(StateError) -> SecretBytes {
        do throws(CryptographyError) {
            let key = try SystemRandom.secret(count: self.byteCount)
            // The digits are a secret as the key is: they stay in locked memory until written.
            let digits = try SecretBytes(count: 2 * self.byteCount + 1) { output in
                for index in 0..<key.count {
                    let byte = key.bytes.byte(at: index)
                    output.append(self.digits[Int(byte >> 4)])
                    output.append(self.digits[Int(byte & 15)])
                }
                output.append(UInt8(ascii: "\n"))
            }
            try WholeFile.write(digits.bytes, to: path, mode: 0o600, isReplacing: false)
            return key
        } catch .file(_, let problem) {
            throw .rootKey(path: path, reason: problem.description)
        } catch {
            throw .rootKey(path: path, reason: error.description)
        }
    }

    /// The bytes that 64 digits and at most a line end stand for; nil for anything else.
    private static func decodeHexadecimal(
        _ text: borrowing SecretBytes
    ) throws(CryptographyError) -> SecretBytes? {
        let digitCount = 2 * self.byteCount
        guard (digitCount...digitCount + 2).contains(text.count) else { return nil }
        for index in 0..<text.count {
            let byte = text.bytes.byte(at: index)
            let isValid =
                index < digitCount
                ? self.value(of: byte) != nil
                : byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
            guard isValid else { return nil }
        }
        return try SecretBytes(count: self.byteCount) { output in
            for index in 0..<self.byteCount {
                let high = self.value(of: text.bytes.byte(at: 2 * index)) ?? 0
                let low = self.value(of: text.bytes.byte(at: 2 * index + 1)) ?? 0
                output.append(high << 4 | low)
            }
        }
    }

    private static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
