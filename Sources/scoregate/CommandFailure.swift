internal import Cryptography

/// Why a command ends without having done its work.
struct CommandFailure: Error {
    /// The exit code, the same for every command.
    enum Code: Int32 {
        /// The answer is no: invalid, tampered with, refused.
        case refused = 1
        /// The command was called wrongly.
        case usage = 2
        /// A file, the network or the system failed.
        case environment = 3
    }

    let code: Code
    /// One or two sentences for standard error: what happened, and what to do next.
    let message: String
}

extension ProcessHardening {
    /// ``apply()`` for commands that hold private keys.
    static func applyOrFail() throws {
        do throws(CryptographyError) {
            try self.apply()
        } catch {
            throw CommandFailure(code: .environment, message: "\(error)")
        }
    }
}
