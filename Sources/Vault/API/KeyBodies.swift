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

/// A key itself, as RFC 7517 has it.
struct KeyBody: Encodable {
    let kid: String
    let type: String
    let operations: [String]
    let n: String?
    let e: String?

    init(_ version: VaultVersion, _ baseURL: String) {
        let numbers = version.rsaNumbers
        self.kid = version.id(baseURL)
        self.type = version.keyType ?? ""
        self.operations = version.keyOperations
        self.n = numbers?.n
        self.e = numbers?.e
    }

    private enum CodingKeys: String, CodingKey {
        case kid
        case type = "kty"
        case operations = "key_ops"
        case n
        case e
    }
}

extension VaultVersion {
    /// The public half of an RSA key; nil for another.
    var rsaNumbers: RSANumbers? {
        self.publicKey.flatMap { try? JSONDecoder().decode(RSANumbers.self, from: Data($0.utf8)) }
    }
}
