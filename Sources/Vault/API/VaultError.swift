internal import ControlServer
internal import Cryptography
internal import State

/// Why a request is not done, in the words of Azure Key Vault's REST API.
enum VaultError: Error, Equatable {
    /// The request says something that cannot be; the text is for its sender.
    case badParameter(String)
    /// Whoever asks has no right to it. Says nothing about what there is.
    case forbidden
    /// The key or secret, or its version, is not there.
    case notFound(VaultVersion.Kind)
    /// It may not be used: `Disabled`, `Expired` or `NotYetValid`.
    case unusable(VaultVersion.Kind, String)
    /// It was deleted and stands in the way until it is recovered or purged.
    case deleted(VaultVersion.Kind)
    /// It is in use, and was not deleted.
    case notDeleted(VaultVersion.Kind)
    /// It was changed meanwhile.
    case changed
    /// There are as many as there may be.
    case tooMany
    /// More is asked than can be done.
    case throttled
    /// What is needed cannot be had just now: the state, the root key or the token; for the log.
    case unavailable(String)

    /// What the state says.
    init(_ error: StateError, _ kind: VaultVersion.Kind) {
        switch error {
        case .vaultItem(.missing): self = .notFound(kind)
        case .vaultItem(.deleted): self = .deleted(kind)
        case .vaultItem(.notDeleted): self = .notDeleted(kind)
        case .vaultItem(.changed): self = .changed
        case .vaultItem(.disabled): self = .unusable(kind, "Disabled")
        case .vaultItem(.tooMany): self = .tooMany
        default: self = .unavailable("\(error)")
        }
    }

    /// What a token says; its operator is told more in the log.
    init(_ error: TokenError) {
        self =
            switch error {
            case .notAuthentic: .badParameter("value was not wrapped by this key, or was changed.")
            default: .unavailable("\(error)")
            }
    }

    /// What a token says that was asked to use a key which lives in it.
    ///
    /// One that is not there any more was destroyed: whoever uses it is told as if it had been deleted
    /// here.
    init(_ error: TokenError, ofKeyInToken version: VaultVersion) {
        self = error == .noKey ? .notFound(version.kind) : VaultError(error)
    }

    /// Runs `body`, and turns what fails in it into `.unavailable`.
    static func wrapping<Value: ~Copyable>(
        _ body: () throws(CryptographyError) -> Value
    ) throws(VaultError) -> Value {
        do throws(CryptographyError) {
            return try body()
        } catch {
            throw .unavailable("\(error)")
        }
    }

    var status: Int {
        switch self {
        case .badParameter: 400
        case .forbidden, .unusable, .tooMany: 403
        case .notFound: 404
        case .deleted, .notDeleted: 409
        case .changed: 412
        case .throttled: 429
        case .unavailable: 503
        }
    }

    var code: String {
        switch self {
        case .badParameter: "BadParameter"
        case .forbidden, .unusable: "Forbidden"
        case .tooMany: "LimitExceeded"
        case .notFound(let kind): "\(kind.title)NotFound"
        case .deleted, .notDeleted: "Conflict"
        case .changed: "ConditionNotMet"
        case .throttled: "Throttled"
        case .unavailable: "ServiceUnavailable"
        }
    }

    /// What tells cases of one code apart; nil if nothing does.
    var innerCode: String? {
        switch self {
        case .forbidden: "AccessDenied"
        case .unusable(let kind, let state): "\(kind.title)\(state)"
        case .deleted: "ObjectIsDeletedButRecoverable"
        case .notDeleted: "ObjectIsNotDeleted"
        default: nil
        }
    }

    /// A sentence for whoever asked.
    var message: String {
        switch self {
        case .badParameter(let text): text
        case .forbidden: "The caller has no right to this."
        case .notFound(let kind): "A \(kind.rawValue) of that name and version was not found."
        case .unusable(let kind, let state):
            "The operation is not allowed: the \(kind.rawValue) is \(Self.words[state] ?? state)."
        case .deleted(let kind):
            "The \(kind.rawValue) was deleted: recover or purge it first."
        case .notDeleted(let kind): "The \(kind.rawValue) is in use: delete it first."
        case .changed: "It was changed meanwhile: read it again."
        case .tooMany: "There are as many versions or names as there may be."
        case .throttled: "Too many requests are under way: try again in a second."
        case .unavailable: "The vault cannot do this now: its operator finds why in its log."
        }
    }

    /// The answer.
    var answer: ControlAnswer {
        var answer = VaultJSON.answer(
            self.status,
            ErrorBody(
                error: ErrorBody.Detail(
                    code: self.code, message: self.message,
                    innererror: self.innerCode.map(ErrorBody.Inner.init))))
        if case .throttled = self { answer.fields["Retry-After"] = "1" }
        return answer
    }

    /// What the audit says of it.
    var result: String { self.innerCode ?? self.code }

    private static let words = [
        "Disabled": "disabled", "Expired": "expired", "NotYetValid": "not yet valid",
    ]

    private struct ErrorBody: Encodable {
        let error: Detail

        struct Detail: Encodable {
            let code: String
            let message: String
            let innererror: Inner?
        }

        struct Inner: Encodable {
            let code: String
        }
    }
}

extension VaultVersion.Kind {
    /// As it begins the names of errors.
    var title: String { self == .key ? "Key" : "Secret" }
    /// As it stands in paths.
    var collection: String { self == .key ? "keys" : "secrets" }
}
