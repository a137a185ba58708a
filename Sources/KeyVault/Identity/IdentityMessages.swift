package import Cryptography

/// The body of `POST /identities/join`.
package struct JoinRequest: Codable, Sendable {
    /// The token's text.
    package let token: String
    /// The SPIFFE ID it is for.
    package let identity: String
    /// The certificate request, DER in base64url.
    package let request: String

    /// A request with these parts.
    package init(token: String, identity: String, request: [UInt8]) {
        self.token = token
        self.identity = identity
        self.request = Base64URL.text(of: request.rawSpan)
    }
}

/// The body of `POST /identities/renew`.
package struct RenewRequest: Codable, Sendable {
    /// The certificate request, DER in base64url.
    package let request: String

    /// A request with this certificate request.
    package init(request: [UInt8]) {
        self.request = Base64URL.text(of: request.rawSpan)
    }
}

/// The body of `POST /identities/rejoin`, by which a service whose certificate has expired gets
/// another: it shows that it still has the key.
package struct RejoinRequest: Codable, Sendable {
    /// Whose certificate it is.
    package let identity: String
    /// The certificate's serial number.
    package let serial: String
    /// The certificate request, DER in base64url.
    package let request: String
    /// When it was signed, seconds of Unix time.
    package let time: Int64
    /// The signature of ``message(serial:request:time:)`` by the certificate's key, in base64url.
    package let proof: String

    /// A request with these parts.
    package init(identity: String, serial: String, request: [UInt8], time: Int64, proof: [UInt8]) {
        self.identity = identity
        self.serial = serial
        self.request = Base64URL.text(of: request.rawSpan)
        self.time = time
        self.proof = Base64URL.text(of: proof.rawSpan)
    }

    /// What is signed: nothing else that this key ever signs begins like it, and it holds for one
    /// certificate request at one time.
    ///
    /// | bytes | meaning |
    /// |---|---|
    /// | 19 | `scoregate rejoin 1` and a zero byte |
    /// | 8 | the time, seconds of Unix time, big-endian |
    /// | 32 | SHA-256 of the certificate request |
    /// | rest | the serial number of the certificate, as text |
    package static func message(
        serial: String, request: [UInt8], time: Int64
    ) throws(CryptographyError) -> [UInt8] {
        var message = Array("scoregate rejoin 1".utf8) + [0]
        message.append(bigEndian: time)
        message += try SHA256().digest(request.rawSpan).bytes
        return message + Array(serial.utf8)
    }
}

/// What is answered to each of them.
package struct IdentityAnswer: Codable, Sendable, Equatable {
    /// PEM: the new certificate, then the intermediate.
    package let chain: String
    /// PEM: the trust roots there are.
    package let trustBundle: String

    /// An answer with these parts.
    package init(chain: String, trustBundle: String) {
        self.chain = chain
        self.trustBundle = trustBundle
    }

    private enum CodingKeys: String, CodingKey {
        case chain
        case trustBundle = "trust_bundle"
    }
}
