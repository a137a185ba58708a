internal import COpenSSL

/// The calling thread's OpenSSL error queue.
package enum OpenSSLErrorQueue {
    /// Empties the queue.
    ///
    /// Called before every operation whose failure is read: an old entry
    /// makes `SSL_get_error` report a failure that is not this call's (SSL_get_error(3)).
    package static func clear() {
        // It is all but always empty, and emptying it goes over all of its sixteen places.
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    /// Empties the queue and returns its entries, oldest first, joined by "; ".
    ///
    /// Only OpenSSL's own reason texts: never file contents, keys or peer bytes.
    package static func drain() -> String {
        var reasons: [String] = []
        while case let code = ERR_get_error(), code != 0, reasons.count < 16 {
            if let reason = unsafe ERR_reason_error_string(code) {
                reasons.append(unsafe String(cString: reason))
            } else {
                reasons.append("error \(String(code, radix: 16))")
            }
        }
        return reasons.isEmpty ? "no reason given" : reasons.joined(separator: "; ")
    }
}
