internal import COpenSSL
internal import Cryptography

/// The settings all our contexts share, server and client (Mozilla's intermediate configuration).
///
/// There is no key log: `SSLKEYLOGFILE` has no effect, whoever sets it.
enum TLSPolicy {
    /// Makes an SSL_CTX of `resources` with everything that does not depend on the role.
    ///
    /// Verification is on with strict rules; `isServer` picks the purpose the peer must have.
    @unsafe static func makeContext(
        resources: TLSWorkerResources, minimumVersion: TLSMinimumVersion, isServer: Bool
    ) throws(TLSError) -> OpaquePointer {
        OpenSSLErrorQueue.clear()
        guard
            let context = unsafe SSL_CTX_new_ex(
                resources.libraryHandle,
                resources.keySchedule == nil ? nil : KeySchedule.properties, TLS_method())
        else { throw .ofOpenSSL("TLS context") }
        do throws(TLSError) {
            unsafe try self.restrict(context, minimumVersion: minimumVersion)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        unsafe COpenSSL_SSL_CTX_set_mode(
            context,
            Int(SSL_MODE_RELEASE_BUFFERS) | Int(SSL_MODE_ENABLE_PARTIAL_WRITE)
                | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) | Int(SSL_MODE_AUTO_RETRY)
                // The chain is what its file has. OpenSSL would look for more among the trust roots,
                // verifying our own certificate in each handshake.
                | Int(SSL_MODE_NO_AUTO_CHAIN))
        unsafe COpenSSL_SSL_CTX_set_session_cache_off(context)
        unsafe COpenSSL_SSL_CTX_set_max_cert_list(context, self.maximumChainBytes)
        unsafe SSL_CTX_set_max_early_data(context, 0)
        unsafe SSL_CTX_set_recv_max_early_data(context, 0)
        unsafe COpenSSL_SSL_CTX_set_observer(context, resources.transport)
        let parameters = unsafe SSL_CTX_get0_param(context)
        unsafe X509_VERIFY_PARAM_set_flags(
            parameters, UInt(X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN))
        unsafe X509_VERIFY_PARAM_set_depth(parameters, self.maximumDepth)
        unsafe X509_VERIFY_PARAM_set_purpose(
            parameters, isServer ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER)
        return unsafe context
    }

    @unsafe private static func restrict(
        _ context: OpaquePointer, minimumVersion: TLSMinimumVersion
    ) throws(TLSError) {
        let minimum = minimumVersion == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
        guard unsafe COpenSSL_SSL_CTX_set_proto_versions(context, minimum, TLS1_3_VERSION) == 1
        else { throw .ofOpenSSL("TLS versions") }
        guard unsafe SSL_CTX_set_ciphersuites(context, self.suitesOfTLS13) == 1 else {
            throw .ofOpenSSL("cipher suites of TLS 1.3")
        }
        guard unsafe SSL_CTX_set_cipher_list(context, self.suitesOfTLS12) == 1 else {
            throw .ofOpenSSL("cipher suites of TLS 1.2")
        }
        guard unsafe COpenSSL_SSL_CTX_set1_groups_list(context, self.groups) == 1 else {
            throw .ofOpenSSL("groups")
        }
        guard unsafe COpenSSL_SSL_CTX_set1_sigalgs_list(context, self.signatures) == 1 else {
            throw .ofOpenSSL("signature algorithms")
        }
        unsafe SSL_CTX_clear_options(context, self.unwantedOptions)
        unsafe SSL_CTX_set_options(context, self.options)
    }

    /// Offers no more than `configuration` asks for, which is a part of what we speak.
    @unsafe static func narrow(
        _ context: OpaquePointer, to configuration: TLSClientConfiguration
    ) throws(TLSError) {
        if case .tls12 = configuration.maximumVersion {
            guard
                unsafe COpenSSL_SSL_CTX_set_proto_versions(
                    context, TLS1_2_VERSION, TLS1_2_VERSION) == 1
            else { throw .ofOpenSSL("TLS versions") }
        }
        if let suites = configuration.cipherSuites {
            let (least, most) = (configuration.minimumVersion, configuration.maximumVersion)
            // Otherwise the suites, by which the versions are set below, would go before these.
            guard suites.contains(where: { $0.isOfTLS13 ? most == .tls13 : least == .tls12 }) else {
                throw .configurationIncomplete("no cipher suite is of a version that is offered")
            }
            let modern = suites.filter(\.isOfTLS13).map(\.name).joined(separator: ":")
            let older = suites.filter { !$0.isOfTLS13 }.map(\.name).joined(separator: ":")
            // An empty list of TLS 1.3 offers none; of TLS 1.2 it would be an error.
            guard unsafe SSL_CTX_set_ciphersuites(context, modern) == 1,
                unsafe older.isEmpty || SSL_CTX_set_cipher_list(context, older) == 1
            else { throw .ofOpenSSL("cipher suites") }
            let minimum = older.isEmpty ? TLS1_3_VERSION : TLS1_2_VERSION
            let maximum = modern.isEmpty ? TLS1_2_VERSION : TLS1_3_VERSION
            let isPart = older.isEmpty || modern.isEmpty
            guard
                unsafe !isPart
                    || COpenSSL_SSL_CTX_set_proto_versions(context, minimum, maximum) == 1
            else { throw .ofOpenSSL("TLS versions") }
        }
        if let groups = configuration.groups {
            let names = groups.map(\.name).joined(separator: ":")
            guard unsafe COpenSSL_SSL_CTX_set1_groups_list(context, names) == 1 else {
                throw .ofOpenSSL("groups")
            }
        }
    }

    /// Adds the certificates of a PEM file as trust roots.
    ///
    /// Read now rather than looked up by hash in a folder: no file is touched in a handshake.
    @unsafe static func addTrustRoots(
        _ path: String, to context: OpaquePointer, resources: TLSWorkerResources
    ) throws(TLSError) {
        let roots = unsafe try PEMFile.certificates(path, resources: resources)
        defer { unsafe PEMFile.free(roots) }
        let store = unsafe SSL_CTX_get_cert_store(context)
        for position in 0..<(unsafe roots.count) {
            guard unsafe X509_STORE_add_cert(store, roots[position]) == 1 else {
                throw .ofOpenSSL("trust roots of \(path)")
            }
        }
    }

    /// Refuses what the revocation lists of a PEM file name, and what none of them vouches for: each
    /// authority in a chain needs a list that is not out of date (RFC 5280, 6.3).
    @unsafe static func addRevocationLists(
        _ path: String, to context: OpaquePointer
    ) throws(TLSError) {
        let store = unsafe SSL_CTX_get_cert_store(context)
        do throws(CryptographyError) {
            let pem = try WholeFile.read(path, maximum: RevocationList.maximumFileBytes)
            try RevocationList.each(pem: pem) { list throws(CryptographyError) in
                unsafe try list.add(to: store)
            }
        } catch .malformed(let reason) {
            throw .certificateMalformed(path: path, reason: reason)
        } catch {
            throw .cryptography(error)
        }
        unsafe X509_VERIFY_PARAM_set_flags(
            SSL_CTX_get0_param(context),
            UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
    }

    /// Lets `context` prove itself with `identity`.
    @unsafe static func use(
        _ identity: borrowing PEMFile.Identity, in context: OpaquePointer
    ) throws(TLSError) {
        OpenSSLErrorQueue.clear()
        let answer = unsafe SSL_CTX_use_cert_and_key(
            context, identity.leaf, identity.key, identity.intermediates, 1)
        guard answer == 1 else { throw .ofOpenSSL("certificate and key") }
    }

    /// Protocol names as ALPN has them on the wire: each with its length before it (RFC 7301, 3.1).
    static func wireForm(of protocols: [String]) throws(TLSError) -> [UInt8] {
        var bytes: [UInt8] = []
        for name in protocols {
            guard let count = UInt8(exactly: name.utf8.count), count > 0 else {
                throw .configurationIncomplete("protocol names have 1 to 255 bytes")
            }
            bytes.append(count)
            bytes.append(contentsOf: name.utf8)
        }
        return bytes
    }

    private static let suitesOfTLS13 =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    private static let suitesOfTLS12 =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        + "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        + "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    /// X25519MLKEM768 would come first; OpenSSL has it from 3.5.
    private static let groups = "X25519:P-256:P-384"
    private static let signatures =
        "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384:"
        + "rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256"
    private static let options =
        bit(17)  // SSL_OP_NO_COMPRESSION
        | bit(30)  // SSL_OP_NO_RENEGOTIATION
        | bit(22)  // SSL_OP_CIPHER_SERVER_PREFERENCE
        | bit(21)  // SSL_OP_PRIORITIZE_CHACHA
    /// A connection cut short must be an error, and old renegotiation is none we offer.
    private static let unwantedOptions =
        bit(7)  // SSL_OP_IGNORE_UNEXPECTED_EOF
        | bit(2)  // SSL_OP_LEGACY_SERVER_CONNECT
        | bit(18)  // SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION

    // The SSL_OP_* macros are expressions Swift does not import; the numbers are the ABI's.
    private static func bit(_ number: UInt64) -> UInt64 { 1 << number }

    /// 16 KiB: a chain of our own has three certificates of 1 KiB.
    private static let maximumChainBytes = 16_384
    /// Certificates between the leaf and the root.
    private static let maximumDepth: CInt = 3
}
