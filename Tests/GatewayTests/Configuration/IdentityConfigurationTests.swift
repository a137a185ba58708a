import Cryptography
import Foundation
import ServiceConfiguration
import Testing

@testable import Gateway

@Suite struct IdentityConfigurationTests {
    private static let files =
        "identity: {chain: identity.pem, key: identity.key, trust_roots: roots.pem}"
    private static let vault = "identity: {vault: {token: {file: edge.token}}, directory: own}"
    private static let shown = "certificates: [{chain: gateway.pem, key: gateway.key}]"

    private func text(_ replacements: [(String, String)]) throws -> String {
        var text = ConfigurationFileTests.valid
        for (old, new) in replacements {
            try #require(text.contains(old))
            text = text.replacing(old, with: new)
        }
        return text
    }

    @Test("an identity from the vault needs no file to be there, and names where they will be")
    func vault() throws {
        let folder = try ConfigurationFolder()
        let read = try folder.read(
            self.text([(Self.files, Self.vault), (Self.shown, "certificates: identity")]))
        #expect(read.identityVault?.directory == "\(folder.path)/own")
        #expect(read.identityVault?.tokenFile == "\(folder.path)/edge.token")
        #expect(read.identity?.certificate.key == "\(folder.path)/own/current/key.pem")
        #expect(read.listeners[0].tls.certificates == [read.identity?.certificate])
    }

    @Test(
        "a listener shows the identity whose files somebody else keeps; its names count for hosts")
    func shown() throws {
        let folder = try ConfigurationFolder()
        let problems = folder.problems(try self.text([(Self.shown, "certificates: identity")]))
        #expect(problems.allSatisfy { $0.contains("no certificate of a listener covers the host") })
        #expect(!problems.isEmpty)
    }

    @Test("both forms at once, a vault without a folder, or nothing to show are refused")
    func refused() throws {
        let folder = try ConfigurationFolder()
        for (replacements, problem) in [
            (
                [(Self.files, "identity: {vault: {}, directory: own, chain: identity.pem}")],
                "leave out either \"chain\" or \"vault\""
            ),
            ([(Self.files, "identity: {vault: {}}")], "missing key \"directory\""),
            (
                [(Self.files, "identity: {vault: {tokens: x}, directory: own}")],
                "did you mean \"token\"?"
            ),
            (
                [(Self.files + "\n", ""), (Self.shown, "certificates: identity")],
                "there is no \"identity\" whose certificate to show"
            ),
        ] {
            let problems = folder.problems(try self.text(replacements))
            #expect(problems.contains { $0.contains(problem) }, "\(problems)")
        }
    }

    @Test("an identity nobody can accept is refused where it stands")
    func unusable() throws {
        let folder = try ConfigurationFolder()
        let server =
            "identity: {chain: gateway.pem, key: gateway.key, trust_roots: roots.pem}"
        let noIdentity =
            "19:19: gateway.pem: a service's certificate has exactly one URI, this one 0: issue one "
            + "by scoregate certs issue identity spiffe://scoregate.local/gateway/"
        for (replacements, expected) in [
            ([(Self.files, server)], [noIdentity + "edge"]),
            (
                // Who is asked by an agent for an identity needs one, whatever it is called.
                [("service: {kind: gateway, name: edge}\n", ""), (Self.files, server)],
                [noIdentity.replacing("19:19", with: "18:19") + "gateway"]
            ),
            (
                [("service: {kind: gateway, name: edge}\n", "")], []
            ),
            (
                [("name: edge", "name: zebra")],
                [
                    "19:19: identity.pem: the certificate is of spiffe://scoregate.local/gateway/edge, "
                        + "but trust_domain and service make this spiffe://scoregate.local/gateway/zebra: "
                        + "change them, or issue a certificate for that"
                ]
            ),
            (
                [
                    (
                        "key: identity.key, trust_roots: roots.pem",
                        "key: identity.key, trust_roots: identity.pem"
                    )
                ],
                [
                    "19:65: identity.pem: this is the service's own certificate: trust_roots are the "
                        + "authorities that the others' certificates lead to"
                ]
            ),
        ] {
            #expect(folder.problems(try self.text(replacements)) == expected)
        }
    }

    @Test("a certificate of no service will do for servers that are no agents")
    func withoutIdentity() throws {
        let folder = try ConfigurationFolder()
        let text = try self.text([
            ("service: {kind: gateway, name: edge}\n", ""),
            (
                Self.files,
                "identity: {chain: gateway.pem, key: gateway.key, trust_roots: roots.pem}"
            ),
            ("        backend_identity: spiffe://scoregate.local/agent/blue\n", ""),
        ])
        #expect(folder.problems(text) == [])
    }
}
