import Cryptography
import Foundation
import NIOCore
import TLS
import Testing

/// Backends that are not whom the configuration names.
@Suite("Identities of backends")
struct BackendIdentityTests {
    private static let id = "spiffe://test.local/agent/blue"

    /// A gateway with a deployment `blue` that leads to this backend.
    private static func run(
        _ kind: RecordingBackend.Kind, _ materials: Materials,
        _ body: (Stage, RecordingBackend) async throws -> Void
    ) async throws {
        let backend = try await RecordingBackend.start(kind)
        let url = backend.url
        let setup = StageSetup(endpoints: { _ in
            """
              iris:
                traffic: {blue: 100}
                deployments: {blue: {backends: ["\(url)"], backend_identity: "\(Self.id)"}}
            """
        })
        do {
            let stage = try await Stage.start(setup, materials: materials)
            do {
                try await body(stage, backend)
            } catch {
                await stage.stop()
                throw error
            }
            await stage.stop()
        } catch {
            await backend.stop()
            throw error
        }
        await backend.stop()
    }

    /// Shows that a request is answered for, and that the access log alone says why.
    private static func expectRefused(_ stage: Stage, _ reason: String) async throws {
        let answer = try await stage.exchange(stage.request(body: "secret"))
        #expect(answer.status == 503)
        #expect(!answer.text.contains("certificate"))
        #expect(!answer.text.contains("spiffe"))
        let lines = try await stage.accessLog { $0.contains { $0.contains(reason) } }
        #expect(lines.contains { $0.contains(reason) })
    }

    @Test("one of another id or another root is answered for with 503 and hears nothing")
    func refused() async throws {
        let other = "spiffe://test.local/agent/green"
        let materials = try Materials()
        for (files, reason) in [
            (
                try materials.identity(other, file: "other"),
                "the peer is not \(Self.id) but \(other)"
            ),
            (
                try materials.foreignIdentity(Self.id, file: "foreign"),
                "unable to get local issuer certificate"
            ),
        ] {
            try await Self.run(.mutualTLS(files, root: materials.root), materials) {
                stage, backend in
                try await Self.expectRefused(stage, reason)
                #expect(backend.requests.isEmpty)
            }
        }
    }

    @Test("a connection to one is not used any more once the certificate has run out")
    func expires() async throws {
        let materials = try Materials()
        let short = try materials.identity(
            Self.id, file: "short", days: 1, now: CertificateAuthority.now - 86_400 + 15)
        try await Self.run(.mutualTLS(short, root: materials.root), materials) { stage, backend in
            #expect(try await stage.exchange(stage.request(body: "a")).status == 200)
            let isRefused = try await eventually(every: .milliseconds(500)) {
                try await stage.exchange(stage.request(body: "a")).status == 503
            }
            #expect(isRefused)
            try await Self.expectRefused(stage, "certificate has expired")
            #expect(backend.connections.value.filter { !$0.requests.isEmpty }.count == 1)
        }
    }
}
