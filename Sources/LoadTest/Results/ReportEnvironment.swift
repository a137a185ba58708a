internal import Cryptography
internal import Foundation

/// Where and how a report was made.
package struct ReportEnvironment: Sendable, Codable, Equatable {
    package var version: String
    /// In UTC.
    package var started: String
    /// The command line, secrets masked.
    package var command: String
    package var system: String
    package var processors: Int
    package var openSSL: String
    /// What the tester adds by itself: see ``LoadRun/floor(isBusyPolling:isInterrupted:)``.
    package var floor: LoadReport.Distribution?

    /// Of this process.
    ///
    /// - Parameters:
    ///   - version: Of the program.
    ///   - arguments: The command line; what may be a secret is masked.
    ///   - started: Seconds since 1970.
    ///   - floor: What the tester adds by itself; nil if that is not known.
    package init(
        version: String, arguments: [String], started: Double, floor: LoadReport.Distribution? = nil
    ) {
        let process = ProcessInfo.processInfo
        self.version = version
        self.started = ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: started))
        self.command = SecretMask.command(arguments)
        self.system = process.operatingSystemVersionString
        self.processors = process.activeProcessorCount
        self.openSSL = OpenSSLLibrary.version
        self.floor = floor
    }

    /// The floor as a line of a summary; nil if it is not known.
    var floorText: String? {
        guard let floor, let p50 = floor.value(at: 50), let p99 = floor.value(at: 99) else {
            return nil
        }
        return "floor       p50 \(Quantity.text(nanoseconds: p50 * 1e9)), "
            + "p99 \(Quantity.text(nanoseconds: p99 * 1e9)): latency of a model in the tester itself, "
            + "without TLS"
    }
}
