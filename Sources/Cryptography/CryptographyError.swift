/// What can fail in this target.
package enum CryptographyError: Error, Equatable {
    /// OpenSSL refused an operation; `reason` is its error queue, without any input bytes.
    case openSSL(operation: String, reason: String)
    /// Bytes that were to be a certificate, key or name are not one; says which and why.
    case malformed(String)
    /// A seal, digest or signature does not hold. Never says which part differed.
    case notAuthentic
    /// The system has no random bytes or no lockable memory to give; `errno` of the call.
    case system(call: String, errno: Int32)
    /// A file cannot be used; `path` is as the caller gave it.
    case file(path: String, problem: FileProblem)
    /// The OpenSSL found at run time is older than the oldest one we trust.
    case libraryTooOld(found: String, needed: String)
}

/// Why a file cannot be used.
package enum FileProblem: Equatable, Sendable {
    /// Nothing has that path.
    case missing
    /// Something has that path already and was not to be replaced.
    case alreadyExists
    /// The process may not read it, write it, or search a folder on the way.
    case notPermitted
    /// Others have a right to a file that holds a secret, or its group more than that to read;
    /// `mode` is its permission bits.
    case openToOthers(mode: UInt32)
    /// The group may read a file that holds a secret, and owner and group are not both root or
    /// this process.
    case openToGroup(mode: UInt32, owner: UInt32, group: UInt32)
    /// It is a folder, pipe, socket or device.
    case notRegular
    /// It has no bytes.
    case empty
    /// It has more than `maximum` bytes.
    case tooLarge(maximum: Int)
    /// It changed its size while it was read.
    case changedWhileRead
    /// The system call failed otherwise.
    case failed(errno: Int32)
}

extension CryptographyError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .openSSL(let operation, let reason):
            "\(operation) failed: \(reason)"
        case .malformed(let what):
            what
        case .notAuthentic:
            "the sealed bytes, or the key or context they were opened with, are not the right ones"
        case .system("mlock", let errno):
            "cannot lock memory for a secret: \(systemText(errno)); raise the limit of locked "
                + "memory (ulimit -l, or LimitMEMLOCK in a systemd unit)"
        case .system(let call, let errno):
            "\(call): \(systemText(errno))"
        case .file(let path, let problem):
            "\(path): \(problem)"
        case .libraryTooOld(let found, let needed):
            "found \(found), but OpenSSL \(needed) or later is needed: upgrade the package libssl3"
        }
    }
}

extension FileProblem: CustomStringConvertible {
    /// The problem as half a sentence that follows the path.
    package var description: String {
        switch self {
        case .missing: "no such file"
        case .alreadyExists: "exists already and was left as it is"
        case .notPermitted: "permission denied"
        case .openToOthers(let mode):
            "holds a secret but its mode \(octal(mode)) lets group or others at it: chmod 600"
        case .openToGroup(let mode, let owner, let group):
            "holds a secret that group \(group) may read (mode \(octal(mode)), owner \(owner)): "
                + "owner and group must be root or this process's own, or: chmod 600"
        case .notRegular: "is not a regular file"
        case .empty: "is empty"
        case .tooLarge(let maximum): "has more than \(maximum) bytes"
        case .changedWhileRead: "changed while it was read"
        case .failed(let errno): systemText(errno)
        }
    }

    private func octal(_ mode: UInt32) -> String {
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
