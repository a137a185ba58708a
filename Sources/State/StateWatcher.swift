internal import Dispatch
internal import GRDB
internal import Glibc
internal import Synchronization

/// Notices within 100 ms when any process changes the state, and says what is in force here.
///
/// Has a thread and a read connection of its own. `PRAGMA data_version` changes when another
/// connection commits (sqlite.org/pragma.html#pragma_data_version), and costs no file access
/// beyond shared memory; only then is the state read.
///
/// Ownership: keep it as long as the gateway runs, then call ``stop()``.
package final class StateWatcher: Sendable {
    /// The state when the watcher was made: what workers start with.
    package let initial: StateRecords

    private let store: StateStore
    private let onChange: @Sendable (StateRecords) -> Void
    private let queue = DispatchQueue(label: "state watcher", qos: .userInitiated)
    private let process = ProcessIdentity.current
    private let start = ContinuousClock.now
    /// Milliseconds from ``start`` to the last time the state could be read.
    private let lastSuccess = Atomic<Int64>(0)
    private let failure = Mutex<StateError?>(nil)
    private let watch: Mutex<Watch>
    private let applied: Mutex<[Int64]>

    /// Begins to watch, with every worker counted as having ``initial`` in force.
    ///
    /// - Parameters:
    ///   - store: The state, open.
    ///   - workers: How many workers this process has.
    ///   - onChange: Is called on the watcher's thread with the records of each new generation;
    ///     workers then call ``apply(generation:worker:)``.
    /// - Throws: `.database` if the state cannot be read or written.
    package init(
        store: StateStore, workers: Int,
        onChange: @escaping @Sendable (StateRecords) -> Void
    ) throws(StateError) {
        self.store = store
        self.onChange = onChange
        let connection = try Connection(path: store.path)
        let (version, initial) = try connection.read()
        self.initial = initial
        let generations = [Int64](repeating: initial.generation, count: workers)
        try store.writeApplied(generations, by: self.process, now: UnixTime.milliseconds)
        self.applied = Mutex(generations)
        self.watch = Mutex(
            Watch(
                connection: connection, version: version, generation: initial.generation,
                written: generations, heartbeat: UnixTime.milliseconds))
        self.pollLater()
    }

    /// Notes that `worker` answers by `generation` from now on; from any thread, never blocks long.
    package func apply(generation: Int64, worker: Int) {
        self.applied.withLock { $0[worker] = max($0[worker], generation) }
    }

    /// Whether what is in force here is recent; from any thread.
    package var health: StateHealth {
        StateHealth(
            millisecondsSinceSuccess: self.elapsed - self.lastSuccess.load(ordering: .relaxed))
    }

    /// What keeps the state from being written; nil as long as it can be.
    ///
    /// Known within five seconds: so often this process writes what it has in force. From any thread.
    package var writeFailure: StateError? { self.failure.withLock { $0 } }

    /// Ends watching and signs the process off; blocks until the last call of `onChange` is over.
    ///
    /// Must not be called from `onChange`.
    package func stop() {
        self.watch.withLock { $0.isStopped = true }
        self.queue.sync {}
        // Losing it is harmless: the process will be found to have ended.
        try? self.store.forget(self.process)
    }

    private var elapsed: Int64 { (ContinuousClock.now - self.start).milliseconds }

    private func pollLater() {
        self.queue.asyncAfter(deadline: .now() + Self.interval) { [weak self] in
            guard let self, !self.watch.withLock({ $0.isStopped }) else { return }
            self.poll()
            self.pollLater()
        }
    }

    private func poll() {
        let changed = self.watch.withLock { watch -> StateRecords? in
            do throws(StateError) {
                let changed = try watch.poll(path: self.store.path)
                self.lastSuccess.store(self.elapsed, ordering: .relaxed)
                return changed
            } catch {
                // Seen by others as ``health``; the next poll opens a new connection.
                watch.connection = nil
                return nil
            }
        }
        if let changed { self.onChange(changed) }
        let applied = self.applied.withLock { $0 }
        self.watch.withLock { watch in
            let now = UnixTime.milliseconds
            let isDue = now - watch.heartbeat >= StateStore.heartbeatMilliseconds
            guard applied != watch.written || isDue else { return }
            do throws(StateError) {
                try self.store.writeApplied(applied, by: self.process, now: now)
                watch.written = applied
                watch.heartbeat = now
                self.failure.withLock { $0 = nil }
            } catch {
                // Tried again at the next poll; `keys revoke` meanwhile says that it waits.
                self.failure.withLock { $0 = error }
            }
        }
    }

    /// 100 ms: a tenth of the second within which a revoked key must be refused.
    private static let interval = DispatchTimeInterval.milliseconds(100)
}

/// What the watcher knows of the database; only its own thread uses it.
private struct Watch {
    var connection: Connection?
    var version: Int64
    var generation: Int64
    var written: [Int64]
    var heartbeat: Int64
    var isStopped = false

    /// The records, if there is a generation that was not seen yet.
    mutating func poll(path: String) throws(StateError) -> StateRecords? {
        let connection: Connection
        if let open = self.connection {
            try open.checkFile(path: path)
            guard try open.version() != self.version else { return nil }
            connection = open
        } else {
            connection = try Connection(path: path)
            self.connection = connection
        }
        let (version, records) = try connection.read()
        self.version = version
        guard records.generation != self.generation else { return nil }
        self.generation = records.generation
        return records
    }
}

/// The watcher's read connection.
private struct Connection {
    private let queue: DatabaseQueue
    private let file: UInt64

    init(path: String) throws(StateError) {
        var configuration = StateStore.configuration
        configuration.readonly = true
        configuration.busyMode = .timeout(0.5)
        self.file = try Self.file(at: path)
        self.queue = try StateError.wrapping("opening the state") {
            try DatabaseQueue(path: path, configuration: configuration)
        }
    }

    /// Fails if `path` is another file by now, or none: an open one shows no more changes then.
    func checkFile(path: String) throws(StateError) {
        guard try Self.file(at: path) == self.file else {
            throw .database(operation: "watching the state", reason: "the file was replaced")
        }
    }

    func version() throws(StateError) -> Int64 {
        try StateError.wrapping("watching the state") {
            try self.queue.inDatabase {
                try Int64.fetchOne($0, sql: "PRAGMA data_version") ?? 0
            }
        }
    }

    /// The version and the records; the version is the older of the two, so that no change is
    /// missed.
    func read() throws(StateError) -> (version: Int64, records: StateRecords) {
        let version = try self.version()
        let records = try StateError.wrapping("reading the state") {
            try self.queue.read { database in
                StateRecords(
                    endpointKeys: try EndpointKeyRecords(reading: database),
                    wrappingKeys: try WrappingKeyRecord.all(database))
            }
        }
        return (version, records)
    }

    private static func file(at path: String) throws(StateError) -> UInt64 {
        // FileManager would look up the names of owner and group too, ten times a second.
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw .database(operation: "watching the state", reason: "\(path) is gone")
        }
        return UInt64(status.st_ino)
    }
}

extension Duration {
    /// Whole milliseconds.
    fileprivate var milliseconds: Int64 {
        self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000
    }
}
