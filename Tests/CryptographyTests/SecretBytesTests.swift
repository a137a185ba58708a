import Cryptography
import Foundation
import Testing

@Suite struct SecretBytesTests {
    @Test("A secret's pages are locked, left out of dumps, wiped in children, and guarded")
    func memory() throws {
        let secret = try SystemRandom.secret(count: 5000)
        let address = unsafe secret.bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
        // In pieces, as a file of /proc does not say how long it is.
        let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        let map = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        // Not used for the last time before the map was read: it would be gone from there.
        #expect(secret.count == 5000)
        let lines = map.components(separatedBy: "\n")
        let bounds = self.hexadecimal(address) + "-" + self.hexadecimal(address + 8192)
        let start = try #require(lines.firstIndex { $0.hasPrefix(bounds + " rw-p") })
        let flags = try #require(lines[start...].first { $0.hasPrefix("VmFlags:") })
        // The sanitizers' own mlock(2) locks nothing.
        let isSanitized =
            unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
        for flag in isSanitized ? ["dd", "wf"] : ["lo", "dd", "wf"] {
            #expect(flags.split(separator: " ").contains(Substring(flag)), "\(flag) in \(flags)")
        }
        let guards = lines.filter { $0.contains(" ---p ") }
        #expect(guards.contains { $0.contains("-" + self.hexadecimal(address) + " ") })
        #expect(guards.contains { $0.hasPrefix(self.hexadecimal(address + 8192) + "-") })
    }

    @Test("A secret has the bytes it was given")
    func copying() throws {
        let some = (0..<200).map { UInt8($0) }
        let copy = try secret(some)
        #expect(copy.count == 200)
        #expect(contents(copy) == some)
    }

    @Test("What the filling throws comes out")
    func failingFill() {
        #expect(throws: CryptographyError.notAuthentic) {
            _ = try SecretBytes(count: 10) { (_) throws(CryptographyError) in throw .notAuthentic }
        }
    }

    @Test(
        "A key file is read whole, also through a symbolic link",
        arguments: [0o600, 0o400, 0o700, 0o440, 0o640])
    func readsFile(mode: Int) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(Array("the key".utf8), "a.key", mode: mode)
        let link = folder.path + "/link.key"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
        #expect(try contents(SecretBytes(contentsOf: file, maximum: 7)) == Array("the key".utf8))
        #expect(try contents(SecretBytes(contentsOf: link, maximum: 7)) == Array("the key".utf8))
    }

    @Test(
        "A key file that others have a right to, or its group more than to read, is refused",
        arguments: [0o604, 0o620, 0o660, 0o644, 0o610, 0o601, 0o666])
    func openToOthers(mode: Int) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write([1], "a.key", mode: mode)
        self.expect(.openToOthers(mode: UInt32(mode)), file)
    }

    @Test("A key file that is missing, empty, too large or no file says so")
    func refusals() throws {
        let folder = try TemporaryFolder()
        self.expect(.missing, folder.path + "/none")
        self.expect(.notRegular, folder.path)
        self.expect(.notRegular, "/dev/null")
        self.expect(.empty, try folder.write([], "empty.key"))
        self.expect(.tooLarge(maximum: 100), try folder.write(Array(repeating: 1, count: 101), "l"))
        let pipe = folder.path + "/pipe"
        #expect(unsafe mkfifo(pipe, 0o600) == 0)
        self.expect(.notRegular, pipe)
    }

    @Test("A file is written with its mode, replaced only when asked, and leaves nothing beside it")
    func writing() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/a.key"
        try WholeFile.write([1].rawSpan, to: path, mode: 0o600, isReplacing: false)
        #expect(throws: CryptographyError.file(path: path, problem: .alreadyExists)) {
            try WholeFile.write([2].rawSpan, to: path, mode: 0o600, isReplacing: false)
        }
        #expect(try WholeFile.read(path, maximum: 10) == [1])
        try WholeFile.write([3].rawSpan, to: path, mode: 0o600, isReplacing: true)
        #expect(try contents(SecretBytes(contentsOf: path, maximum: 10)) == [3])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.key"])
        let lost = folder.path + "/none/a.key"
        #expect(throws: CryptographyError.file(path: lost, problem: .missing)) {
            try WholeFile.write([2].rawSpan, to: lost, mode: 0o600, isReplacing: true)
        }
    }

    @Test("Random bytes fill what they are asked for and do not repeat")
    func random() throws {
        let first = try SystemRandom.bytes(count: 32)
        #expect(first.count == 32)
        #expect(try first != SystemRandom.bytes(count: 32))
        let batch = RandomBatch()
        // More than one batch of 4 KiB has.
        let identifiers = (0..<300).map { _ in batch.uuid() }
        #expect(Set(identifiers.map { "\($0.high) \($0.low)" }).count == 300)
        #expect(identifiers.allSatisfy { $0.high >> 12 & 15 == 4 && $0.low >> 62 == 2 })
    }

    private func expect(_ problem: FileProblem, _ path: String) {
        #expect(throws: CryptographyError.file(path: path, problem: problem)) {
            _ = try SecretBytes(contentsOf: path, maximum: 100)
        }
    }

    private func hexadecimal(_ number: Int) -> String { String(number, radix: 16) }
}
