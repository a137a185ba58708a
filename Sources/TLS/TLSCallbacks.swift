internal import COpenSSL

// What OpenSSL calls during handshakes. Each finds its object and calls one method.

/// The connection `ssl` belongs to (set by TLSConnection, cleared before it goes).
@unsafe private func connection(of ssl: OpaquePointer?) -> TLSConnection? {
    guard let ssl = unsafe ssl, let data = unsafe COpenSSL_SSL_get_app_data(ssl) else { return nil }
    return unsafe Unmanaged<TLSConnection>.fromOpaque(data).takeUnretainedValue()
}

/// SSL_CTX_set_client_hello_cb(3): before resumption, so that no ticket skips the choice.
let tlsClientHello: SSL_client_hello_cb_fn = { ssl, alert, argument in
    guard let ssl = unsafe ssl, let argument = unsafe argument,
        let connection = unsafe connection(of: ssl)
    else { return SSL_CLIENT_HELLO_ERROR }
    let context = unsafe Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue()
    if unsafe connection.receiveClientHello(context) { return SSL_CLIENT_HELLO_SUCCESS }
    unsafe alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
    return SSL_CLIENT_HELLO_ERROR
}

/// SSL_CTX_set_alpn_select_cb(3): our order decides; offered without overlap is fatal (RFC 7301, 3.2).
let tlsSelectALPN:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
        UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
    ) -> CInt = { ssl, selected, selectedCount, offered, offeredCount, argument in
        guard let argument = unsafe argument, let selected = unsafe selected,
            let selectedCount = unsafe selectedCount
        else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        let context = unsafe Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue()
        let offer = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
        guard let position = unsafe context.chooseProtocol(offer) else {
            unsafe connection(of: ssl)?.refuseProtocols()
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }
        unsafe selected.pointee = offered.map { unsafe $0 + position + 1 }
        unsafe selectedCount.pointee = offer[position]
        return SSL_TLSEXT_ERR_OK
    }

/// SSL_CTX_set_cert_verify_callback(3): the chain by OpenSSL, then the identity by us.
let tlsVerifyPeer: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = { store, _ in
    guard let store = unsafe store else { return 0 }
    let ssl = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
    guard let connection = unsafe connection(of: ssl.map { OpaquePointer($0) }),
        unsafe connection.trustSentRoot(store)
    else {
        unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
        return 0
    }
    // Whatever is wrong, the peer gets the alert handshake_failure: the reason is for our log alone.
    guard unsafe X509_verify_cert(store) == 1 else {
        unsafe connection.refuseChain(X509_STORE_CTX_get_error(store))
        unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
        return 0
    }
    guard let leaf = unsafe X509_STORE_CTX_get0_cert(store), unsafe connection.acceptsPeer(leaf)
    else {
        unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
        return 0
    }
    return 1
}

/// SSL_CTX_sess_set_new_cb(3): 1 says that the reference is ours now.
let tlsSessionMade: @convention(c) (OpaquePointer?, OpaquePointer?) -> CInt = { ssl, session in
    guard let session = unsafe session, let connection = unsafe connection(of: ssl),
        case .client(let context) = connection.role, let sessions = context.sessions
    else { return 0 }
    unsafe sessions.keep(session)
    return 1
}

/// SSL_CTX_set_session_ticket_cb(3): notes in a new ticket whom it was made for.
let tlsTicketMade: SSL_CTX_generate_session_ticket_fn = { ssl, _ in
    guard let connection = unsafe connection(of: ssl) else { return 0 }
    return unsafe connection.labelTicket() ? 1 : 0
}

/// SSL_CTX_set_session_ticket_cb(3): a ticket made for another name means a full handshake.
///
/// TLS 1.3 gets a new ticket with each resumption: one used twice lets an observer link the two
/// (RFC 8446, C.4). It also acknowledges the client's Finished; without it, a client that holds back
/// small writes until the last is acknowledged would wait 40 ms with its request (RFC 1122, 4.2.3.2).
let tlsTicketOpened: SSL_CTX_decrypt_session_ticket_fn = { ssl, session, _, _, status, _ in
    switch status {
    case SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW:
        guard let session = unsafe session, let connection = unsafe connection(of: ssl),
            unsafe connection.acceptsTicket(session)
        else { return SSL_TICKET_RETURN_IGNORE_RENEW }
        let isRenewed =
            unsafe status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION
        return isRenewed ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE
    default:
        return SSL_TICKET_RETURN_IGNORE_RENEW
    }
}

/// SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
let tlsTicketKey:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, OpaquePointer?,
        OpaquePointer?, CInt
    ) -> CInt = { ssl, name, initialisationVector, cipher, authenticator, isSealing in
        guard let connection = unsafe connection(of: ssl), let name = unsafe name,
            let vector = unsafe initialisationVector, let cipher = unsafe cipher,
            let authenticator = unsafe authenticator
        else { return -1 }
        return isSealing == 1
            ? unsafe connection.sealTicket(name, vector, cipher, authenticator)
            : unsafe connection.openTicket(name, vector, cipher, authenticator)
    }
