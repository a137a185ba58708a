internal import Cryptography
internal import Foundation

/// One version of a key, as its vault told of it.
struct VaultKey: Sendable, Equatable {
    /// What can be wrapped under it, and where.
    enum Material: Sendable, Equatable {
        /// Here, under the public half: modulus and exponent, big-endian.
        case rsa(modulus: [UInt8], exponent: [UInt8])
        /// By the vault.
        case symmetric
    }

    let id: String
    let version: String
    let material: Material
    let isEnabled: Bool
    /// Seconds of Unix time; nil for no bound.
    let notBefore: Int64?
    let expires: Int64?
    let created: Int64

    /// Reads the answer to a GET of a key.
    ///
    /// - Parameters:
    ///   - body: The answer.
    ///   - address: Whose answer it is.
    ///   - name: Which key was asked for.
    ///   - version: Which version; nil for the newest.
    ///   - minimumBits: Of an RSA modulus.
    /// - Throws: `.unusable` if it is of another key, or of a kind that cannot wrap for us.
    init(
        _ body: [UInt8], of address: VaultAddress, _ name: String, version: String?,
        minimumBits: Int
    ) throws(KeyVaultError) {
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(body)) else {
            throw .unusable(reason: "its answer is not that of a key vault")
        }
        guard let answered = address.version(of: answer.key.kid, name),
            version == nil || answered == version
        else { throw .unusable(reason: "it answered for another key than the one asked for") }
        if let operations = answer.key.operations, !operations.contains("unwrapKey") {
            throw .unusable(
                reason: "the key's operations leave out unwrapKey: a log under it "
                    + "could not be read")
        }
        switch answer.key.kty {
        case "RSA", "RSA-HSM":
            guard let modulus = answer.key.n.flatMap(Base64URL.bytes),
                let exponent = answer.key.e.flatMap(Base64URL.bytes)
            else { throw .unusable(reason: "the key has no public half") }
            let bits = modulus.drop { $0 == 0 }.count * 8
            guard bits >= minimumBits else {
                throw .unusable(
                    reason: "the key is too small: RSA keys have at least \(minimumBits) bits")
            }
            self.material = .rsa(modulus: modulus, exponent: exponent)
        case "oct", "oct-HSM": self.material = .symmetric
        default: throw .unusable(reason: "the key is neither RSA nor AES")
        }
        self.id = answer.key.kid
        self.version = answered
        self.isEnabled = answer.attributes.enabled
        self.notBefore = answer.attributes.nbf
        self.expires = answer.attributes.exp
        self.created = answer.attributes.created ?? 0
    }

    /// What its attributes say at a time, in seconds of Unix time.
    func state(at seconds: Int64) -> WrappingKeyState {
        guard self.isEnabled else { return .disabled }
        if let expires, seconds >= expires { return .expired }
        if let notBefore, seconds < notBefore { return .notYetValid }
        return .active
    }

    /// The version as its users see it.
    var wrappingKey: WrappingKey {
        let algorithm: WrappingAlgorithm =
            switch self.material {
            case .rsa: .rsaOAEP256
            case .symmetric: .a256KW
            }
        return WrappingKey(
            id: self.id, version: self.version, algorithm: algorithm,
            createdMilliseconds: self.created.multipliedReportingOverflow(by: 1000).partialValue)
    }

    private struct Answer: Decodable {
        let key: Key
        let attributes: Attributes

        struct Key: Decodable {
            let kid: String
            let kty: String
            let operations: [String]?
            let n: String?
            let e: String?

            enum CodingKeys: String, CodingKey {
                case kid, kty, n, e
                case operations = "key_ops"
            }
        }

        struct Attributes: Decodable {
            let enabled: Bool
            let nbf: Int64?
            let exp: Int64?
            let created: Int64?
        }
    }
}

/// The answer to wrapKey and unwrapKey.
struct VaultKeyOperation: Decodable {
    let kid: String
    let value: String

    /// Reads it; `id` is the key that was asked for.
    static func value(_ body: [UInt8], of id: String) throws(KeyVaultError) -> [UInt8] {
        guard let answer = try? JSONDecoder().decode(Self.self, from: Data(body)),
            let value = Base64URL.bytes(of: answer.value), !value.isEmpty
        else { throw .unusable(reason: "its answer is not that of a key vault") }
        guard answer.kid == id else {
            throw .unusable(reason: "it answered for another key than the one asked for")
        }
        return value
    }
}

/// The answer to a rewrap.
struct VaultRewrapAnswer: Decodable {
    let kid: String
    let items: [Item]

    /// One secret: wrapped anew, or the code of an error.
    struct Item: Decodable {
        let alg: String?
        let value: String?
        let error: String?
    }

    /// Reads it; `key` is the key to wrap under, `count` how many secrets were sent.
    static func values(
        _ body: [UInt8], of key: WrappingKey, count: Int
    ) throws(KeyVaultError) -> [Result<[UInt8], KeyVaultError>] {
        guard let answer = try? JSONDecoder().decode(Self.self, from: Data(body)),
            answer.items.count == count
        else { throw .unusable(reason: "its answer is not that of a key vault") }
        guard answer.kid == key.id else {
            throw .unusable(reason: "it answered for another key than the one asked for")
        }
        var values: [Result<[UInt8], KeyVaultError>] = []
        for item in answer.items {
            if let value = item.value.flatMap(Base64URL.bytes), !value.isEmpty,
                item.alg == key.algorithm.rawValue
            {
                values.append(.success(value))
            } else if let error = item.error {
                values.append(.failure(VaultFailure.ofItem(error)))
            } else {
                throw .unusable(reason: "its answer is not that of a key vault")
            }
        }
        return values
    }
}
