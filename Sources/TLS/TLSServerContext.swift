internal import COpenSSL
package import Cryptography

/// What a listener's connections on one worker are made from: an SSL_CTX for each set of
/// certificates that some server name needs.
///
/// Immutable. A reload makes a new one, off the loop, and the worker then gives it to new
/// connections; the old one goes with its last connection.
@safe package final class TLSServerContext: @unchecked Sendable {
    // Sendable: nothing changes after the initialiser but OpenSSL's own reference counts.
    let resources: TLSWorkerResources
    let configuration: TLSServerConfiguration
    /// Application protocols as ALPN has them on the wire.
    let alpn: [UInt8]
    let ticketKeys: TLSTicketKeys
    private var contexts: [OpaquePointer]
    private var names: ServerNames
    /// The names of each certificate of each context.
    private var shown: [[[String]]]

    /// The leaf certificates, in the order of the configuration.
    package let certificates: [Certificate]
    /// The names the certificates cover, in lower case, wildcards as `*.example.com`.
    package let certificateNames: [String]

    /// Reads and checks the files and makes the contexts.
    ///
    /// Takes milliseconds: not on the loop.
    ///
    /// - Parameters:
    ///   - configuration: What the listener is to do.
    ///   - resources: Of the worker that will use it; kept alive.
    ///   - ticketKeys: Of the process.
    /// - Throws: What is wrong with which file.
    package init(
        _ configuration: TLSServerConfiguration, resources: TLSWorkerResources,
        ticketKeys: TLSTicketKeys
    ) throws(TLSError) {
        guard !configuration.certificates.isEmpty else {
            throw .configurationIncomplete("a TLS listener needs at least one certificate")
        }
        self.resources = resources
        self.configuration = configuration
        self.ticketKeys = ticketKeys
        self.alpn = try TLSPolicy.wireForm(of: configuration.alpn)
        self.names = ServerNames()
        self.shown = []
        unsafe self.contexts = []
        var identities = IdentityList()
        var names: [[String]] = []
        var leaves: [Certificate] = []
        for files in configuration.certificates {
            let identity = try PEMFile.identity(files, resources: resources)
            leaves.append(try identity.certificate())
            names.append(identity.names)
            identities.append(identity)
        }
        self.certificates = leaves
        self.certificateNames = Array(Set(names.joined())).sorted()
        let scope = try unsafe TicketScope.identifier(
            configuration, names: self.certificateNames, resources: resources)
        var known: [[Int]: Int] = [:]
        let choose = { (covering: [Int]) throws(TLSError) -> Int in
            let chosen = identities.onePerKeyType(covering)
            if let index = known[chosen] { return index }
            let context = unsafe try self.makeContext(identities, chosen: chosen, scope: scope)
            unsafe self.contexts.append(context)
            self.shown.append(chosen.map { names[$0] })
            let index = unsafe self.contexts.count - 1
            known[chosen] = index
            return index
        }
        // The first certificate is the default: with it go those that cover its first name too.
        let first = names[0].first
        let alike = names.indices.filter { position in
            position == 0 || first.map { ServerNames.covers(names[position], $0) } == true
        }
        _ = try choose(alike)
        self.names = try ServerNames(names: names, choose: choose)
    }

    deinit {
        for position in 0..<(unsafe self.contexts.count) {
            unsafe SSL_CTX_free(self.contexts[position])
        }
    }

    /// Reads and checks everything a listener needs, and keeps nothing.
    ///
    /// - Returns: The leaf certificates, in the order of the configuration.
    /// - Throws: As the initialiser.
    package static func validate(
        _ configuration: TLSServerConfiguration
    ) throws(TLSError) -> [Certificate] {
        try TLSServerContext(
            configuration, resources: TLSWorkerResources(library: .standard),
            ticketKeys: TLSTicketKeys()
        ).certificates
    }

    /// Whether a certificate covers `name`: in lower case, without a trailing dot.
    package func covers(_ name: String) -> Bool {
        self.names.index(of: name) != nil
    }

    /// Whether every certificate that a client who asked for `serverName` may have been shown covers
    /// `host` too: both in lower case, without a trailing dot.
    package func covers(_ host: String, forClientsOf serverName: String) -> Bool {
        guard let index = self.names.index(of: serverName) else { return false }
        return self.shown[index].allSatisfy { ServerNames.covers($0, host) }
    }

    /// A new SSL of the default context.
    @unsafe func makeSSL() -> OpaquePointer? {
        unsafe SSL_new(self.contexts[0])
    }

    /// Gives `ssl` the certificates of `name`; false if none covers it.
    @unsafe func select(_ name: String, for ssl: OpaquePointer) -> Bool {
        guard let index = self.names.index(of: name) else { return false }
        if index > 0 { unsafe SSL_set_SSL_CTX(ssl, self.contexts[index]) }
        return true
    }

    /// The position in a client's offer of the protocol we prefer; nil if there is none in common.
    @unsafe func chooseProtocol(_ offer: UnsafeBufferPointer<UInt8>) -> Int? {
        for name in self.configuration.alpn {
            var position = 0
            while position < offer.count {
                let end = unsafe position + 1 + Int(offer[position])
                guard end <= offer.count else { return nil }
                if unsafe offer[(position + 1)..<end].elementsEqual(name.utf8) { return position }
                position = end
            }
        }
        return nil
    }

    private func makeContext(
        _ identities: borrowing IdentityList, chosen: [Int], scope: [UInt8]
    ) throws(TLSError) -> OpaquePointer {
        let isInternal = self.configuration.purpose == .internal
        let context = unsafe try TLSPolicy.makeContext(
            resources: self.resources,
            minimumVersion: isInternal ? .tls13 : self.configuration.minimumVersion, isServer: true)
        do throws(TLSError) {
            for position in chosen { unsafe try identities.use(position, in: context) }
            unsafe try self.setVerification(context)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        let own = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe SSL_CTX_set_client_hello_cb(context, tlsClientHello, own)
        if !self.alpn.isEmpty { unsafe SSL_CTX_set_alpn_select_cb(context, tlsSelectALPN, own) }
        unsafe SSL_CTX_set_session_id_context(context, scope, UInt32(scope.count))
        if isInternal || self.configuration.clientAuthentication != .none {
            // A ticket would let a client in again whose certificate has since been withdrawn.
            unsafe SSL_CTX_set_num_tickets(context, 0)
            unsafe SSL_CTX_set_options(context, 1 << 14)  // SSL_OP_NO_TICKET
        } else {
            unsafe SSL_CTX_set_num_tickets(context, 1)
            unsafe SSL_CTX_set_timeout(context, TicketScope.lifetimeSeconds)
            unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context, tlsTicketKey)
            unsafe SSL_CTX_set_session_ticket_cb(context, tlsTicketMade, tlsTicketOpened, nil)
        }
        return unsafe context
    }

    @unsafe private func setVerification(_ context: OpaquePointer) throws(TLSError) {
        guard self.configuration.clientAuthentication != .none else {
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
            return
        }
        guard let roots = self.configuration.clientTrustRoots else {
            throw .configurationIncomplete("client certificates need client_trust_roots")
        }
        unsafe try TLSPolicy.addTrustRoots(roots, to: context, resources: self.resources)
        if let lists = self.configuration.clientRevocationLists {
            unsafe try TLSPolicy.addRevocationLists(lists, to: context)
        }
        let isRequired = self.configuration.clientAuthentication == .required
        unsafe SSL_CTX_set_verify(
            context,
            isRequired ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER, nil)
        unsafe SSL_CTX_set_cert_verify_callback(context, tlsVerifyPeer, nil)
    }
}

/// The certificates of a listener while its contexts are made.
private struct IdentityList: ~Copyable {
    private var identities: [Boxed] = []

    private final class Boxed {
        let identity: PEMFile.Identity
        init(_ identity: consuming PEMFile.Identity) { self.identity = identity }
    }

    mutating func append(_ identity: consuming PEMFile.Identity) {
        self.identities.append(Boxed(identity))
    }

    /// The first position of each kind of key: an SSL_CTX holds one certificate of each.
    func onePerKeyType(_ positions: [Int]) -> [Int] {
        let rsa = positions.first { self.identities[$0].identity.isRSA }
        let elliptic = positions.first { !self.identities[$0].identity.isRSA }
        return [rsa, elliptic].compactMap { $0 }.sorted()
    }

    @unsafe func use(_ position: Int, in context: OpaquePointer) throws(TLSError) {
        unsafe try TLSPolicy.use(self.identities[position].identity, in: context)
    }
}
