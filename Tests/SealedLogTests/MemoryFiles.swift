import Cryptography

@testable import SealedLog

/// A file system in memory that fails at a given call, fills up, and loses power.
///
/// It keeps every operation, so that ``afterPowerCut(at:_:)`` can give what a disk may hold when the
/// power is lost after any of them.
final class MemoryFiles: LogFileSystem, @unchecked Sendable {
    // Sendable: a test uses it from one thread at a time.
    enum Operation {
        case folder(String)
        case create(String, node: Int)
        case append(node: Int, [UInt8])
        case synchronize(node: Int)
        case rename(String, String)
        case remove(String)
        case synchronizeFolder(String)
    }

    struct Node {
        var bytes: [UInt8] = []
        var isReadOnly = false
        var reserved = 0
        var writtenMilliseconds: UInt64 = 0
    }

    private(set) var operations: [Operation] = []
    var nodes: [Node] = []
    var names: [String: Int] = [:]
    var folders: Set<String> = ["log"]
    /// How many calls were made that can fail.
    private(set) var calls = 0
    /// The call that fails, counted from 1, and those after it if `failsOn`.
    var failingCall = Int.max
    var failsOn = false
    var failure: Int32 = 5
    /// Called before each of them.
    var willCall: () -> Void = {}
    /// How many bytes all files together may have.
    var capacity = Int.max
    var milliseconds: UInt64 = 0
    /// The descriptors that are open, by node.
    private var open: [Int32: Int] = [:]
    private var nextDescriptor: Int32 = 3

    var openFiles: Int { self.open.count }

    init() {}

    /// Holds what another one holds now.
    init(copying files: MemoryFiles) {
        self.nodes = files.nodes
        self.names = files.names
        self.folders = files.folders
    }

    private func call(_ operation: String, _ path: String) throws(SealedLogError) {
        self.calls += 1
        self.willCall()
        if self.calls == self.failingCall || (self.failsOn && self.calls > self.failingCall) {
            throw .file(operation: operation, path: path, errno: self.failure)
        }
    }

    /// How many bytes all files together have.
    var usedBytes: Int {
        self.names.values.reduce(0) { $0 + self.nodes[$1].bytes.count + self.nodes[$1].reserved }
    }

    func makeFolder(_ path: String) throws(SealedLogError) {
        try self.call("mkdir", path)
        if self.folders.insert(path).inserted { self.operations.append(.folder(path)) }
    }

    func names(in folder: String) throws(SealedLogError) -> [String] {
        try self.call("opendir", folder)
        return self.names.keys.filter { $0.hasPrefix(folder + "/") }
            .map { String($0.dropFirst(folder.count + 1)) }.filter { !$0.contains("/") }
    }

    func create(_ path: String) throws(SealedLogError) -> LogFile {
        try self.call("create", path)
        guard self.names[path] == nil else {
            throw .file(operation: "create", path: path, errno: 17)
        }
        self.nodes.append(Node())
        self.names[path] = self.nodes.count - 1
        self.operations.append(.create(path, node: self.nodes.count - 1))
        return self.opened(self.nodes.count - 1, path)
    }

    func open(_ path: String) throws(SealedLogError) -> LogFile {
        try self.call("open", path)
        guard let node = self.names[path] else {
            throw .file(operation: "open", path: path, errno: 2)
        }
        return self.opened(node, path)
    }

    private func opened(_ node: Int, _ path: String) -> LogFile {
        self.nextDescriptor += 1
        self.open[self.nextDescriptor] = node
        return LogFile(descriptor: self.nextDescriptor, path: path)
    }

    private func node(of file: LogFile) -> Int {
        guard let node = self.open[file.descriptor] else { preconditionFailure("the file is open") }
        return node
    }

    func append(_ bytes: RawSpan, to file: LogFile) throws(SealedLogError) {
        let node = self.node(of: file)
        precondition(!self.nodes[node].isReadOnly, "a final segment is not written")
        let room = self.capacity == .max ? .max : max(0, self.capacity - self.usedBytes)
        var written = bytes.byteCount
        var failure: SealedLogError?
        do throws(SealedLogError) {
            try self.call("write", file.path)
        } catch {
            // Some of it may be there all the same.
            failure = error
            written /= 2
        }
        if written > room {
            written = room
            failure = failure ?? .file(operation: "write", path: file.path, errno: 28)
        }
        let part = bytes.extracting(first: written).array
        self.nodes[node].bytes += part
        self.nodes[node].writtenMilliseconds = self.milliseconds
        self.operations.append(.append(node: node, part))
        if let failure { throw failure }
    }

    func read(
        _ file: LogFile, at offset: Int, count: Int, into bytes: inout [UInt8]
    ) throws(SealedLogError) {
        try self.call("read", file.path)
        let all = self.nodes[self.node(of: file)].bytes
        bytes = Array(all[min(offset, all.count)..<min(offset + count, all.count)])
    }

    func status(
        of file: LogFile
    ) throws(SealedLogError) -> (bytes: Int, writtenMilliseconds: UInt64) {
        try self.call("stat", file.path)
        let node = self.nodes[self.node(of: file)]
        return (node.bytes.count, node.writtenMilliseconds)
    }

    func synchronize(_ file: LogFile) throws(SealedLogError) {
        try self.call("fdatasync", file.path)
        self.operations.append(.synchronize(node: self.node(of: file)))
    }

    func makeReadOnly(_ file: LogFile) throws(SealedLogError) {
        try self.call("chmod", file.path)
        self.nodes[self.node(of: file)].isReadOnly = true
    }

    func close(_ file: LogFile) { self.open[file.descriptor] = nil }

    func rename(_ path: String, to newPath: String) throws(SealedLogError) {
        try self.call("rename", path)
        self.names[newPath] = self.names.removeValue(forKey: path)
        self.operations.append(.rename(path, newPath))
    }

    func remove(_ path: String) throws(SealedLogError) {
        try self.call("unlink", path)
        if self.names.removeValue(forKey: path) != nil { self.operations.append(.remove(path)) }
    }

    func synchronizeFolder(_ path: String) throws(SealedLogError) {
        try self.call("fsync", path)
        self.operations.append(.synchronizeFolder(path))
    }

    func reserve(_ bytes: Int, for file: LogFile) throws(SealedLogError) {
        try self.call("fallocate", file.path)
        guard self.capacity == .max || self.usedBytes + bytes <= self.capacity else {
            throw .file(operation: "fallocate", path: file.path, errno: 28)
        }
        self.nodes[self.node(of: file)].reserved = bytes
    }

    /// What a disk may hold once the power was lost after so many operations.
    ///
    /// What was not synchronised is there, or in part, or not, each piece by itself; a later piece
    /// may be there without an earlier one, which then reads as zeros. So may be names.
    ///
    /// `start` is what the disk held before the first operation.
    func afterPowerCut(
        at count: Int, _ random: inout some RandomNumberGenerator, before start: Image = Image()
    ) -> MemoryFiles {
        let disk = MemoryFiles()
        disk.milliseconds = self.milliseconds
        let past = self.operations[..<count]
        var lastSync: [Int: Int] = [:]
        var lastFolderSync: [String: Int] = [:]
        for (index, operation) in past.enumerated() {
            switch operation {
            case .synchronize(let node): lastSync[node] = index
            case .synchronizeFolder(let path): lastFolderSync[path] = index
            default: break
            }
        }
        disk.nodes = start.nodes
        disk.names = start.names
        disk.folders = start.folders
        disk.nodes += [Node](repeating: Node(), count: self.nodes.count - disk.nodes.count)
        var lengths = disk.nodes.map(\.bytes.count)
        for (index, operation) in past.enumerated() {
            let isNameDurable = { (path: String) in
                let folder = String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
                return index < lastFolderSync[folder] ?? -1
            }
            switch operation {
            case .folder(let path):
                if isNameDurable(path) || Bool.random(using: &random) { disk.folders.insert(path) }
            case .create(let path, let node):
                if isNameDurable(path) || Bool.random(using: &random) { disk.names[path] = node }
            case .append(let node, let bytes):
                let start = lengths[node]
                lengths[node] += bytes.count
                var kept = bytes
                if index >= lastSync[node] ?? -1 {
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: continue
                    case 1:
                        kept = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
                    case 2 where bytes.count > 0:
                        let hole = Int.random(in: 0..<bytes.count, using: &random)
                        for index in hole..<min(bytes.count, hole + 512) { kept[index] = 0 }
                    default: break
                    }
                }
                guard !kept.isEmpty else { continue }
                if disk.nodes[node].bytes.count < start {
                    disk.nodes[node].bytes.setCount(start)
                }
                disk.nodes[node].bytes.setCount(max(disk.nodes[node].bytes.count, start))
                disk.nodes[node].bytes.append(contentsOf: kept)
            case .rename(let path, let newPath):
                guard isNameDurable(path) || Bool.random(using: &random) else { continue }
                if let node = disk.names.removeValue(forKey: path) { disk.names[newPath] = node }
            case .remove(let path):
                if isNameDurable(path) || Bool.random(using: &random) { disk.names[path] = nil }
            case .synchronize, .synchronizeFolder: break
            }
        }
        disk.start = Image(nodes: disk.nodes, names: disk.names, folders: disk.folders)
        return disk
    }

    /// What a disk holds.
    struct Image {
        var nodes: [Node] = []
        var names: [String: Int] = [:]
        var folders: Set<String> = ["log"]
    }

    /// What this one held before its first operation.
    private(set) var start = Image()
}
