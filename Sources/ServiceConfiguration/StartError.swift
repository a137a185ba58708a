/// Why a service does not start.
package enum StartError: Error, CustomStringConvertible {
    /// The environment lacks something: a port, a right, a file, memory.
    case environment(String)
    /// The configuration asks for what cannot be.
    case configuration(String)
    /// What was asked for is not given: a key is not to be used.
    case refused(String)

    /// A sentence for the operator.
    package var description: String {
        switch self {
        case .environment(let text), .configuration(let text), .refused(let text): text
        }
    }
}
