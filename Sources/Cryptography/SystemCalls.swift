internal import Glibc

/// The C library's text for an error number.
package func systemText(_ number: Int32) -> String {
    guard let text = unsafe strerror(number) else { return "error \(number)" }
    return unsafe String(cString: text)
}

extension CryptographyError {
    /// The error of a file operation on `path` that has just set `errno`.
    static func ofFile(_ path: String) -> CryptographyError {
        switch errno {
        case ENOENT, ENOTDIR: .file(path: path, problem: .missing)
        case EEXIST: .file(path: path, problem: .alreadyExists)
        case EACCES, EPERM: .file(path: path, problem: .notPermitted)
        case EISDIR: .file(path: path, problem: .notRegular)
        case let number: .file(path: path, problem: .failed(errno: number))
        }
    }

    /// The error of an OpenSSL operation that has just failed; empties the thread's queue.
    static func ofOpenSSL(_ operation: String) -> CryptographyError {
        .openSSL(operation: operation, reason: OpenSSLErrorQueue.drain())
    }
}
