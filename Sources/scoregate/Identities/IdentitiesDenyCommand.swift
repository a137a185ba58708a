internal import ArgumentParser
internal import Cryptography
internal import State
internal import Vault

/// Whom a command is about: an identity or one certificate.
struct DeniedSubject: ParsableArguments {
    @Argument(
        help: "A SPIFFE ID, or the serial number of a certificate as `identities list` shows it.")
    var subject: String

    @Option(name: .shortAndLong, help: "The vault's configuration file.")
    var config: String

    func validate() throws {
        if (try? SPIFFEID(self.subject)) != nil { return }
        guard let bytes = Hexadecimal.bytes(of: self.subject), (1...20).contains(bytes.count) else {
            throw ValidationError(
                "\"\(self.subject)\" is neither a SPIFFE ID nor a serial number in lower-case "
                    + "hexadecimal")
        }
    }
}

/// `scoregate identities deny`.
struct IdentitiesDenyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deny",
        abstract: "Let nobody talk to a service any more, within seconds.",
        discussion: """
            Its connections are closed, new ones are refused, and it gets no further certificate. A
            serial number denies one certificate and those that took its place; where a key may be
            known to others, deny the identity.
            """)

    @OptionGroup var target: DeniedSubject

    @Option(help: "Why, for whoever reads the list.")
    var reason = ""

    func validate() throws {
        // RFC 5280, 4.1.2.2: positive; its first byte is not zero as it is shown.
        guard !self.target.subject.hasPrefix("00") else {
            throw ValidationError(
                "\"\(self.target.subject)\" is the serial number of no certificate: none begins "
                    + "with 00")
        }
    }

    func run() throws {
        let state = try VaultIdentityState(self.target.config)
        let own = state.configuration.spiffeID.trustDomain
        let identity = try? SPIFFEID(self.target.subject)
        if let identity, identity.trustDomain != own {
            throw CommandFailure(
                code: .refused,
                message: "\(identity.text) is not of the trust domain \(own): nobody of another "
                    + "gets in")
        }
        let generation = try StateChange.failing { () throws(StateError) in
            try state.store.deny(
                self.target.subject, reason: String(self.reason.prefix(200)),
                now: UnixTime.milliseconds, actor: StateChange.actor)
        }
        let isUnknown =
            try identity == nil
            && StateChange.failing { () throws(StateError) in
                try state.store.issuedCertificate(serial: self.target.subject) == nil
            }
        if isUnknown {
            print("no certificate with this serial number was issued here: look it up again")
        }
        try state.report(generation, "denied: \(self.target.subject)")
    }
}

/// `scoregate identities allow`.
struct IdentitiesAllowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allow", abstract: "Take a service or certificate off the deny list.")

    @OptionGroup var target: DeniedSubject

    func run() throws {
        let state = try VaultIdentityState(self.target.config)
        let generation = try StateChange.failing { () throws(StateError) in
            try state.store.allow(
                self.target.subject, now: UnixTime.milliseconds, actor: StateChange.actor)
        }
        guard let generation else {
            throw CommandFailure(
                code: .refused, message: "\(self.target.subject) is not on the deny list")
        }
        try state.report(generation, "allowed: \(self.target.subject)")
    }
}

/// `scoregate identities rotate-root`.
struct IdentitiesRotateRootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate-root",
        abstract: "Begin to replace the trust root.",
        discussion: """
            The new root is published at once, signs after two lives of a certificate, and the old
            one is trusted for two more. Services take all of it over as they renew; one that was
            away for the whole time needs a new token.
            """)

    @Option(name: .shortAndLong, help: "The vault's configuration file.")
    var config: String

    func run() throws {
        let state = try VaultIdentityState(self.config)
        // Where nobody joins the new root would be for nobody.
        _ = try state.location(self.config)
        let root = try state.withAuthority { authority in
            try StateChange.failing { () throws(StateError) in
                try authority.rotateRoot(now: UnixTime.milliseconds)
            }
        }
        guard let root else {
            throw CommandFailure(
                code: .refused,
                message: "a rotation is under way: `identities list` shows how far it is")
        }
        print("published: \(root.fingerprint.hexadecimal)")
        let seconds = 2 * state.configuration.identities.leafSeconds
        print("it signs in \(seconds) seconds, if the vault runs then")
    }
}
