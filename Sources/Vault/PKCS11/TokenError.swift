internal import CPKCS11

/// Why a PKCS#11 token does not do what it was asked for.
package enum TokenError: Error, Equatable {
    /// The module cannot be loaded; says why.
    case module(path: String, reason: String)
    /// No slot has that token, as ``TokenConfiguration/name`` has it.
    case absent(token: String)
    /// More than one slot has such a token.
    case ambiguous(token: String)
    /// The token does not take the PIN; it is not tried again, because tokens count.
    case wrongPIN(token: String)
    /// The PIN's file cannot be read; says why.
    case pin(reason: String)
    /// The token has no such key, or one whose value could leave it.
    case noKey
    /// What was to be opened was not sealed by this key, or was changed.
    case notAuthentic
    /// The module refused a call, with the number PKCS#11 gives to why.
    case refused(call: String, code: UInt)

    init(_ call: String, _ code: CK_RV, token: String) {
        switch code {
        case CKR_TOKEN_NOT_PRESENT, CKR_SLOT_ID_INVALID, CKR_DEVICE_REMOVED:
            self = .absent(token: token)
        case CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED,
            CKR_PIN_EXPIRED:
            self = .wrongPIN(token: token)
        case CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID: self = .noKey
        default: self = .refused(call: call, code: code)
        }
    }
}

extension TokenError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .module(let path, let reason): "the PKCS#11 module \(path) cannot be used: \(reason)"
        case .absent(let token): "no slot has a token \(token): is it plugged in?"
        case .ambiguous(let token): "more than one token is \(token): say which by \"serial\""
        case .wrongPIN(let token):
            "the token \(token) does not take the PIN, or is locked; it is not tried again before "
                + "the PIN's file changes, or SIGHUP"
        case .pin(let reason): "the token's PIN cannot be read: \(reason)"
        case .noKey: "the token has no such key, or one that could leave it"
        case .notAuthentic: "what was sealed is not of this key, or was changed"
        case .refused(let call, let code):
            "the token refused \(call) with CKR 0x\(String(code, radix: 16))"
        }
    }
}
