package import Cryptography

/// What can fail in this target.
///
/// What a reader finds wrong with a segment is a ``SegmentFault``.
package enum SealedLogError: Error, Equatable {
    /// A file operation failed; says which, on what path, and the `errno` of the call.
    case file(operation: String, path: String, errno: Int32)
    /// Another process writes this log; `holder` is what it wrote into the lock.
    case locked(holder: String)
    /// Keys, random numbers or ciphers cannot be had.
    case cryptography(CryptographyError)
    /// An entry of the key ring cannot be used; says why.
    case keyRing(path: String, KeyRingProblem)
    /// A segment is not as it was written; `frame` is how many of its frames hold.
    case segment(SegmentFault, path: String, frame: UInt64)
    /// The payload of a frame that is authentic is not one of its type.
    case malformedPayload(FrameType)
    /// A file claims to be a segment with a number that no stream gets to.
    case impossibleNumber(path: String)
    /// A stream cannot be written on: its log key is used up and no other was supplied.
    case keyUsedUp
    /// A stream cannot be written on: its wrapping key was revoked.
    case revoked
}

/// Why an entry of the key ring cannot be used.
package enum KeyRingProblem: Equatable, Sendable {
    /// There is none of that name.
    case missing
    /// It is not the JSON that was written; torn, for example.
    case malformed(String)
    /// It has a format this version does not know.
    case fromTheFuture(format: UInt64)
    /// It names another key or stream than its file or its user does.
    case misplaced
    /// Its wrapping key is none of ours, or what was unwrapped was wrapped for another entry.
    case foreign
}

extension SealedLogError {
    /// Whether the file system has no room left (ENOSPC, EDQUOT).
    package var isDiskFull: Bool {
        switch self {
        case .file(_, _, let errno): errno == 28 || errno == 122
        default: false
        }
    }
}

extension SealedLogError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .file(let operation, let path, let errno):
            "\(path): \(operation): \(systemText(errno))"
        case .locked(let holder): "it is in use by \(holder)"
        case .cryptography(let error): error.description
        case .keyRing(let path, let problem): "\(path): \(problem)"
        case .segment(let fault, let path, let frame):
            "\(path): \(fault.rawValue) at frame \(frame)"
        case .malformedPayload(let type): "the payload of a frame of type \(type) is not one"
        case .impossibleNumber(let path): "\(path): no segment has this number"
        case .keyUsedUp: "the log key is used up"
        case .revoked: "the wrapping key cannot be used"
        }
    }
}

extension KeyRingProblem: CustomStringConvertible {
    /// The problem as half a sentence that follows the path.
    package var description: String {
        switch self {
        case .missing: "there is no such log key"
        case .malformed(let reason): "it is not a log key: \(reason)"
        case .fromTheFuture(let format):
            "it has format \(format), which this version does not know"
        case .misplaced: "it is of another log key or stream"
        case .foreign: "its wrapping key is another one"
        }
    }
}

/// Runs `body` and turns what Cryptography throws into this target's error.
func withCryptography<Value: ~Copyable>(
    _ body: () throws(CryptographyError) -> Value
) throws(SealedLogError) -> Value {
    do throws(CryptographyError) {
        return try body()
    } catch {
        throw .cryptography(error)
    }
}
