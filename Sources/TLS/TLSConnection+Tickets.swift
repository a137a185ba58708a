internal import COpenSSL

extension TLSConnection {
    /// Notes in a new ticket the server name it was made under.
    @unsafe func labelTicket() -> Bool {
        let name = Array((self.serverName ?? "").utf8)
        return unsafe SSL_SESSION_set1_ticket_appdata(SSL_get_session(self.ssl), name, name.count)
            == 1
    }

    /// Whether a ticket was made under the server name of this connection.
    @unsafe func acceptsTicket(_ session: OpaquePointer) -> Bool {
        var data: UnsafeMutableRawPointer?
        var count = 0
        guard unsafe SSL_SESSION_get0_ticket_appdata(session, &data, &count) == 1 else {
            return false
        }
        let name = unsafe UnsafeRawBufferPointer(start: data, count: count)
        return unsafe name.elementsEqual((self.serverName ?? "").utf8)
    }

    /// Prepares OpenSSL's contexts to seal a ticket with the present key; 1 is done, -1 failed.
    @unsafe func sealTicket(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer, _ authenticator: OpaquePointer
    ) -> CInt {
        guard case .server(let context) = self.role else { return -1 }
        var key = context.ticketKeys.current()
        defer { key.cleanse() }
        unsafe UnsafeMutableRawPointer(name).copyMemory(
            from: withUnsafeBytes(of: key.name) { unsafe Array($0) }, byteCount: Self.nameBytes)
        guard unsafe RAND_bytes_ex(self.resources.libraryHandle, vector, Self.vectorBytes, 0) == 1,
            unsafe self.prepare(cipher, authenticator, key, vector, isSealing: true)
        else { return -1 }
        return 1
    }

    /// Prepares OpenSSL's contexts to open a ticket; 1 is done, 2 done and to be renewed, 0 unknown
    /// key, which means a full handshake.
    @unsafe func openTicket(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer, _ authenticator: OpaquePointer
    ) -> CInt {
        guard case .server(let context) = self.role else { return -1 }
        let raw = UnsafeRawPointer(name)
        let sought = unsafe (
            raw.loadUnaligned(as: UInt64.self),
            raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        )
        guard var found = context.ticketKeys.find(name: sought) else { return 0 }
        defer { found.key.cleanse() }
        guard unsafe self.prepare(cipher, authenticator, found.key, vector, isSealing: false) else {
            return -1
        }
        return found.isCurrent ? 1 : 2
    }

    @unsafe private func prepare(
        _ cipher: OpaquePointer, _ authenticator: OpaquePointer, _ key: TLSTicketKeys.Key,
        _ vector: UnsafeMutablePointer<UInt8>, isSealing: Bool
    ) -> Bool {
        var key = key
        defer { key.cleanse() }
        let hasCipher = unsafe withUnsafeBytes(of: key.encryption) { bytes in
            unsafe EVP_CipherInit_ex2(
                cipher, self.resources.ticketCipher,
                bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), vector, isSealing ? 1 : 0,
                nil)
        }
        let hasAuthenticator = unsafe withUnsafeBytes(of: key.authentication) { bytes in
            unsafe COpenSSL_HMAC_init(
                authenticator, "SHA256", bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
                bytes.count)
        }
        return hasCipher == 1 && hasAuthenticator == 1
    }

    private static let nameBytes = 16
    private static let vectorBytes: Int = 16
}
