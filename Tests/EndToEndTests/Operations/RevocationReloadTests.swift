import Foundation
import Testing

/// What clients' certificates are checked with, replaced under a gateway that serves.
@Suite("Operations: revocation lists and trust roots")
struct RevocationReloadTests {
    private static let setup = Installation.Setup(
        tlsLines: """
                  client_authentication: required
                  client_trust_roots: certs/ca.pem
                  client_revocation_lists: clients.crl

            """)

    /// Puts a list of the certificates' authority in place that names `revoked`.
    private static func list(
        _ installation: Installation, revoked: [String] = []
    ) async throws {
        try installation.write(
            "ca.cnf",
            """
            [ca]
            default_ca = own
            [own]
            database = index
            default_md = sha256
            crl_extensions = extensions
            [extensions]
            authorityKeyIdentifier = keyid
            """)
        try installation.write("index", "")
        let authority = "openssl ca -config ca.cnf -cert certs/ca.pem -keyfile certs/ca.key"
        let outcome = try await installation.shell(
            "set -e; "
                + revoked.map { "\(authority) -revoke certs/\($0).pem; " }.joined()
                + "\(authority) -gencrl -crldays 1 -out new.crl; mv new.crl clients.crl")
        try #require(outcome.code == 0, "\(outcome.errors)")
    }

    /// The status that curl gets on a connection of its own with this certificate, 000 for none.
    private static func status(
        _ installation: Installation, _ key: String, as name: String
    ) async throws -> String {
        try await installation.shell(
            """
            curl --silent --max-time 20 --cacert certs/ca.pem --cert certs/\(name).pem \
            --key certs/\(name).key --oauth2-bearer \(key) --data '{}' --output answer \
            --write-out '%{http_code}' https://localhost:\(installation.gateway.port)/score
            """
        ).output
    }

    @Test("New trust roots let others in, without a signal; bad ones keep the old")
    func roots() async throws {
        var setup = Installation.Setup()
        setup.tlsLines = """
                  client_authentication: required
                  client_trust_roots: roots.pem

            """
        try await Installation.run(setup, starts: false) { installation in
            let other = installation.path("other")
            for arguments in [
                ["init"],
                ["issue", "identity", "spiffe://scoregate.local/operator/new", "--name", "new"],
            ] {
                let outcome = try await GatewayProcess.run(
                    ["certs"] + arguments + ["--directory", other])
                #expect(outcome.code == 0, "\(outcome.errors)")
            }
            let copied = try await installation.shell("cp other/new.pem other/new.key certs/")
            #expect(copied.code == 0, "\(copied.errors)")
            try installation.write("roots.pem", installation.read("certs/ca.pem"))
            try await installation.start()
            let key = try await installation.key()
            #expect(try await Self.status(installation, key, as: "caller") == "200")
            #expect(try await Self.status(installation, key, as: "new") == "000")

            try installation.write("roots.pem", installation.read("other/ca.pem"))
            #expect(try await Self.isRefused(installation, key, as: "caller"))
            #expect(try await Self.status(installation, key, as: "new") == "200")

            try installation.write("roots.pem", "no certificate")
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged("reload failed"))
            #expect(try await Self.status(installation, key, as: "new") == "200")
        }
    }

    /// Whether nobody with this certificate comes in any more, soon.
    private static func isRefused(
        _ installation: Installation, _ key: String, as name: String
    ) async throws -> Bool {
        // Each worker has its own contexts: some refusals in a row have met both.
        var refused = 0
        return try await eventually {
            let status = try await Self.status(installation, key, as: name)
            refused = status == "000" ? refused + 1 : 0
            return refused == 8
        }
    }

    @Test("Whom a new list names is refused without a signal; a bad list keeps the old one")
    func replaced() async throws {
        try await Installation.run(Self.setup, starts: false) { installation in
            try await installation.issueIdentity("operator/other", name: "other")
            try await Self.list(installation)
            try await installation.start()
            let key = try await installation.key()
            #expect(try await Self.status(installation, key, as: "caller") == "200")
            #expect(try await Self.status(installation, key, as: "other") == "200")

            try await Self.list(installation, revoked: ["caller"])
            #expect(try await Self.isRefused(installation, key, as: "caller"))
            #expect(try await Self.status(installation, key, as: "other") == "200")

            try installation.write("clients.crl", "no list")
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged("reload failed"))
            #expect(try await installation.logged("clients.crl"))
            #expect(try await Self.status(installation, key, as: "caller") == "000")
            #expect(try await Self.status(installation, key, as: "other") == "200")

            try await Self.list(installation)
            #expect(
                try await eventually {
                    try await Self.status(installation, key, as: "caller") == "200"
                })
        }
    }
}
