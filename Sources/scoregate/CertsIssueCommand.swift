internal import ArgumentParser
internal import Cryptography
internal import ServiceConfiguration

/// `scoregate certs issue`.
struct CertsIssueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue",
        abstract: "Issue a certificate for a server, or for a service's identity.",
        subcommands: [CertsIssueServerCommand.self, CertsIssueIdentityCommand.self])
}

/// What both kinds of certificate have in common.
struct IssueOptions: ParsableArguments {
    /// The kind of key to make.
    enum Algorithm: String, ExpressibleByArgument, CaseIterable {
        case ecdsa
        case rsa
        case rsa3072 = "rsa-3072"

        var value: PrivateKey.Algorithm {
            switch self {
            case .ecdsa: .ecdsaP256
            case .rsa: .rsa(bits: 2048)
            case .rsa3072: .rsa(bits: 3072)
            }
        }
    }

    @OptionGroup var folder: CertificateFolder

    @Option(
        name: .customLong("dns"),
        help:
            "A DNS name it stands for; may be given several times. *.example.com stands for one label."
    )
    var dnsNames: [String] = []

    @Option(
        name: .customLong("ip"), help: "An IP address it stands for; may be given several times.")
    var ipAddresses: [String] = []

    @Option(help: "The kind of key: ECDSA P-256, RSA of 2048 bits, or RSA of 3072 bits.")
    var algorithm = Algorithm.ecdsa

    @Flag(help: "Replace the certificate and key of that name, where there are some.")
    var replace = false

    @Option(help: "Write text, or json for programs.")
    var output = OutputFormat.text

    /// Takes up the trust root in the folder.
    func authority() throws -> CertificateAuthority {
        try ProcessHardening.applyOrFail()
        do throws(CryptographyError) {
            let certificate = try WholeFile.read(
                self.folder.rootCertificate, maximum: CertificateFiles.maximumBytes)
            let key = try SecretBytes(
                contentsOf: self.folder.rootKey, maximum: CertificateFiles.maximumBytes)
            return try CertificateAuthority(certificatePEM: certificate, privateKeyPEM: key)
        } catch {
            if case .file(let path, .missing) = error {
                throw CommandFailure(
                    code: .environment,
                    message: "there is no \(path). Make a trust root first with: scoregate certs "
                        + "init --directory \(self.folder.path)")
            }
            throw CertificateFiles.failure(of: error)
        }
    }

    /// Writes what was issued to NAME.pem and NAME.key and reports it.
    func write(_ issued: borrowing CertificateAuthority.Issued, name: String) throws {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), name != "ca" else {
            throw CommandFailure(
                code: .usage,
                message:
                    "\"\(name)\" cannot name files beside the trust root; choose another --name")
        }
        let path = "\(self.folder.path)/\(name)"
        try CertificateFiles.write(
            issued.certificate, to: path + ".pem", key: issued.privateKeyPEM,
            keyPath: path + ".key", isReplacing: self.replace,
            ifThere: "Give --replace to put a new certificate and key in their place.")
        CertificateReport(issued.certificate, file: path + ".pem", key: path + ".key")
            .write(as: self.output)
    }
}

/// `scoregate certs issue server`.
struct CertsIssueServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Issue a certificate for a server that clients call by name or address.",
        discussion:
            "Writes NAME.pem and NAME.key, for a listener's `certificates` in the configuration.")

    @Option(help: "What to call the files; also the certificate's common name.")
    var name: String

    @Option(help: "How many days it is valid, at most 397 and as long as the trust root.")
    var days = CertificateAuthority.defaultServerDays

    @OptionGroup var options: IssueOptions

    func validate() throws {
        guard self.options.dnsNames.isEmpty, self.options.ipAddresses.isEmpty else { return }
        throw ValidationError("Give at least one name clients will call it by: --dns or --ip.")
    }

    func run() throws {
        let authority = try self.options.authority()
        let issued = try CertificateFiles.reporting {
            try authority.issueServer(
                commonName: self.name, dnsNames: self.options.dnsNames,
                ipAddresses: self.options.ipAddresses, algorithm: self.options.algorithm.value,
                days: self.days)
        }
        try self.options.write(issued, name: self.name)
    }
}

/// `scoregate certs issue identity`.
struct CertsIssueIdentityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity",
        abstract: "Issue the identity of a service, for both ends of mutual TLS.",
        discussion: "Writes KIND-NAME.pem and KIND-NAME.key, for `identity` in the configuration.")

    @Argument(help: "The identity: spiffe://<trust domain>/<kind>/<name>.")
    var identity: String

    @Option(help: "What to call the files, instead of KIND-NAME.")
    var name: String?

    @Option(help: "How many days it is valid, at most 397 and as long as the trust root.")
    var days = CertificateAuthority.defaultIdentityDays

    @OptionGroup var options: IssueOptions

    func validate() throws {
        do throws(CryptographyError) {
            _ = try SPIFFEID(self.identity)
        } catch {
            throw ValidationError(error.description)
        }
    }

    func run() throws {
        let identity = try CertificateFiles.reporting { try SPIFFEID(self.identity) }
        let authority = try self.options.authority()
        let issued = try CertificateFiles.reporting {
            try authority.issueIdentity(
                identity, dnsNames: self.options.dnsNames, ipAddresses: self.options.ipAddresses,
                algorithm: self.options.algorithm.value, days: self.days)
        }
        try self.options.write(
            issued, name: self.name ?? "\(identity.kind.rawValue)-\(identity.name)")
    }
}
