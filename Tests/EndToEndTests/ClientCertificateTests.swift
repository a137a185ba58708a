import Cryptography
import Foundation
import TLS
import Testing

/// Handshakes of `openssl s_client` with a listener that asks for certificates.
@Suite(
    "Client certificates", .serialized,
    .stage(
        StageSetup(
            tlsLines: """
                      client_authentication: required
                      client_trust_roots: root.pem

                """)))
struct ClientCertificateTests {
    /// What is wrong with a certificate.
    enum Fault: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case expired = "expired"
        case notYetValid = "not yet valid"
        case foreign = "of another root"
        case authority = "an authority's"
        case twoURIs = "of two URIs"
        case absent = "absent"

        var testDescription: String { self.rawValue }

        /// What the access log says of it.
        var reason: String {
            switch self {
            case .expired: "certificate has expired"
            case .notYetValid: "certificate is not yet valid"
            case .foreign: "unable to get local issuer certificate"
            case .authority: "the leaf is a certificate authority"
            case .twoURIs: "more than one URI in the subject alternative names"
            case .absent: "certificate"
            }
        }

        func files(_ materials: Materials) async throws -> TLSCertificateFiles? {
            let identity = "spiffe://test.local/operator/caller"
            let now = CertificateAuthority.now
            switch self {
            case .expired:
                return try await materials.madeUp(
                    """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=URI:\(identity)
                    """, file: "expired", days: -1)
            case .notYetValid:
                return try materials.identity(
                    identity, file: "early", days: 1, now: now + 10 * 86_400)
            case .foreign:
                return try materials.foreignIdentity(identity, file: "foreign")
            case .authority:
                return try await materials.madeUp(
                    """
                    basicConstraints=critical,CA:true
                    keyUsage=critical,digitalSignature,keyCertSign
                    subjectAltName=URI:\(identity)
                    """, file: "authority")
            case .twoURIs:
                return try await materials.madeUp(
                    """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=URI:\(identity),URI:spiffe://test.local/operator/other
                    """, file: "two")
            case .absent:
                return nil
            }
        }
    }

    @Test(
        "One that is not good is refused, and why is for the access log alone",
        arguments: Fault.allCases, ["-tls1_2", "-tls1_3"])
    func refused(fault: Fault, version: String) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let files = try await fault.files(stage.materials)
        let outcome = try await Self.ask(stage, files, version)
        // TLS 1.3 has an alert for a client that shows none; that it knows.
        let alert =
            fault == .absent && version == "-tls1_3" ? "certificate required" : "handshake failure"
        #expect(outcome.errors.contains("alert \(alert)"), "\(outcome.errors)")
        let isTold: @Sendable (String) -> Bool = { line in
            line.contains(#""ResponseCodeReason":"tls_handshake_failed""#)
                && line.contains(#""PeerAddress":"127.0.0.1""#) && line.contains(fault.reason)
        }
        let lines = try await stage.accessLog { $0.contains(where: isTold) }
        #expect(lines.contains(where: isTold))
        #expect(!outcome.output.contains("HTTP/1.1"))
        #expect(stage.backend.byteCount == before)
        let good = try await Self.ask(stage, stage.materials.caller, version)
        #expect(good.output.contains("HTTP/1.1 200"), "\(good.errors)")
    }

    @Test("scoregate load counts the alert that ends its connections after their handshake")
    func loadTest() async throws {
        let stage = try Stage.current
        let outcome = try await GatewayProcess.run([
            "load", "https://localhost:\(stage.port)/score", "--ca", stage.materials.root, "--rate",
            "20", "--duration", "1s",
        ])
        #expect(outcome.code != 0)
        let text = outcome.output + outcome.errors
        #expect(text.contains("alert certificate_required (116)"), "\(text)")
    }

    private static func ask(
        _ stage: Stage, _ files: TLSCertificateFiles?, _ version: String
    ) async throws -> GatewayProcess.Outcome {
        let identity = files.map { "-cert \($0.chain) -key \($0.key)" } ?? ""
        return try await Command.run(
            "/usr/bin/timeout",
            [
                "--signal=KILL", "20", "/bin/bash", "-c",
                """
                printf 'GET /score HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\
                Authorization: Bearer \(stage.key)\\r\\n\\r\\n' | openssl s_client -quiet \
                \(version) -connect 127.0.0.1:\(stage.port) -CAfile \(stage.materials.root) \
                \(identity)
                """,
            ])
    }

    @Test(
        "a connection ends with the certificate it was let in by, after the exchange under way",
        arguments: ["http/1.1", "h2"])
    func expires(alpn: String) async throws {
        let stage = try Stage.current
        let short = try stage.materials.identity(
            "spiffe://test.local/operator/caller", file: "short-\(alpn.prefix(2))", days: 1,
            now: CertificateAuthority.now - 86_400 + 10)
        let client = try await RawClient.connect(
            port: stage.port, root: stage.materials.root, identity: short, alpn: [alpn])
        try #require(client.received.value.hasHandshake)
        if alpn == "h2" {
            await client.send(RawFrame.start + RawFrame.headers(stage.fields()))
            let frames = await client.frames { $0.contains { $0.type == 1 } }
            #expect(frames.first { $0.type == 1 }?.status == 200)
            let last = await client.frames { $0.contains { $0.type == 7 } }
            #expect(last.first { $0.type == 7 }?.code == 0)
        } else {
            await client.send(stage.request(body: "hello"))
            #expect(try await client.answer().status == 200)
        }
        #expect(await client.untilClosed() != nil)
    }
}
