internal import ArgumentParser
internal import Cryptography
internal import KeyVault
internal import ServiceConfiguration

/// `scoregate identities join`.
struct IdentitiesJoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Get a certificate by a join token, or the next one: for operators and readers.",
        discussion: """
            For whoever is no service: services join and renew by themselves. Where the vault is, who
            it is and how it proves that is in the token's file; the token leaves this machine once
            it has. The folder then has current/chain.pem, current/key.pem (mode 0600) and
            current/trust-bundle.pem, which --renew replaces in one step:

              scoregate identities join --token ops.token --directory ops
              scoregate identities join --renew --directory ops
            """)

    @Option(
        help: "The file that `identities token` has made; good once, within an hour.",
        completion: .file())
    var token: String?

    @Flag(
        help: """
            Get the next certificate by the present one; by its key where it has expired, as long as the \
            vault lets it.
            """)
    var renew = false

    @Option(
        help: "The folder for certificate, key and trust roots; made with mode 0700.",
        completion: .directory)
    var directory: String

    func validate() throws {
        guard self.renew == (self.token == nil) else {
            throw ValidationError("give either --token or --renew")
        }
    }

    func run() async throws {
        try ProcessHardening.applyOrFail()
        let folder = IdentityFolder(path: self.directory)
        let certificate: Certificate
        do throws(KeyVaultError) {
            if let token {
                certificate = try await self.client(
                    JoinToken(path: token).identity, folder, token
                ).join()
            } else {
                certificate = try await self.next(folder)
            }
        } catch {
            let code: CommandFailure.Code =
                switch error {
                case .unavailable, .throttled: .environment
                default: .refused
                }
            throw CommandFailure(code: code, message: error.description)
        }
        let identity = (try? certificate.identity().text) ?? ""
        print("\(identity)\t\(certificate.serial)\tuntil \(UTCDate.text(of: certificate.notAfter))")
        print(folder.chain)
        print(folder.key)
        print(folder.trustBundle)
    }

    /// The certificate after the present one.
    private func next(_ folder: IdentityFolder) async throws(KeyVaultError) -> Certificate {
        guard let present = try folder.certificate(), let identity = try? present.identity() else {
            throw .unusable(reason: "there is no certificate in \(folder.path): join with a token")
        }
        let client = try self.client(identity.text, folder, nil)
        return present.isValid(at: CertificateAuthority.now)
            ? try await client.renew() : try await client.rejoin()
    }

    private func client(
        _ identity: String, _ folder: IdentityFolder, _ token: String?
    ) throws(KeyVaultError) -> IdentityClient {
        do throws(CryptographyError) {
            return IdentityClient(
                identity: try SPIFFEID(identity), folder: folder, tokenPath: token)
        } catch {
            throw .unusable(reason: error.description)
        }
    }
}
