internal import Foundation
internal import HTTPTransport

/// What the answer of a key vault means for the key or secret that was asked for.
///
/// Only the vault's own error codes say that one was taken away; whatever else stands between us
/// and the vault can send a status.
enum VaultFailure {
    /// The error that an answer stands for.
    ///
    /// - Parameters:
    ///   - status: The answer's status.
    ///   - retryAfter: Its `retry-after`.
    ///   - body: Its body.
    ///   - isUnwrap: Whether it was asked to unwrap, where a bad parameter is what was wrapped.
    /// - Returns: nil for a success.
    static func of(
        status: Int, retryAfter: String?, body: [UInt8], isUnwrap: Bool = false
    ) -> KeyVaultError? {
        let error = try? JSONDecoder().decode(Body.self, from: Data(body)).error
        let code = error?.code ?? ""
        switch status {
        case 200: return nil
        case 300..<400: return .unusable(reason: "it redirects, which is not followed")
        case 400 where isUnwrap && code == "BadParameter": return .notAuthentic
        case 401: return .unusable(reason: "it does not accept who we are (401)")
        case 403 where code == "Forbidden":
            return .revoked(self.state(error?.innererror?.code) ?? .forbidden)
        case 404 where code == "KeyNotFound" || code == "SecretNotFound": return .revoked(.deleted)
        case 429:
            return .throttled(retryAfterMilliseconds: self.milliseconds(retryAfter) ?? 1000)
        case 408, 500..<600:
            return .unavailable(reason: "it answered \(status)")
        default: return .unusable(reason: "it answered \(status)")
        }
    }

    /// The error that the code of one item of a batch stands for.
    static func ofItem(_ code: String) -> KeyVaultError {
        if code == "KeyNotFound" { return .revoked(.deleted) }
        return self.state(code).map { .revoked($0) } ?? .notAuthentic
    }

    private static func state(_ innerCode: String?) -> WrappingKeyState? {
        switch innerCode {
        case "KeyDisabled", "SecretDisabled": .disabled
        case "KeyExpired", "SecretExpired": .expired
        case "KeyNotYetValid", "SecretNotYetValid": .notYetValid
        default: nil
        }
    }

    /// Milliseconds of a `retry-after` in seconds, at most a minute; nil for a date, or none.
    static func milliseconds(_ retryAfter: String?) -> Int64? {
        guard let retryAfter, let seconds = Int64(retryAfter), seconds >= 0 else { return nil }
        return min(seconds, Self.longestPause) * 1000
    }

    private struct Body: Decodable {
        let error: Content

        struct Content: Decodable {
            let code: String
            let innererror: Inner?
        }

        struct Inner: Decodable {
            let code: String?
        }
    }

    /// 60 s: a vault that wants to be left alone for longer is asked anyway.
    private static let longestPause: Int64 = 60
}

extension KeyVaultError {
    /// A question that came to no answer.
    init(_ error: StreamError) {
        switch error {
        case .malformed: self = .unusable(reason: error.reason)
        default: self = .unavailable(reason: error.reason)
        }
    }
}
