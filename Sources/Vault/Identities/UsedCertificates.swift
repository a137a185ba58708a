internal import Cryptography

/// The certificates whose first use the state knows of, so that their further uses cost nothing.
struct UsedCertificates {
    /// When each ends, Unix time in seconds, by serial number.
    private var ends: [String: Int64] = [:]

    func contains(_ certificate: Certificate) -> Bool {
        self.ends[certificate.serial] != nil
    }

    /// Adds one; `now` is Unix time in seconds.
    mutating func insert(_ certificate: Certificate, now: Int64) {
        if self.ends.count >= Self.maximum {
            self.ends = self.ends.filter { $0.value >= now }
            // What is forgotten is looked up once more.
            if self.ends.count >= Self.maximum { self.ends.removeAll() }
        }
        self.ends[certificate.serial] = certificate.notAfter
    }

    /// 4,096 certificates, half a megabyte: of an hour each, those of two thousand services.
    private static let maximum = 4096
}
