internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import KeyVault
internal import ServiceConfiguration
internal import State
internal import Vault

/// `scoregate identities`: who may have an identity, who has one, and whom nobody talks to.
struct IdentitiesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identities",
        abstract:
            "Make join tokens, join, list issued identities, deny peers, rotate the trust root.",
        discussion: """
            All but "join" work on the state of the vault that --config names, whether it runs or not; a
            running one notices within 100 ms. A service joins with a token, and renews by itself from then
            on:

              scoregate identities token spiffe://scoregate.local/agent/blue --config vault.yaml \
            --output blue.token
            """,
        subcommands: [
            IdentitiesTokenCommand.self, IdentitiesJoinCommand.self, IdentitiesListCommand.self,
            IdentitiesDenyCommand.self, IdentitiesAllowCommand.self,
            IdentitiesRotateRootCommand.self,
        ])
}

/// The state of the vault, open.
struct VaultIdentityState {
    let configuration: VaultConfiguration
    let store: StateStore

    /// Opens what the configuration names; prints what is wrong and ends with 1 or 3 if it cannot.
    init(_ path: String) throws {
        try ProcessHardening.applyOrFail()
        do throws(InvalidConfiguration) {
            self.configuration = try VaultConfiguration.read(
                path: path, environment: ProcessInfo.processInfo.environment)
        } catch {
            throw CommandFailure(code: .refused, message: error.description)
        }
        let configuration = self.configuration
        self.store = try StateChange.failing { () throws(StateError) in
            try StateStore(
                folder: configuration.stateDirectory, rootKeyPath: configuration.rootKeyFile)
        }
    }

    /// Where services join; ends with 1 if the configuration at `path`, which this is, has no such place.
    func location(_ path: String) throws -> VaultLocation {
        guard let location = self.configuration.location else {
            throw CommandFailure(
                code: .refused,
                message: "\(path) has no \"identities\" with a join_address, so nobody can join")
        }
        return location
    }

    /// Runs `body` with who issues identities; ends with 1 or 3 if the vault's token cannot be opened.
    func withAuthority<Value>(_ body: (IdentityAuthority) throws -> Value) throws -> Value {
        let token: Token?
        do throws(StartError) {
            token = try self.configuration.openToken(self.store)
        } catch {
            throw CommandFailure(code: .environment, message: "\(error)")
        }
        defer { token?.finalize() }
        return try body(
            self.configuration.authority(self.store, token: token, actor: StateChange.actor))
    }

    /// Waits until the running vault has a change in force, and says so; ends with 3 if it has not.
    func report(_ generation: Int64, _ text: String) throws {
        let progress = try StateChange.wait(for: generation, in: self.store)
        print(text)
        if progress.workers == 0 {
            print("no vault is running; in force when one starts")
        } else if progress.isComplete {
            print("in force in the vault; services hear of it at once")
        } else {
            StandardError.write("not in force after 5 s: is the vault stuck?")
            throw ExitCode(3)
        }
    }
}

/// `scoregate identities token`.
struct IdentitiesTokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract:
            "Make a token by which a service gets its first certificate, once, within an hour."
    )

    @Argument(help: "The service's identity: spiffe://<trust domain>/<kind>/<name>.")
    var identity: String

    @Option(name: .shortAndLong, help: "The vault's configuration file.")
    var config: String

    @Option(
        name: .customLong("dns"),
        help: "A DNS name the service may show too; may be given several times.")
    var dnsNames: [String] = []

    @Option(
        name: .customLong("output"),
        help: "Write the token to this file, mode 0600; otherwise to standard output.")
    var file: String?

    func run() throws {
        let state = try VaultIdentityState(self.config)
        let vault = try state.location(self.config)
        let token: JoinToken
        do {
            token = try state.withAuthority { authority in
                try IdentityTokens.make(
                    SPIFFEID(self.identity), dnsNames: self.dnsNames, vault: vault,
                    authority: authority, store: state.store, now: UnixTime.milliseconds,
                    actor: StateChange.actor)
            }
        } catch let error as CryptographyError {
            throw CommandFailure(code: .refused, message: error.description)
        } catch StateError.cryptography(let error) {
            throw CommandFailure(code: .refused, message: error.description)
        } catch let error as StateError {
            throw CommandFailure(code: .environment, message: error.description)
        }
        let text = try token.text()
        guard let file else {
            print(text, terminator: "")
            return
        }
        let bytes = Array(text.utf8)
        try CertificateFiles.reporting {
            try WholeFile.write(bytes.rawSpan, to: file, mode: 0o600, isReplacing: false)
        }
        print("\(file): a token for \(token.identity), good once and for an hour")
    }
}

/// `scoregate identities list`.
struct IdentitiesListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show trust roots, the certificates that are valid, and the deny list.")

    @Option(name: .shortAndLong, help: "The vault's configuration file.")
    var config: String

    @Option(help: "text for people, json for programs.")
    var output: OutputFormat = .text

    func run() throws {
        let state = try VaultIdentityState(self.config)
        let list = try StateChange.failing { () throws(StateError) in
            List(
                roots: try state.store.authorities().filter(\.isTrustedRoot).map { Root($0) },
                certificates: try state.store.issuedCertificates(validAt: UnixTime.milliseconds)
                    .map { Issued($0) },
                denied: try state.store.denials().map { Denied($0) })
        }
        if self.output == .json { return try JSONOutput.print(list) }
        for root in list.roots {
            print("root\t\(root.state)\t\(root.sha256)\tuntil \(root.notAfter)\tkey \(root.key)")
        }
        for issued in list.certificates {
            let names = issued.dnsNames.joined(separator: " ")
            print("\(issued.identity)\t\(issued.serial)\tuntil \(issued.notAfter)\t\(names)")
        }
        for denied in list.denied {
            print("denied\t\(denied.subject)\tsince \(denied.since)\t\(denied.reason)")
        }
    }

    private struct List: Encodable {
        let roots: [Root]
        let certificates: [Issued]
        let denied: [Denied]
    }

    private struct Root: Encodable {
        let sha256: String
        let state: String
        let notAfter: String
        let key: String

        init(_ record: AuthorityRecord) {
            self.key = record.tokenKey == nil ? "sealed in the state" : "in the token"
            self.sha256 = record.certificate.fingerprint.hexadecimal
            self.state = record.state.rawValue
            self.notAfter = UTCDate.text(of: record.certificate.notAfter)
        }
    }

    private struct Issued: Encodable {
        let identity: String
        let serial: String
        let dnsNames: [String]
        let issued: String
        let notAfter: String

        init(_ record: IssuedCertificate) {
            self.identity = record.identity
            self.serial = record.serial
            self.dnsNames = record.dnsNames
            self.issued = UTCDate.text(of: record.issuedMilliseconds / 1000)
            self.notAfter = UTCDate.text(of: record.notAfterMilliseconds / 1000)
        }
    }

    private struct Denied: Encodable {
        let subject: String
        let reason: String
        let since: String

        init(_ record: Denial) {
            self.subject = record.subject
            self.reason = record.reason
            self.since = UTCDate.text(of: record.createdMilliseconds / 1000)
        }
    }
}
