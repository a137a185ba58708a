internal import COpenSSL
package import Cryptography

/// What one worker's connections to one kind of peer are made from.
///
/// Immutable; a reload makes a new one. The peer is verified always: its chain, its purpose, and
/// that it is the one meant.
@safe package final class TLSClientContext: @unchecked Sendable {
    // Sendable: nothing changes after the initialiser but OpenSSL's own reference counts.
    let resources: TLSWorkerResources
    let configuration: TLSClientConfiguration
    /// The client's own certificate, if it has one.
    package let certificate: Certificate?
    /// The name sent as SNI: none where the peer is an IP address.
    let sentServerName: String?
    private let isPeerAddress: Bool
    /// Where sessions to resume are kept; touched on the loop of ``resources`` only.
    let sessions: TLSClientSessions?
    private let context: OpaquePointer

    /// Reads and checks the files and makes the context.
    ///
    /// Takes milliseconds: not on the loop.
    ///
    /// - Parameters:
    ///   - configuration: What its connections are to do.
    ///   - resources: Of the loop they will run on.
    ///   - sessions: Offered for resumption, and filled with what the servers grant; nil resumes none.
    /// - Throws: What is wrong with which file.
    package init(
        _ configuration: TLSClientConfiguration, resources: TLSWorkerResources,
        sessions: TLSClientSessions? = nil
    ) throws(TLSError) {
        if case .identity(let identity) = configuration.peer {
            do {
                _ = try SPIFFEID(identity)
            } catch {
                throw .cryptography(error)
            }
        }
        let alpn = try TLSPolicy.wireForm(of: configuration.alpn)
        let context = unsafe try TLSPolicy.makeContext(
            resources: resources, minimumVersion: configuration.minimumVersion, isServer: false)
        var certificate: Certificate?
        do throws(TLSError) {
            if configuration.rootDigests.isEmpty {
                let roots = configuration.trustRoots ?? Self.systemTrustRoots
                unsafe try TLSPolicy.addTrustRoots(roots, to: context, resources: resources)
            }
            if let files = configuration.identity {
                let identity = try PEMFile.identity(files, resources: resources)
                certificate = try identity.certificate()
                unsafe try TLSPolicy.use(identity, in: context)
            }
            // Zero is success here, unlike elsewhere (SSL_CTX_set_alpn_protos(3)).
            guard unsafe SSL_CTX_set_alpn_protos(context, alpn, UInt32(alpn.count)) == 0 else {
                throw .ofOpenSSL("protocols offered")
            }
            unsafe try TLSPolicy.narrow(context, to: configuration)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        unsafe SSL_CTX_set_cert_verify_callback(context, tlsVerifyPeer, nil)
        if sessions != nil {
            unsafe COpenSSL_SSL_CTX_set_session_cache_client(context)
            unsafe SSL_CTX_sess_set_new_cb(context, tlsSessionMade)
        }
        self.resources = resources
        self.configuration = configuration
        self.certificate = certificate
        self.isPeerAddress = Self.isAddress(configuration.peer)
        self.sentServerName = Self.serverName(of: configuration, isAddress: self.isPeerAddress)
        self.sessions = sessions
        unsafe self.context = context
    }

    deinit {
        unsafe SSL_CTX_free(self.context)
    }

    /// Reads and checks everything a client needs, and keeps nothing.
    ///
    /// - Throws: As the initialiser.
    package static func validate(_ configuration: TLSClientConfiguration) throws(TLSError) {
        _ = try TLSClientContext(configuration, resources: TLSWorkerResources(library: .standard))
    }

    private static func serverName(
        of configuration: TLSClientConfiguration, isAddress: Bool
    ) -> String? {
        guard configuration.serverName == nil, case .dnsName(let name) = configuration.peer else {
            return configuration.serverName
        }
        // An address is never sent as a server name (RFC 6066, 3).
        return isAddress ? nil : name
    }

    private static func isAddress(_ peer: TLSExpectedPeer) -> Bool {
        guard case .dnsName(let name) = peer else { return false }
        guard let address = unsafe a2i_IPADDRESS(name) else {
            OpenSSLErrorQueue.clear()
            return false
        }
        unsafe ASN1_STRING_free(address)
        return true
    }

    /// A new SSL that will accept the configured peer only; nil if memory is short.
    @unsafe func makeSSL() -> OpaquePointer? {
        guard let ssl = unsafe SSL_new(self.context) else { return nil }
        var isSet = true
        if let name = self.sentServerName {
            isSet = unsafe COpenSSL_SSL_set_tlsext_host_name(ssl, name) == 1
        }
        if case .dnsName(let name) = self.configuration.peer, isSet {
            if self.isPeerAddress {
                isSet = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1
            } else {
                unsafe SSL_set_hostflags(
                    ssl,
                    UInt32(
                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
                isSet = unsafe SSL_set1_host(ssl, name) == 1
            }
        }
        guard isSet else {
            unsafe SSL_free(ssl)
            return nil
        }
        unsafe self.sessions?.offer(to: ssl)
        return unsafe ssl
    }

    /// Where Debian's ca-certificates puts all roots in one file.
    private static let systemTrustRoots = "/etc/ssl/certs/ca-certificates.crt"
}
