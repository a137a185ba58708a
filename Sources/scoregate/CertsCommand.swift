internal import ArgumentParser
internal import Cryptography
internal import ServiceConfiguration

/// `scoregate certs`: a trust root, and the certificates it issues.
struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs",
        abstract: "Make a trust root, and issue server certificates and service identities.",
        discussion: """
            Clients trust a server because a trust root they know has signed its certificate; inside \
            scoregate, services know each other in the same way, by an identity such as \
            spiffe://scoregate.local/gateway/edge.

              scoregate certs init
              scoregate certs issue server --name gateway --dns localhost --ip 127.0.0.1
              scoregate certs issue identity spiffe://scoregate.local/agent/blue
              scoregate certs show certs/gateway.pem
            """,
        subcommands: [CertsInitCommand.self, CertsIssueCommand.self, CertsShowCommand.self])
}

/// Where the trust root lies; the same for all that need it.
struct CertificateFolder: ParsableArguments {
    @Option(name: .customLong("directory"), help: "The folder of the trust root.")
    var path = "certs"

    var rootCertificate: String { "\(self.path)/ca.pem" }
    var rootKey: String { "\(self.path)/ca.key" }
}

/// How a command writes its answer.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
}

/// `scoregate certs init`.
struct CertsInitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make a trust root: ca.pem, to give to everyone, and ca.key, to guard.")

    @OptionGroup var folder: CertificateFolder

    @Option(help: "The domain of the identities it issues, spiffe://<trust domain>/….")
    var trustDomain = "scoregate.local"

    @Option(help: "How many days it is valid, at most 3650.")
    var days = CertificateAuthority.defaultRootDays

    @Option(help: "Write text, or json for programs.")
    var output = OutputFormat.text

    func run() throws {
        try ProcessHardening.applyOrFail()
        let authority = try CertificateFiles.reporting {
            try CertificateAuthority.create(trustDomain: self.trustDomain, days: self.days)
        }
        try CertificateFiles.makeFolder(self.folder.path)
        try CertificateFiles.write(
            authority.certificate, to: self.folder.rootCertificate,
            key: CertificateFiles.reporting { try authority.privateKeyPEM() },
            keyPath: self.folder.rootKey, isReplacing: false,
            ifThere: "A trust root is there already. Another one would make all it has issued "
                + "worthless; to have a second, name another folder with --directory.")
        CertificateReport(
            authority.certificate, file: self.folder.rootCertificate, key: self.folder.rootKey
        ).write(as: self.output)
    }
}

/// `scoregate certs show`.
struct CertsShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show the certificates in a file: names, validity, key, fingerprint.")

    @Argument(help: "A file of one or more certificates in PEM.")
    var file: String

    @Option(help: "Write text, or json for programs.")
    var output = OutputFormat.text

    func run() throws {
        let chain = try CertificateFiles.reporting {
            try Certificate.chain(
                pem: WholeFile.read(self.file, maximum: CertificateFiles.maximumBytes))
        }
        CertificateReport.write(
            chain.map { CertificateReport($0, file: self.file, key: nil) }, as: self.output)
    }
}
