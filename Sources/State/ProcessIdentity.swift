internal import Foundation

/// One process, told apart from a later one that got the same number.
struct ProcessIdentity: Hashable, Sendable {
    let pid: Int64
    /// Boot and start of the process in clock ticks since, proc(5); no later process has the same.
    let started: String
    /// The process's PID namespace: numbers of another one mean nothing here.
    let namespace: String

    /// The calling process.
    static let current = ProcessIdentity(
        pid: Int64(ProcessInfo.processInfo.processIdentifier),
        started: Self.start(of: Int64(ProcessInfo.processInfo.processIdentifier)) ?? "unknown",
        namespace: Self.currentNamespace)

    /// Whether the process is running; nil if that cannot be told from here.
    var isRunning: Bool? {
        guard self.namespace == Self.currentNamespace else { return nil }
        return Self.start(of: self.pid) == self.started
    }

    private static let currentNamespace: String = {
        let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")
        return link ?? "unknown"
    }()

    private static let boot: String = {
        let id = try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        return id?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
    }()

    private static func start(of pid: Int64) -> String? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            // The name in parentheses may hold spaces and parentheses itself.
            let name = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[name...].split(separator: " ")
        // The name is field 2, the start field 22; a zombie ("Z") has ended.
        guard fields.count > 20, fields[1] != "Z", fields[1] != "X" else { return nil }
        return "\(self.boot)/\(fields[20])"
    }
}
