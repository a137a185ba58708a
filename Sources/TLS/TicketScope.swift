internal import COpenSSL
internal import Cryptography

/// What a session ticket is good for: one policy of one listener, and one server name.
enum TicketScope {
    /// 2 h: a client of ours comes back within minutes or starts anew.
    static let lifetimeSeconds = 7_200

    /// Digest of everything that decides who is let in, as the session id context
    /// (SSL_CTX_set_session_id_context(3): at most 32 bytes).
    ///
    /// A ticket of another listener, or of other certificate names has another
    /// one, and OpenSSL then does a full handshake.
    @unsafe static func identifier(
        _ configuration: TLSServerConfiguration, names: [String], resources: TLSWorkerResources
    ) throws(TLSError) -> [UInt8] {
        var bytes =
            Array(configuration.listener.utf8) + [0, configuration.clientAuthentication.rawValue]
        bytes.append(configuration.purpose == .internal ? 1 : 0)
        bytes.append(configuration.minimumVersion == .tls13 ? 1 : 0)
        for name in names + configuration.alpn { bytes += Array(name.utf8) + [0] }
        return unsafe try self.digest(bytes, resources: resources)
    }

    /// SHA-256 of `bytes`.
    @unsafe static func digest(
        _ bytes: [UInt8], resources: TLSWorkerResources
    ) throws(TLSError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        let answer = unsafe EVP_Q_digest(
            resources.libraryHandle, "SHA256", nil, bytes, bytes.count, &digest, nil)
        guard answer == 1 else { throw .ofOpenSSL("SHA-256") }
        return digest
    }
}
