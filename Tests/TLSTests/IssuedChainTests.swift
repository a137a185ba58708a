import Cryptography
import Foundation
import Testing

@testable import TLS

/// Chains as the vault issues them, shown by `openssl s_client` to a listener with mutual TLS.
@Suite struct IssuedChainTests {
    /// What is wrong with the chain.
    enum Fault: CaseIterable {
        case none
        case expired
        case notYetValid
        case intermediateExpired
        case intermediateMissing
        case tooLong
    }

    @Test(
        "a chain within its times and of the right length gets in, any other is refused",
        arguments: Fault.allCases)
    func chain(fault: Fault) throws {
        let certificates = try TestCertificates()
        let now = CertificateAuthority.now
        let root = try CertificateAuthority.create(
            trustDomain: "test.local", days: 3650, now: now - 100 * 86_400)
        try root.certificate.pem.write(
            toFile: certificates.path("issuer.pem"), atomically: true, encoding: .utf8)
        let key = try PrivateKey.generate(.ecdsaP256)
        let chain = try Self.chain(fault, root, key, now: now)
        try chain.map(\.pem).joined().write(
            toFile: certificates.path("chain.pem"), atomically: true, encoding: .utf8)
        let pem = try key.pem()
        try WholeFile.write(
            pem.bytes, to: certificates.path("chain.key"), mode: 0o600, isReplacing: false)
        let server = try LoopbackServer(
            TLSServerConfiguration(
                certificates: [certificates.server(["a.example"])], clientAuthentication: .required,
                clientTrustRoots: certificates.path("issuer.pem"), purpose: .internal))
        let output = try certificates.run(
            [
                "s_client", "-connect", "127.0.0.1:\(server.port)", "-servername", "a.example",
                "-cert", certificates.path("chain.pem"), "-cert_chain",
                certificates.path("chain.pem"), "-key", certificates.path("chain.key"),
                "-ign_eof",
            ], input: "hello\n")
        #expect(output.contains("ANSWERED") == (fault == .none), "\(output)")
        #expect(output.contains("alert") == (fault != .none), "\(output)")
    }

    private static func chain(
        _ fault: Fault, _ root: borrowing CertificateAuthority, _ key: borrowing PrivateKey,
        now: Int64
    ) throws -> [Certificate] {
        let request = try CertificateRequest.make(for: key)
        // An intermediate lives for 30 days.
        let made = fault == .intermediateExpired ? now - 40 * 86_400 : now - 20 * 86_400
        let intermediate = try root.makeIntermediate(now: made)
        let issued: Int64 =
            switch fault {
            case .expired: now - 86_400
            case .notYetValid: now + 86_400
            case .intermediateExpired: now - 11 * 86_400
            case .none, .intermediateMissing, .tooLong: now
            }
        let identity = try SPIFFEID("spiffe://test.local/agent/a")
        guard fault == .tooLong else {
            let leaf = try intermediate.issueIdentity(
                identity, for: CertificateRequest(der: request), seconds: 3600, now: issued)
            return fault == .intermediateMissing ? [leaf] : [leaf, intermediate.certificate]
        }
        let below = try intermediate.makeIntermediate(now: made)
        let leaf = try below.issueIdentity(
            identity, for: CertificateRequest(der: request), seconds: 3600, now: issued)
        return [leaf, below.certificate, intermediate.certificate]
    }
}
