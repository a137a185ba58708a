internal import Cryptography
internal import Foundation
internal import State

/// What a key is to be.
struct KeyCreateBody: Decodable {
    var type: String
    var bits: Int?
    var operations: [String]?
    var attributes: AttributesBody?
    var tags: [String: String]?

    private enum CodingKeys: String, CodingKey {
        case type = "kty"
        case bits = "key_size"
        case operations = "key_ops"
        case attributes
        case tags
    }
}

/// What is to change of a key.
struct KeyUpdateBody: Decodable {
    var operations: [String]?
    var attributes: AttributesBody?
    var tags: [String: String]?

    private enum CodingKeys: String, CodingKey {
        case operations = "key_ops"
        case attributes
        case tags
    }
}

/// What is to be wrapped, unwrapped, encrypted or decrypted; bytes as base64url.
struct KeyUseBody: Decodable {
    var alg: String
    var value: String
    var iv: String?
    var aad: String?
    var tag: String?
}

/// What was wrapped by older versions and is to be wrapped by the newest.
struct KeyRewrapBody: Decodable {
    struct Item: Decodable {
        var version: String
        var alg: String
        var value: String
        var iv: String?
        var aad: String?
        var tag: String?

        var use: KeyUseBody {
            KeyUseBody(alg: self.alg, value: self.value, iv: self.iv, aad: self.aad, tag: self.tag)
        }
    }

    var items: [Item]
}

/// What came of a use.
struct KeyUseAnswer: Encodable {
    let kid: String
    let alg: String
    let value: String
    var iv: String?
    var aad: String?
    var tag: String?
}

/// What came of a rewrap: an answer or the code of an error for each item, in their order.
struct KeyRewrapAnswer: Encodable {
    struct Item: Encodable {
        var alg: String?
        var value: String?
        var iv: String?
        var aad: String?
        var tag: String?
        var error: String?
    }

    let kid: String
    let items: [Item]
}

/// The public numbers of an RSA key, base64url.
struct RSANumbers: Codable {
    let n: String
    let e: String
}

/// A version of a key.
struct KeyAnswer: Encodable {
    struct Key: Encodable {
        let kid: String
        let type: String
        let operations: [String]
        let n: String?
        let e: String?

        private enum CodingKeys: String, CodingKey {
            case kid
            case type = "kty"
            case operations = "key_ops"
            case n
            case e
        }
    }

    let key: Key
    let attributes: AttributesAnswer
    let tags: [String: String]
    let recoveryId: String?
    let deletedDate: Int64?
    let scheduledPurgeDate: Int64?

    init(_ version: VaultVersion, _ baseURL: String) {
        let numbers = version.rsaNumbers
        self.key = Key(
            kid: version.id(baseURL), type: version.keyType ?? "",
            operations: version.keyOperations,
            n: numbers?.n, e: numbers?.e)
        self.attributes = AttributesAnswer(version)
        self.tags = version.tags
        let deletion = DeletionAnswer(version, baseURL)
        self.recoveryId = deletion?.recoveryId
        self.deletedDate = deletion?.deletedDate
        self.scheduledPurgeDate = deletion?.scheduledPurgeDate
    }
}

/// A key in a list.
struct KeyItem: Encodable {
    let kid: String
    let attributes: AttributesAnswer
    let tags: [String: String]
    let recoveryId: String?
    let deletedDate: Int64?
    let scheduledPurgeDate: Int64?

    /// It stands for one version, or for the name.
    init(_ version: VaultVersion, _ baseURL: String, hasVersion: Bool) {
        self.kid = hasVersion ? version.id(baseURL) : version.nameID(baseURL)
        self.attributes = AttributesAnswer(version)
        self.tags = version.tags
        let deletion = DeletionAnswer(version, baseURL)
        self.recoveryId = deletion?.recoveryId
        self.deletedDate = deletion?.deletedDate
        self.scheduledPurgeDate = deletion?.scheduledPurgeDate
    }
}

extension VaultVersion {
    /// The id of the key or secret.
    func nameID(_ baseURL: String) -> String { "\(baseURL)/\(self.kind.collection)/\(self.name)" }

    /// The id of the version.
    func id(_ baseURL: String) -> String { "\(self.nameID(baseURL))/\(self.version)" }

    /// The public half of an RSA key; nil for another.
    var rsaNumbers: RSANumbers? {
        self.publicKey.flatMap { try? JSONDecoder().decode(RSANumbers.self, from: Data($0.utf8)) }
    }
}
