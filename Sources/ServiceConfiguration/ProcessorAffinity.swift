internal import Foundation

/// Which processors the process may run on: fewer than there are under `taskset` or in a cpuset.
///
/// As /proc/self/status says, proc_pid_status(5); sched_getaffinity(2) is not seen from Swift.
package enum ProcessorAffinity {
    /// How many they are; those that are there if the kernel does not say.
    package static var count: Int {
        let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        return status.flatMap { self.count(in: $0) } ?? ProcessInfo.processInfo.activeProcessorCount
    }

    /// The processors in the line `Cpus_allowed`, hexadecimal digits with commas; nil without any.
    static func count(in status: String) -> Int? {
        let name = "Cpus_allowed:"
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
            return nil
        }
        let count = line.dropFirst(name.count).reduce(0) {
            $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0)
        }
        return count > 0 ? count : nil
    }
}
