internal import Foundation

/// Dates for people.
package enum UTCDate {
    /// `seconds` of Unix time as `2026-01-31 12:34:56 UTC`.
    package static func text(of seconds: Int64) -> String {
        let date = Date(timeIntervalSince1970: TimeInterval(seconds))
        return date.formatted(.iso8601.dateTimeSeparator(.space))
            .replacing("Z", with: " UTC")
    }
}
