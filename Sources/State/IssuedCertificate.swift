package import Cryptography

/// What lets a service have its first certificate, as it is kept: never the token itself.
package struct JoinTokenRecord: Sendable {
    /// SHA-256 of the token.
    package let digest: Digest32
    /// The one identity it is good for.
    package let identity: SPIFFEID
    /// The DNS names granted with it.
    package let dnsNames: [String]
    /// When it was made, milliseconds of Unix time.
    package let createdMilliseconds: Int64
    /// From when it is no longer valid, milliseconds of Unix time.
    package let expiresMilliseconds: Int64

    /// The record with these values.
    package init(
        digest: Digest32, identity: SPIFFEID, dnsNames: [String], createdMilliseconds: Int64,
        expiresMilliseconds: Int64
    ) {
        self.digest = digest
        self.identity = identity
        self.dnsNames = dnsNames
        self.createdMilliseconds = createdMilliseconds
        self.expiresMilliseconds = expiresMilliseconds
    }
}

/// A certificate that was issued to a service.
package struct IssuedCertificate: Sendable, Equatable {
    /// The serial number in lower-case hexadecimal.
    package let serial: String
    /// Whose it is, a SPIFFE ID.
    package let identity: String
    /// The DNS names granted to it.
    package let dnsNames: [String]
    /// SHA-256 of the request it was issued for.
    package let requestDigest: [UInt8]
    /// PEM, the leaf first, without the trust root.
    package let chain: String
    /// When it was issued, milliseconds of Unix time.
    package let issuedMilliseconds: Int64
    /// When its validity ends, milliseconds of Unix time.
    package let notAfterMilliseconds: Int64
    /// The serial number of the certificate it takes the place of; nil for the first.
    package let predecessor: String?
    /// Whether a certificate that was issued in its place, or in the same place as it, has been used.
    package let isSuperseded: Bool

    /// The record of `certificate`, which was just issued.
    package init(
        _ certificate: Certificate, identity: SPIFFEID, chain: String, requestDigest: Digest32,
        now: Int64, predecessor: String? = nil
    ) {
        self.init(
            serial: certificate.serial, identity: identity.text, dnsNames: certificate.dnsNames,
            requestDigest: requestDigest.bytes, chain: chain, issuedMilliseconds: now,
            notAfterMilliseconds: certificate.notAfter * 1000, predecessor: predecessor,
            isSuperseded: false)
    }

    init(
        serial: String, identity: String, dnsNames: [String], requestDigest: [UInt8],
        chain: String, issuedMilliseconds: Int64, notAfterMilliseconds: Int64,
        predecessor: String?, isSuperseded: Bool
    ) {
        self.serial = serial
        self.identity = identity
        self.dnsNames = dnsNames
        self.requestDigest = requestDigest
        self.chain = chain
        self.issuedMilliseconds = issuedMilliseconds
        self.notAfterMilliseconds = notAfterMilliseconds
        self.predecessor = predecessor
        self.isSuperseded = isSuperseded
    }
}

/// Why nothing is issued; for the log and the audit, never for the peer.
package enum IdentityRefusal: String, Error, Sendable {
    /// No token has this digest.
    case tokenUnknown = "the join token is unknown"
    /// It was made too long ago.
    case tokenExpired = "the join token has expired"
    /// It was used for another request, or more than a minute ago.
    case tokenUsed = "the join token was used before"
    /// The requester names another identity than the token is for.
    case identityMismatch = "the join token is for another identity"
    /// The certificate was not issued here, or so long ago that it is forgotten.
    case certificateUnknown = "the certificate was not issued here"
    /// The certificate in its place has been used.
    case certificateSuperseded = "the certificate was renewed, and the new one used"
    /// It has expired longer ago than may be.
    case windowClosed = "the certificate expired too long ago"
    /// The signature that shows possession of the old key does not hold, or is not of this time.
    case proofInvalid = "the proof of the old key does not hold"
    /// The deny list has the identity or the certificate.
    case denied = "the identity or certificate is denied"
    /// Too many wrong tries came from this address.
    case tooManyTries = "too many wrong tries from this address"
    /// The request cannot be read, or does not prove possession of its key.
    case requestMalformed = "the certificate request cannot be read"
}
