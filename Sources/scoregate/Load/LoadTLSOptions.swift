internal import ArgumentParser
internal import LoadTest
internal import TLS

/// TLS as a variable.
struct LoadTLSOptions: ParsableArguments {
    @Option(help: "PEM file of the roots to trust (the system's).", completion: .file())
    var ca: String?

    @Option(help: "PEM file of the certificate to show, with its chain.", completion: .file())
    var cert: String?

    @Option(help: "PEM file of its private key (mode 0600).", completion: .file())
    var certKey: String?

    @Option(help: "The SPIFFE ID the server must have, instead of the URL's host name.")
    var peerIdentity: String?

    @Option(help: "The server name sent (SNI), instead of the URL's host name.")
    var sni: String?

    @Option(help: "Offer TLS 1.2 or 1.3 only.")
    var tlsVersion: String?

    @Option(help: "Cipher suites offered, by OpenSSL's names, with commas between.")
    var ciphers: String?

    @Option(help: "Groups offered: X25519, P-256, P-384, with commas between.")
    var groups: String?

    @Option(
        help: """
            full, resume, or mix:SHARE (mix:0.8): how handshakes are made where connections end, as with \
            --requests-per-connection.
            """)
    var handshake = "full"

    @Flag(
        help: """
            Make connections and send nothing on them: what is due, and counted, are handshakes. \
            --connections is how many are made at once.
            """)
    var handshakesOnly = false

    @Option(
        help: "Keep sessions for resumption in a file (mode 0600) between runs.",
        completion: .file())
    var sessionFile: String?

    func apply(to plan: inout LoadPlan) throws(LoadError) {
        plan.tls.trustRoots = self.ca
        guard (self.cert == nil) == (self.certKey == nil) else {
            throw .usage("--cert and --cert-key belong together")
        }
        if let cert, let certKey {
            plan.tls.identity = TLSCertificateFiles(chain: cert, key: certKey)
        }
        plan.tls.peerIdentity = self.peerIdentity
        plan.tls.serverName = self.sni
        switch self.tlsVersion {
        case nil: break
        case "1.2"?: plan.tls.version = .tls12
        case "1.3"?: plan.tls.version = .tls13
        case let other?: throw .usage("--tls-version \(other): 1.2 or 1.3")
        }
        plan.tls.cipherSuites = try Self.choose(
            self.ciphers, "--ciphers", TLSCipher.allCases, \.name)
        if let version = plan.tls.version,
            let other = plan.tls.cipherSuites?.first(where: { $0.isOfTLS13 != (version == .tls13) })
        {
            throw .usage("--ciphers \(other.name): not of the --tls-version that is offered alone")
        }
        plan.tls.groups = try Self.choose(self.groups, "--groups", TLSGroup.allCases, \.name)
        plan.tls.resumedShare = try self.resumedShare()
        plan.tls.sessionFile = self.sessionFile
        guard self.sessionFile == nil || plan.tls.resumedShare > 0 else {
            throw .usage("--session-file is of use with --handshake resume or mix only")
        }
    }

    /// The options given that have no meaning without TLS.
    var given: [String] {
        [
            ("--ca", self.ca != nil), ("--cert", self.cert != nil),
            ("--peer-identity", self.peerIdentity != nil), ("--sni", self.sni != nil),
            ("--tls-version", self.tlsVersion != nil), ("--ciphers", self.ciphers != nil),
            ("--groups", self.groups != nil), ("--handshake", self.handshake != "full"),
            ("--session-file", self.sessionFile != nil),
        ].filter(\.1).map(\.0)
    }

    /// After all other options are applied: none that is about requests goes with it.
    func applyHandshakesOnly(to plan: inout LoadPlan) throws(LoadError) {
        guard self.handshakesOnly else { return }
        guard plan.target.isEncrypted else {
            throw .usage("--handshakes-only: there is no handshake without https://")
        }
        guard plan.http != .http2, plan.streams == nil, plan.requestsPerConnection == .max,
            plan.api == .raw,
            plan.request.payloads.isEmpty, plan.request.keys.isEmpty, plan.faults == FaultPlan()
        else {
            throw .usage(
                "--handshakes-only sends no request: --http 2, --streams, --requests-per-connection, "
                    + "--api, bodies, keys and faults have no meaning with it")
        }
        plan.tls.isHandshakeOnly = true
        // What is offered by ALPN; a server of HTTP/2 would begin to talk.
        plan.http = .http1
    }

    private func resumedShare() throws(LoadError) -> Double {
        switch self.handshake {
        case "full": return 0
        case "resume": return 1
        default:
            guard self.handshake.hasPrefix("mix:"),
                let share = Quantity.share(self.handshake.dropFirst(4))
            else { throw .usage("--handshake \(self.handshake): full, resume or mix:SHARE") }
            return share
        }
    }

    private static func choose<Value>(
        _ text: String?, _ option: String, _ all: [Value], _ name: (Value) -> String
    ) throws(LoadError) -> [Value]? {
        guard let text else { return nil }
        var chosen: [Value] = []
        for part in text.split(separator: ",") {
            guard let value = all.first(where: { name($0).lowercased() == part.lowercased() })
            else {
                throw .usage(
                    "\(option) \(part): none of " + all.map(name).joined(separator: ", "))
            }
            chosen.append(value)
        }
        guard !chosen.isEmpty else { throw .usage("\(option) is not empty") }
        return chosen
    }
}
