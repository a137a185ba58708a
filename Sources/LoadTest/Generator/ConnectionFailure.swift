internal import NIOCore
internal import NIOPosix
internal import TLS

/// What keeps a connection from being, in words.
enum ConnectionFailure {
    /// One line, without an address: the same failure has the same text.
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as TLSError: "TLS: " + self.text(error)
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { self.text($0.error) }
                ?? "the name \(error.host) cannot be resolved"
        case let error as IOError: SystemError.text(error.errnoCode)
        case ChannelError.connectTimeout: "connecting took too long"
        case ChannelError.eof, ChannelError.ioOnClosedChannel:
            "the connection ended before it was of use"
        default: "\(error)"
        }
    }

    private static func text(_ error: TLSError) -> String {
        switch error {
        case .handshakeFailed(let reason, let alert?):
            "the handshake failed with alert \(TLSAlert.name(alert)): \(reason)"
        case .alertReceived(let alert): "the server sent alert \(TLSAlert.name(alert))"
        default: "\(error)"
        }
    }
}

/// Alerts of TLS by their names (RFC 8446, 6, and RFC 5246, 7.2).
enum TLSAlert {
    /// `certificate_unknown (46)`; the number alone for one without a name here.
    static func name(_ number: UInt8) -> String {
        self.names[number].map { "\($0) (\(number))" } ?? "\(number)"
    }

    private static let names: [UInt8: String] = [
        0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
        40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
        44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
        47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
        51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
        80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
        100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension",
        112: "unrecognized_name", 113: "bad_certificate_status_response",
        115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
    ]
}
