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

    /// Of this process.
    ///
    /// - Parameters:
    ///   - version: Of the program.
    ///   - arguments: The command line; what may be a secret is masked.
    ///   - started: Seconds since 1970.
    package init(version: String, arguments: [String], started: Double) {
        let process = ProcessInfo.processInfo
        self.version = version
        self.started = ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: started))
        self.command = SecretMask.command(arguments)
        self.system = process.operatingSystemVersionString
        self.processors = process.activeProcessorCount
        self.openSSL = OpenSSLLibrary.version
    }
}
