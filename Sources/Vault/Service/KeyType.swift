internal import Cryptography
internal import Foundation
internal import State

/// What kinds of keys the vault makes.
enum KeyType: Equatable {
    /// RSA with a modulus of that many bits; its private half never leaves OpenSSL but sealed.
    case rsa(bits: Int)
    /// RSA, whose private half is in a token that never gives it out.
    case rsaHSM(bits: Int)
    /// AES-256, in a token that never gives it out.
    case octHSM

    /// As RFC 7518 and Azure Key Vault call it.
    var name: String {
        switch self {
        case .rsa: "RSA"
        case .rsaHSM: Self.rsaHSMName
        case .octHSM: Self.octHSMName
        }
    }

    /// What a request asks for, of a vault with a token or without.
    init(_ body: KeyCreateBody, _ token: Token?) throws(VaultError) {
        if body.type.hasSuffix("-HSM"), token == nil {
            throw .badParameter("This vault has no PKCS#11 token: kty is RSA.")
        }
        switch body.type {
        case "RSA": self = .rsa(bits: try Self.rsaBits(body))
        case Self.rsaHSMName:
            guard let token, token.holdsRSA else {
                throw .badParameter(
                    "The token does not open what is wrapped by RSA-OAEP with SHA-256: kty is RSA,"
                        + " which is sealed under a key of the token, or oct-HSM.")
            }
            self = .rsaHSM(bits: try Self.rsaBits(body))
        case Self.octHSMName:
            guard (body.bits ?? 256) == 256 else {
                throw .badParameter("key_size of an oct-HSM key is 256.")
            }
            self = .octHSM
        default:
            throw .badParameter("kty is RSA or, with a PKCS#11 token, RSA-HSM or oct-HSM.")
        }
    }

    /// What a further version of a key is to be.
    init(_ version: VaultVersion) throws(VaultError) {
        if version.keyType == Self.octHSMName {
            self = .octHSM
            return
        }
        guard let numbers = version.rsaNumbers, let modulus = Base64URL.bytes(of: numbers.n) else {
            throw .unavailable("\(version.name) has no public key in the state")
        }
        let bits = modulus.count * 8
        self = version.keyType == Self.rsaHSMName ? .rsaHSM(bits: bits) : .rsa(bits: bits)
    }

    private static func rsaBits(_ body: KeyCreateBody) throws(VaultError) -> Int {
        let bits = body.bits ?? self.rsaBits[0]
        guard self.rsaBits.contains(bits) else {
            throw .badParameter("key_size of an RSA key is 3072 or 4096.")
        }
        return bits
    }

    /// Makes a key, gives `version` its public half, and seals it.
    ///
    /// - Returns: What the state keeps: the sealed key, or its id in the token.
    func make(
        _ version: inout VaultVersion, _ sealing: VaultSealing
    ) throws(VaultError) -> [UInt8] {
        switch self {
        case .rsa(let bits):
            let pem = try VaultError.wrapping { () throws(CryptographyError) in
                try Self.makeRSA(bits, &version)
            }
            return try sealing.seal(pem, of: version)
        case .rsaHSM(let bits):
            return try Self.makeInToken(&version, sealing) { token, id, label throws(TokenError) in
                let modulus = try token.makeRSAKey(id, label: label, bits: bits)
                return Self.numbers(modulus: modulus, exponent: Token.rsaExponent)
            }
        case .octHSM:
            return try Self.makeInToken(&version, sealing) { token, id, label throws(TokenError) in
                try token.makeKey(id, label: label)
                return nil
            }
        }
    }

    /// Makes a key that stays in the token by `body`, which answers with its public half.
    ///
    /// - Returns: Its id there.
    private static func makeInToken(
        _ version: inout VaultVersion, _ sealing: VaultSealing,
        _ body: (Token, _ id: [UInt8], _ label: String) throws(TokenError) -> String?
    ) throws(VaultError) -> [UInt8] {
        guard let token = sealing.token else { throw .unavailable("there is no token") }
        version.protection = .token
        let id = try VaultError.wrapping { () throws(CryptographyError) in
            try SystemRandom.bytes(count: 16)
        }
        do throws(TokenError) {
            version.publicKey = try body(token, id, "\(version.name)/\(version.version)")
        } catch {
            throw VaultError(error)
        }
        return id
    }

    private static func makeRSA(
        _ bits: Int, _ version: inout VaultVersion
    ) throws(CryptographyError) -> SecretBytes {
        let key = try PrivateKey.generate(.rsa(bits: bits))
        version.publicKey = try self.numbers(of: key)
        return try key.pem()
    }

    private static func numbers(
        of key: borrowing PrivateKey
    ) throws(CryptographyError) -> String {
        let half = try RSAPublicKey(of: key)
        return self.numbers(modulus: try half.modulus(), exponent: try half.exponent())
    }

    private static func numbers(modulus: [UInt8], exponent: [UInt8]) -> String {
        let n = Base64URL.text(of: modulus.rawSpan)
        let e = Base64URL.text(of: exponent.rawSpan)
        return #"{"e":"\#(e)","n":"\#(n)"}"#
    }

    static let octHSMName = "oct-HSM"
    private static let rsaHSMName = "RSA-HSM"
    /// NIST SP 800-57 part 1, 5.6.2: what is wrapped is kept beyond 2030.
    private static let rsaBits = [3072, 4096]
}
