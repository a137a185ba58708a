/// Why a load test cannot be, or has failed; the text is for who runs it.
package enum LoadError: Error, Equatable, CustomStringConvertible {
    /// What was asked for makes no sense.
    case usage(String)
    /// The answer is no: a certificate, a limit that was not kept.
    case refused(String)
    /// A file, the network or the system failed.
    case environment(String)

    /// What happened, and what to do about it.
    package var description: String {
        switch self {
        case .usage(let text), .refused(let text), .environment(let text): text
        }
    }
}
