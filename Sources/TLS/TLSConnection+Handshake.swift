internal import COpenSSL
internal import Cryptography

extension TLSConnection {
    /// Takes the server name from a complete ClientHello and chooses the certificates; false if none
    /// covers the name.
    @unsafe func receiveClientHello(_ context: TLSServerContext) -> Bool {
        self.hasClientHello = true
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        guard
            unsafe SSL_client_hello_get0_ext(
                self.ssl, UInt32(TLSEXT_TYPE_server_name), &bytes, &count) == 1
        else { return true }
        let name = unsafe Self.serverName(in: UnsafeBufferPointer(start: bytes, count: count))
        guard let name else {
            self.refusal = .unknownServerName("")
            return false
        }
        // wrk and others send the address they connect to, which RFC 6066, 3 forbids: as if they had
        // sent no name, the default certificate answers.
        if Self.isAddress(name) { return true }
        self.serverName = name
        guard unsafe context.select(name, for: self.ssl) else {
            self.refusal = .unknownServerName(name)
            return false
        }
        return true
    }

    /// The one host name in a server_name extension, in lower case, without a trailing dot
    /// (RFC 6066, 3: list length, type 0, name length, name).
    @unsafe private static func serverName(in bytes: UnsafeBufferPointer<UInt8>) -> String? {
        guard bytes.count > 5, unsafe Int(bytes[0]) << 8 | Int(bytes[1]) == bytes.count - 2,
            unsafe bytes[2] == 0, unsafe Int(bytes[3]) << 8 | Int(bytes[4]) == bytes.count - 5,
            bytes.count - 5 <= 255
        else { return nil }
        var name: [UInt8] = []
        for position in 5..<bytes.count {
            let byte = unsafe bytes[position]
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): name.append(byte | 0x20)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"):
                name.append(byte)
            default: return nil
            }
        }
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        return name.isEmpty ? nil : String(decoding: name, as: UTF8.self)
    }

    /// Whether `name` is an IP address: no DNS name has a colon, or digits only as its last label.
    private static func isAddress(_ name: String) -> Bool {
        name.contains(":")
            || name.utf8.reversed().prefix { $0 != UInt8(ascii: ".") }
                .allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    /// Notes that the client offered only protocols we do not speak.
    func refuseProtocols() {
        self.refusal = .noApplicationProtocol
    }

    /// Makes a root that the server sent along the trust root, if that is one of those expected.
    ///
    /// A client that knows no more of the trust domain than a root's digest learns the root itself
    /// in this way; nothing else is trusted then.
    ///
    /// - Returns: False if a root is expected and none of those was sent.
    @unsafe func trustSentRoot(_ store: OpaquePointer) -> Bool {
        guard case .client(let context) = self.role,
            case let digests = context.configuration.rootDigests, !digests.isEmpty
        else { return true }
        let sent = unsafe X509_STORE_CTX_get0_untrusted(store)
        for index in 0..<max(0, unsafe COpenSSL_sk_X509_num(sent)) {
            guard let certificate = unsafe COpenSSL_sk_X509_value(sent, index),
                let bytes = unsafe PeerCertificate.digest(of: certificate),
                digests.contains(bytes), let trusted = unsafe COpenSSL_sk_X509_new_null()
            else { continue }
            unsafe X509_up_ref(certificate)
            unsafe COpenSSL_sk_X509_push(trusted, certificate)
            unsafe X509_STORE_CTX_set0_trusted_stack(store, trusted)
            unsafe self.sentRoot = trusted
            return true
        }
        self.refusal = .rootUnexpected
        return false
    }

    /// Notes why a chain does not verify: one of OpenSSL's X509_V_ERR codes.
    func refuseChain(_ code: CInt) {
        if case .client(let context) = self.role,
            case .dnsName(let name) = context.configuration.peer,
            code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH
        {
            self.refusal = .peerIdentityRefused(presented: nil, expected: name)
        } else {
            self.refusal = unsafe .peerCertificateRefused(
                reason: String(cString: X509_verify_cert_error_string(Int(code))))
        }
    }

    /// Whether a leaf whose chain has verified belongs to somebody we talk to.
    @unsafe func acceptsPeer(_ leaf: OpaquePointer) -> Bool {
        let identity = unsafe PeerCertificate.identity(of: leaf)
        let denied = self.resources.deniedPeers
        if !denied.isEmpty {
            var names = [unsafe PeerCertificate.serial(of: leaf)]
            if case .spiffe(let text) = identity { names.append(text) }
            if let name = names.first(where: denied.contains) {
                self.refusal = .peerDenied(name)
                return false
            }
        }
        switch self.role {
        case .server(let context):
            return self.acceptsClient(
                identity, isInternal: context.configuration.purpose == .internal)
        case .client(let context):
            guard case .identity(let expected) = context.configuration.peer else {
                if case .spiffe(let text) = identity { self.peerIdentity = text }
                return true
            }
            switch identity {
            case .spiffe(expected):
                self.peerIdentity = expected
                return true
            case .spiffe(let other):
                self.refusal = .peerIdentityRefused(presented: other, expected: expected)
            case .none:
                self.refusal = .peerIdentityRefused(presented: nil, expected: expected)
            case .refused(let reason):
                self.refusal = .peerCertificateRefused(reason: reason.rawValue)
            }
            return false
        }
    }

    private func acceptsClient(_ identity: PeerCertificate.Identity, isInternal: Bool) -> Bool {
        switch identity {
        case .spiffe(let text):
            self.peerIdentity = text
            return true
        case .none where !isInternal:
            return true
        case .refused(.malformedIdentity) where !isInternal:
            // Somebody else's kind of URI: a valid certificate without an identity of ours.
            return true
        case .none:
            self.refusal = .peerCertificateRefused(
                reason: PeerCertificate.Refusal.noIdentity.rawValue)
        case .refused(let reason):
            self.refusal = .peerCertificateRefused(reason: reason.rawValue)
        }
        return false
    }

    /// What the handshake agreed on.
    ///
    /// Nil for a suite that is none of ours, which cannot be.
    func session(handshakeNanoseconds: Int64) -> TLSSessionInfo? {
        guard let cipher = unsafe SSL_get_current_cipher(self.ssl),
            let suite = TLSCipher(suite: unsafe SSL_CIPHER_get_protocol_id(cipher))
        else { return nil }
        var peer: TLSPeer?
        if let leaf = unsafe SSL_get0_peer_certificate(self.ssl) {
            peer = unsafe TLSPeer(
                identity: self.peerIdentity, serial: PeerCertificate.serial(of: leaf),
                subject: PeerCertificate.subject(of: leaf), certificate: PEMFile.der(of: leaf),
                notAfter: PeerCertificate.notAfter(of: leaf))
        }
        return TLSSessionInfo(
            version: unsafe SSL_version(self.ssl) == TLS1_3_VERSION ? .tls13 : .tls12,
            cipher: suite, group: self.group, alpn: self.negotiatedProtocol,
            serverName: self.serverName, isResumed: unsafe SSL_session_reused(self.ssl) == 1,
            peer: peer, handshakeNanoseconds: handshakeNanoseconds)
    }

    private var group: TLSGroup? {
        switch unsafe COpenSSL_SSL_get_negotiated_group(self.ssl) {
        case NID_X25519: .x25519
        case NID_X9_62_prime256v1: .p256
        case NID_secp384r1: .p384
        default: nil
        }
    }

    private var negotiatedProtocol: String? {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(self.ssl, &bytes, &count)
        guard let bytes = unsafe bytes, count > 0 else { return nil }
        return unsafe String(
            decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    /// Why the handshake failed; empties the error queue.
    func handshakeError() -> TLSError {
        let reason = OpenSSLErrorQueue.drain()
        if let refusal = self.refusal { return refusal }
        let transport = unsafe self.resources.transport.pointee
        if unsafe transport.alert_sent == Self.certificateRequired {
            return .peerCertificateRefused(reason: "no certificate presented")
        }
        let alert = unsafe max(transport.alert_received, transport.alert_sent)
        return .handshakeFailed(reason: reason, alert: UInt8(exactly: alert))
    }

    /// Alert 116: RFC 8446, 6.2.
    private static let certificateRequired: CInt = 116

    /// Why a record was refused; empties the error queue.
    func recordError() -> TLSError {
        let reason = OpenSSLErrorQueue.drain()
        let alert = unsafe self.resources.transport.pointee.alert_received
        return UInt8(exactly: alert).map { .alertReceived($0) } ?? .recordRefused(reason: reason)
    }
}
