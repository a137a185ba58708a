package import Cryptography
internal import Foundation
internal import GRDB

extension StateStore {
    /// Keeps a new join token.
    ///
    /// - Throws: `.database`.
    package func insertJoinToken(
        _ token: JoinTokenRecord, actor: String
    ) throws(StateError) {
        try StateError.wrapping("making a join token") {
            try self.queue.write { database in
                try database.execute(
                    sql: "DELETE FROM join_token WHERE expires_ms < ?",
                    arguments: [token.createdMilliseconds - Self.tokenMemoryMilliseconds])
                try database.execute(
                    sql: """
                        INSERT INTO join_token (digest, identity, dns_names, created_ms, expires_ms)
                        VALUES (?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        Data(token.digest.bytes), token.identity.text,
                        token.dnsNames.joined(separator: " "), token.createdMilliseconds,
                        token.expiresMilliseconds,
                    ])
                try Self.audit(
                    database, time: token.createdMilliseconds, actor: actor,
                    action: "join token made", subject: token.identity.text,
                    detail: "DNS names: \(token.dnsNames.joined(separator: " "))")
            }
        }
    }

    /// Uses up a join token and keeps the certificate issued for it, in one transaction.
    ///
    /// The same request within a minute gets the same certificate: an answer that was lost does not
    /// cost the token.
    ///
    /// - Parameters:
    ///   - token: SHA-256 of the token.
    ///   - identity: What the requester says it is.
    ///   - request: SHA-256 of its certificate request.
    ///   - now: Milliseconds of Unix time.
    ///   - actor: Who asks, for the audit.
    ///   - issue: Issues the certificate to an identity with these DNS names.
    /// - Returns: The certificate, or why there is none; nothing has changed then.
    /// - Throws: `.database`, and what `issue` throws.
    package func join(
        token: Digest32, identity: SPIFFEID, request: Digest32, now: Int64, actor: String,
        issue: (SPIFFEID, [String]) throws(StateError) -> IssuedCertificate
    ) throws(StateError) -> Result<IssuedCertificate, IdentityRefusal> {
        try self.issuing { database in
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM join_token WHERE digest = ?",
                arguments: [Data(token.bytes)])
            guard let row else { throw IdentityRefusal.tokenUnknown }
            guard row["identity"] == identity.text else { throw IdentityRefusal.identityMismatch }
            try Self.checkDenied(database, identity: identity.text, serial: nil)
            if let serial: String = row["serial"] {
                guard let issued = try IssuedCertificate.one(database, serial: serial),
                    issued.isAnswer(to: request, now: now)
                else { throw IdentityRefusal.tokenUsed }
                return issued
            }
            let expires: Int64 = row["expires_ms"]
            guard now < expires else { throw IdentityRefusal.tokenExpired }
            let names: String = row["dns_names"]
            let issued = try issue(identity, names.split(separator: " ").map(String.init))
            try issued.insert(database, actor: actor, action: "joined")
            try database.execute(
                sql: "UPDATE join_token SET serial = ? WHERE digest = ?",
                arguments: [issued.serial, Data(token.bytes)])
            return issued
        }
    }

    /// Keeps the certificate issued in the place of another, in one transaction.
    ///
    /// The same request within a minute gets the same certificate.
    ///
    /// - Parameters:
    ///   - serial: Of the certificate that the requester has proved to have.
    ///   - identity: Whose it is.
    ///   - request: SHA-256 of its certificate request.
    ///   - now: Milliseconds of Unix time.
    ///   - actor: Who asks, for the audit.
    ///   - check: Throws why the present certificate is not good enough.
    ///   - issue: Issues the certificate that takes the place of the one it is given.
    /// - Returns: The certificate, or why there is none; nothing has changed then.
    /// - Throws: `.database`, and what `issue` throws.
    package func renew(
        serial: String, identity: String, request: Digest32, now: Int64, actor: String,
        check: (IssuedCertificate) throws(IdentityRefusal) -> Void = { _ in },
        issue: (IssuedCertificate) throws(StateError) -> IssuedCertificate
    ) throws(StateError) -> Result<IssuedCertificate, IdentityRefusal> {
        try self.issuing { database in
            try Self.checkDenied(database, identity: identity, serial: serial)
            guard let present = try IssuedCertificate.one(database, serial: serial),
                present.identity == identity
            else { throw IdentityRefusal.certificateUnknown }
            // Its owner has the one after it: whoever comes with this one found it in a backup, or took it.
            guard !present.isSuperseded else { throw IdentityRefusal.certificateSuperseded }
            try check(present)
            let former = try IssuedCertificate.one(
                database, successorOf: serial, request: request)
            if let former, former.isAnswer(to: request, now: now) { return former }
            let issued = try issue(present)
            try issued.insert(database, actor: actor, action: "renewed")
            // The present one was used: whoever still has the key before it, or another that was
            // issued for that, gets nothing for it.
            try Self.supersede(database, by: present)
            return issued
        }
    }

    /// Notes that a certificate was used: the one whose place it took is good for no other any more, and
    /// neither are the others that were issued in that place.
    ///
    /// Writes at the first use of each only. One that is superseded itself changes nothing: whoever has
    /// it came second.
    package func noteUse(ofCertificate serial: String) throws(StateError) {
        try StateError.wrapping("noting the use of a certificate") {
            let isFirst = try self.queue.read { database in
                guard let used = try IssuedCertificate.one(database, serial: serial),
                    !used.isSuperseded, let predecessor = used.predecessor
                else { return false }
                return try Bool.fetchOne(
                    database,
                    sql: """
                        SELECT EXISTS (SELECT 1 FROM issued_certificate WHERE \(Self.superseding))
                        """,
                    arguments: [serial, predecessor]) ?? false
            }
            guard isFirst else { return }
            try self.queue.write { database in
                // Read again: another may have been used meanwhile.
                guard let used = try IssuedCertificate.one(database, serial: serial) else { return }
                try Self.supersede(database, by: used)
            }
        }
    }

    /// Notes that somebody was issued nothing.
    ///
    /// - Parameters:
    ///   - action: `join`, `renew` or `rejoin`.
    ///   - subject: The identity it was asked for.
    ///   - detail: Why.
    ///   - now: Milliseconds of Unix time.
    ///   - actor: Who asked, as far as that is known.
    /// - Throws: `.database`.
    package func auditRefusal(
        _ action: String, of subject: String, detail: String, now: Int64, actor: String
    ) throws(StateError) {
        try StateError.wrapping("writing the audit") {
            try self.queue.write { database in
                try Self.audit(
                    database, time: now, actor: actor, action: action, subject: subject,
                    detail: detail)
                try Self.trimAudit(database)
            }
        }
    }

    /// The certificate with this serial number; nil if none is known.
    package func issuedCertificate(serial: String) throws(StateError) -> IssuedCertificate? {
        try StateError.wrapping("reading certificates") {
            try self.queue.read { try IssuedCertificate.one($0, serial: serial) }
        }
    }

    /// The certificates issued whose validity ends at `time` or later, milliseconds of Unix time; the
    /// newest first, at most 10,000.
    package func issuedCertificates(validAt time: Int64) throws(StateError) -> [IssuedCertificate] {
        try StateError.wrapping("reading certificates") {
            try self.queue.read { database in
                try Row.fetchAll(
                    database,
                    sql: """
                        SELECT * FROM issued_certificate WHERE not_after_ms >= ?
                        ORDER BY issued_ms DESC LIMIT 10000
                        """, arguments: [time]
                ).map { IssuedCertificate($0) }
            }
        }
    }

    /// For how long, in milliseconds, that certificate was issued which was issued for longest of those
    /// whose validity ends at `time` or later, milliseconds of Unix time; nil if there is none.
    package func longestLife(ofCertificatesValidAt time: Int64) throws(StateError) -> Int64? {
        try StateError.wrapping("reading certificates") {
            try self.queue.read { database in
                try Int64.fetchOne(
                    database,
                    sql: """
                        SELECT max(not_after_ms - issued_ms) FROM issued_certificate
                        WHERE not_after_ms >= ?
                        """, arguments: [time])
            }
        }
    }

    /// Forgets certificates whose validity ended before `time`, milliseconds of Unix time.
    package func forgetCertificates(endedBefore time: Int64) throws(StateError) {
        try StateError.wrapping("forgetting certificates") {
            try self.queue.write { database in
                try database.execute(
                    sql: "DELETE FROM issued_certificate WHERE not_after_ms < ?", arguments: [time])
            }
        }
    }

    /// What `used` supersedes as long as it is not superseded itself: the certificate whose place it took,
    /// and the others in that place; nothing of them that is superseded already.
    private static let superseding =
        "is_superseded = 0 AND serial != ?1 AND (serial = ?2 OR predecessor = ?2)"

    private static func supersede(_ database: Database, by used: IssuedCertificate) throws {
        guard !used.isSuperseded, let predecessor = used.predecessor else { return }
        try database.execute(
            sql: "UPDATE issued_certificate SET is_superseded = 1 WHERE \(self.superseding)",
            arguments: [used.serial, predecessor])
    }

    /// Runs `body` in a transaction that is undone where it refuses.
    private func issuing(
        _ body: (Database) throws -> IssuedCertificate
    ) throws(StateError) -> Result<IssuedCertificate, IdentityRefusal> {
        try StateError.wrapping("issuing a certificate") {
            do {
                return .success(try self.queue.write { try body($0) })
            } catch let refusal as IdentityRefusal {
                return .failure(refusal)
            }
        }
    }

    private static func checkDenied(
        _ database: Database, identity: String, serial: String?
    ) throws {
        let denied = try Bool.fetchOne(
            database, sql: "SELECT EXISTS (SELECT 1 FROM denied_peer WHERE subject IN (?, ?))",
            arguments: [identity, serial])
        if denied == true { throw IdentityRefusal.denied }
    }

    /// One day: how long it can be told that a token was used, or has expired.
    private static let tokenMemoryMilliseconds: Int64 = 86_400_000
}

extension IssuedCertificate {
    fileprivate init(_ row: Row) {
        let names: String = row["dns_names"]
        let digest: Data = row["request_digest"]
        self.init(
            serial: row["serial"], identity: row["identity"],
            dnsNames: names.split(separator: " ").map(String.init),
            requestDigest: [UInt8](digest), chain: row["chain"],
            issuedMilliseconds: row["issued_ms"], notAfterMilliseconds: row["not_after_ms"],
            predecessor: row["predecessor"], isSuperseded: row["is_superseded"])
    }

    fileprivate static func one(_ database: Database, serial: String) throws -> IssuedCertificate? {
        try Row.fetchOne(
            database, sql: "SELECT * FROM issued_certificate WHERE serial = ?", arguments: [serial]
        ).map { IssuedCertificate($0) }
    }

    fileprivate static func one(
        _ database: Database, successorOf serial: String, request: Digest32
    ) throws -> IssuedCertificate? {
        try Row.fetchOne(
            database,
            sql: """
                SELECT * FROM issued_certificate WHERE request_digest = ? AND predecessor = ?
                ORDER BY issued_ms DESC
                """, arguments: [Data(request.bytes), serial]
        ).map { IssuedCertificate($0) }
    }

    /// Whether it is what `request` got within the last minute.
    fileprivate func isAnswer(to request: Digest32, now: Int64) -> Bool {
        self.requestDigest == request.bytes
            && now - self.issuedMilliseconds <= Self.repetitionMilliseconds
    }

    fileprivate func insert(_ database: Database, actor: String, action: String) throws {
        try database.execute(
            sql: """
                INSERT INTO issued_certificate
                    (serial, identity, dns_names, request_digest, chain, issued_ms, not_after_ms,
                     predecessor)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                self.serial, self.identity, self.dnsNames.joined(separator: " "),
                Data(self.requestDigest), self.chain, self.issuedMilliseconds,
                self.notAfterMilliseconds, self.predecessor,
            ])
        try StateStore.audit(
            database, time: self.issuedMilliseconds, actor: actor, action: "identity \(action)",
            subject: self.identity, detail: "serial \(self.serial)")
    }

    /// 60 seconds: longer than any client waits for an answer before it asks again.
    private static let repetitionMilliseconds: Int64 = 60_000
}
