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
}
