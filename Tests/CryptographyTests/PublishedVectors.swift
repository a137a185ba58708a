import Cryptography
import Foundation

/// Test vectors of standards, read from the package that carries them (Tests/setup installs it).
enum PublishedVectors {
    static let isInstalled = FileManager.default.fileExists(atPath: folder)

    private static let folder: String = {
        let cache =
            ProcessInfo.processInfo.environment["SCOREGATE_TEST_CACHE"]
            ?? NSHomeDirectory() + "/.cache/scoregate-tests"
        return cache + "/vectors/cryptography_vectors"
    }()

    /// A file as it is.
    static func text(of file: String) throws -> String {
        try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
    }

    /// The cases of a file, which are blocks of "name = value" lines.
    ///
    /// A "[name = value]" line holds for all
    /// cases after it; a line without a value, such as "FAIL", is a name with an empty one.
    static func cases(of file: String) throws -> [[String: String]] {
        let text = try Self.text(of: file)
        var common: [String: String] = [:]
        var present: [String: String] = [:]
        var cases: [[String: String]] = []
        for line in text.replacingOccurrences(of: "\r\n", with: "\n").components(separatedBy: "\n")
            + [""]
        {
            let isCommon = line.hasPrefix("[")
            let parts = line.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
                .split(separator: "=", maxSplits: 1).map {
                    $0.trimmingCharacters(in: .whitespaces)
                }
            if parts.isEmpty || parts[0].isEmpty {
                if !present.isEmpty { cases.append(common.merging(present) { $1 }) }
                present = [:]
            } else if isCommon {
                common[parts[0]] = parts.count > 1 ? parts[1] : ""
            } else if !line.hasPrefix("#") {
                present[parts[0]] = parts.count > 1 ? parts[1] : ""
            }
        }
        return cases
    }
}

/// The bytes that `digits` write in hexadecimal.
func bytes(_ digits: String?) -> [UInt8] {
    let nibbles = (digits ?? "").utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    return stride(from: 0, to: nibbles.count - 1, by: 2).map {
        UInt8(nibbles[$0] << 4 | nibbles[$0 + 1])
    }
}

/// A secret with these bytes.
func secret(_ bytes: [UInt8]) throws -> SecretBytes {
    try SecretBytes(copying: bytes.rawSpan)
}

/// What `secret` holds, for a comparison in a test.
func contents(_ secret: borrowing SecretBytes) -> [UInt8] {
    let span = secret.bytes
    return unsafe span.withUnsafeBytes { unsafe Array($0) }
}
