internal import Cryptography
internal import Glibc
internal import ServiceConfiguration

/// The files of `scoregate certs`.
enum CertificateFiles {
    /// 1 MiB: more than the system's own list of trust roots.
    static let maximumBytes = 1 << 20

    /// Makes the folder at `path`, for its owner alone, unless it is there.
    static func makeFolder(_ path: String) throws {
        guard unsafe mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        let reason = unsafe String(cString: strerror(errno))
        throw CommandFailure(
            code: .environment, message: "cannot make the folder \(path): \(reason)")
    }

    /// Writes a certificate and its key, the key first: a certificate whose key was lost is of no use.
    static func write(
        _ certificate: Certificate, to path: String, key: borrowing SecretBytes, keyPath: String,
        isReplacing: Bool, ifThere advice: String
    ) throws {
        for there in [path, keyPath] where !isReplacing {
            guard unsafe access(there, F_OK) == 0 else { continue }
            throw CommandFailure(code: .refused, message: "\(there) exists already. \(advice)")
        }
        try self.reporting {
            try WholeFile.write(key.bytes, to: keyPath, mode: 0o600, isReplacing: isReplacing)
            let pem = Array(certificate.pem.utf8)
            try WholeFile.write(pem.rawSpan, to: path, mode: 0o644, isReplacing: isReplacing)
        }
    }

    /// Runs `body`, and turns what it throws into a failure of the command.
    static func reporting<Result: ~Copyable>(
        _ body: () throws -> Result
    ) throws -> Result {
        do {
            return try body()
        } catch let error as CryptographyError {
            throw self.failure(of: error)
        }
    }

    /// A failure of the command because of `error`.
    static func failure(of error: CryptographyError) -> CommandFailure {
        let code: CommandFailure.Code =
            switch error {
            case .malformed, .notAuthentic: .refused
            case .openSSL, .system, .file, .libraryTooOld: .environment
            }
        return CommandFailure(code: code, message: error.description)
    }
}
