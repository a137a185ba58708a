internal import Cryptography
internal import Foundation
internal import State

/// What kinds of keys the vault makes.
enum KeyType: Equatable {
    /// RSA with a modulus of that many bits; its private half never leaves OpenSSL but sealed.
    case rsa(bits: Int)
    /// AES-256, in a token that never gives it out.
    case octHSM

    /// As RFC 7518 calls it.
    var name: String {
        switch self {
        case .rsa: "RSA"
        case .octHSM: "oct-HSM"
        }
    }

    /// What a request asks for, of a vault with a token or without.
    init(_ body: KeyCreateBody, hasToken: Bool) throws(VaultError) {
        switch body.type {
        case "RSA":
            let bits = body.bits ?? Self.rsaBits[0]
            guard Self.rsaBits.contains(bits) else {
                throw .badParameter("key_size of an RSA key is 3072 or 4096.")
            }
            self = .rsa(bits: bits)
        case "oct-HSM":
            guard hasToken else {
                throw .badParameter("This vault has no PKCS#11 token: kty is RSA.")
            }
            guard (body.bits ?? 256) == 256 else {
                throw .badParameter("key_size of an oct-HSM key is 256.")
            }
            self = .octHSM
        default:
            throw .badParameter("kty is RSA or, with a PKCS#11 token, oct-HSM.")
        }
    }

    /// What a further version of a key is to be.
    init(_ version: VaultVersion) throws(VaultError) {
        if version.keyType == Self.octHSM.name {
            self = .octHSM
            return
        }
        guard let numbers = version.rsaNumbers, let modulus = Base64URL.bytes(of: numbers.n) else {
            throw .unavailable("\(version.name) has no public key in the state")
        }
        self = .rsa(bits: modulus.count * 8)
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
        case .octHSM:
            guard let token = sealing.token else { throw .unavailable("there is no token") }
            version.protection = .token
            let id = try VaultError.wrapping { () throws(CryptographyError) in
                try SystemRandom.bytes(count: 16)
            }
            do throws(TokenError) {
                try token.makeKey(id, label: "\(version.name)/\(version.version)")
            } catch {
                throw VaultError(error)
            }
            return id
        }
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
        let modulus = try half.modulus()
        let exponent = try half.exponent()
        let n = Base64URL.text(of: modulus.rawSpan)
        let e = Base64URL.text(of: exponent.rawSpan)
        return #"{"e":"\#(e)","n":"\#(n)"}"#
    }

    /// NIST SP 800-57 part 1, 5.6.2: what is wrapped is kept beyond 2030.
    private static let rsaBits = [3072, 4096]
}
