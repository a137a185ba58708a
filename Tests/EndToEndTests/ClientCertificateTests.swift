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
        "One that is not good is refused by an alert, and the backend hears nothing",
        arguments: Fault.allCases, ["-tls1_2", "-tls1_3"])
    func refused(fault: Fault, version: String) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let files = try await fault.files(stage.materials)
        let outcome = try await Self.ask(stage, files, version)
        #expect(outcome.errors.contains("alert"), "\(outcome.errors)")
        #expect(!outcome.output.contains("HTTP/1.1"))
        #expect(stage.backend.byteCount == before)
        let good = try await Self.ask(stage, stage.materials.caller, version)
        #expect(good.output.contains("HTTP/1.1 200"), "\(good.errors)")
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
}
