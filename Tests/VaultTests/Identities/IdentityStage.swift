import Cryptography
import Foundation
import KeyVault
import State
import Testing

@testable import Vault

/// An identity service over a state of its own, at times that a test gives.
final class IdentityStage {
    let path = NSTemporaryDirectory() + "scoregate-identities-\(UUID().uuidString)"
    let store: StateStore
    let authority: IdentityAuthority
    private let leafSeconds: Int64
    let service: IdentityService
    let agent: SPIFFEID
    let vault: VaultLocation
    /// Milliseconds of Unix time at which it all begins.
    let start = CertificateAuthority.now * 1000

    init(leafSeconds: Int64 = 3600) throws {
        try FileManager.default.createDirectory(
            atPath: self.path, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        _ = try RootKey.create(path: "\(self.path)/root.key")
        self.store = try StateStore(
            folder: "\(self.path)/state", rootKeyPath: "\(self.path)/root.key")
        self.leafSeconds = leafSeconds
        self.authority = Self.authority(
            self.store, path: self.path, token: nil, leafSeconds: leafSeconds)
        self.service = IdentityService(
            store: self.store, authority: self.authority, rejoinSeconds: 7 * 86_400)
        self.agent = try SPIFFEID("spiffe://test/agent/a")
        self.vault = VaultLocation(
            joinURL: "https://127.0.0.1:1", vaultURL: "https://127.0.0.1:2",
            vaultIdentity: try SPIFFEID("spiffe://test/vault/main"))
        _ = try self.authority.advance(now: self.start)
    }

    /// Another authority over the same state, as that of a process with this token is.
    func authority(token: Token?) -> IdentityAuthority {
        Self.authority(self.store, path: self.path, token: token, leafSeconds: self.leafSeconds)
    }

    /// Another authority over the same state, as that of a process whose certificates live so long.
    func authority(leafSeconds: Int64) -> IdentityAuthority {
        Self.authority(self.store, path: self.path, token: nil, leafSeconds: leafSeconds)
    }

    private static func authority(
        _ store: StateStore, path: String, token: Token?, leafSeconds: Int64
    ) -> IdentityAuthority {
        IdentityAuthority(
            store: store, rootKeyPath: "\(path)/root.key", token: token, trustDomain: "test",
            leafSeconds: leafSeconds, actor: "test")
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    /// A key and the request for its certificate.
    struct Requester: ~Copyable {
        let key: PrivateKey
        let request: [UInt8]

        init() throws {
            let key = try PrivateKey.generate(.ecdsaP256)
            let request = try CertificateRequest.make(for: key)
            self.key = key
            self.request = request
        }
    }

    func token(_ identity: SPIFFEID? = nil, dnsNames: [String] = ["a.test"]) throws -> JoinToken {
        try IdentityTokens.make(
            identity ?? self.agent, dnsNames: dnsNames, vault: self.vault,
            authority: self.authority, store: self.store, now: self.start, actor: "test")
    }

    func join(
        _ token: String, _ requester: borrowing Requester, as identity: SPIFFEID? = nil,
        from source: String = "1.2.3.4", after seconds: Int64 = 0
    ) throws -> IdentityService.Outcome {
        try self.service.join(
            JoinRequest(
                token: token, identity: (identity ?? self.agent).text, request: requester.request),
            source: source, now: self.start + seconds * 1000)
    }

    func renew(
        _ present: Certificate, _ requester: borrowing Requester, after seconds: Int64
    ) throws -> IdentityService.Outcome {
        try self.service.renew(
            RenewRequest(request: requester.request), peer: present.uriNames[0],
            serial: present.serial, now: self.start + seconds * 1000)
    }

    func rejoin(
        _ present: Certificate, by key: borrowing PrivateKey, _ requester: borrowing Requester,
        after seconds: Int64, signedAfter signed: Int64? = nil, from source: String = "1.2.3.4"
    ) throws -> IdentityService.Outcome {
        let time = self.start / 1000 + (signed ?? seconds)
        let message = try RejoinRequest.message(
            serial: present.serial, request: requester.request, time: time)
        return try self.service.rejoin(
            RejoinRequest(
                identity: present.uriNames[0], serial: present.serial, request: requester.request,
                time: time, proof: try key.sign(message.rawSpan)),
            source: source, now: self.start + seconds * 1000)
    }
}

/// The certificate that was issued.
func leaf(_ outcome: IdentityService.Outcome) throws -> Certificate {
    try Certificate.chain(pem: Array(outcome.get().chain.utf8))[0]
}
