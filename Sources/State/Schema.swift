internal import GRDB

/// The tables of the state, and how older ones become them.
///
/// `PRAGMA user_version` counts the steps that were applied. Times are milliseconds of Unix time.
enum Schema {
    /// Brings the database to the newest schema, in one transaction that other processes wait for.
    static func migrate(_ database: Database) throws {
        let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard found <= self.steps.count else {
            throw StateError.newerSchema(found: found, known: self.steps.count)
        }
        guard found < self.steps.count else { return }
        for step in self.steps[found...] { try database.execute(sql: step) }
        try database.execute(sql: "PRAGMA user_version = \(self.steps.count)")
    }

    /// Never edited once released: a change is a further step.
    private static let steps = [
        """
        -- What endpoint keys are digested with, sealed under the root key.
        CREATE TABLE pepper (
            version INTEGER PRIMARY KEY,
            sealed BLOB NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT;

        -- A slot has one key, and its former one while that is in grace.
        CREATE TABLE endpoint_key (
            kid TEXT PRIMARY KEY CHECK (length(kid) = 11),
            endpoint TEXT NOT NULL,
            slot TEXT NOT NULL CHECK (slot IN ('primary', 'secondary')),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            pepper_version INTEGER NOT NULL REFERENCES pepper (version),
            created_ms INTEGER NOT NULL,
            not_before_ms INTEGER NOT NULL,
            expires_ms INTEGER,
            is_former INTEGER NOT NULL DEFAULT 0 CHECK (is_former IN (0, 1)),
            -- Revoked, but what it has let in may finish.
            keeps_streams INTEGER NOT NULL DEFAULT 0 CHECK (keeps_streams IN (0, 1))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX endpoint_key_of_slot ON endpoint_key (endpoint, slot);

        -- Counts the changes of endpoint keys; one row.
        CREATE TABLE generation (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            number INTEGER NOT NULL
        ) STRICT;
        INSERT INTO generation (id, number) VALUES (1, 1);

        -- Which generation each worker of each running gateway has in force.
        CREATE TABLE applied_generation (
            pid INTEGER NOT NULL,
            started TEXT NOT NULL,
            namespace TEXT NOT NULL,
            worker INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            heartbeat_ms INTEGER NOT NULL,
            PRIMARY KEY (pid, started, namespace, worker)
        ) STRICT, WITHOUT ROWID;

        -- Who changed what, and when.
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            time_ms INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            detail TEXT NOT NULL
        ) STRICT;
        """,
        """
        -- What wraps the log keys of an endpoint; the name stays when its versions are destroyed.
        CREATE TABLE wrapping_key (
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            endpoint TEXT NOT NULL UNIQUE,
            created_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE wrapping_key_version (
            key_id BLOB NOT NULL REFERENCES wrapping_key (id),
            version INTEGER NOT NULL CHECK (version > 0),
            -- The key, sealed under the root key; null once it was destroyed.
            sealed BLOB,
            created_ms INTEGER NOT NULL,
            is_enabled INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
            PRIMARY KEY (key_id, version)
        ) STRICT, WITHOUT ROWID;

        -- The stream of the sealed log that is an endpoint's, and what was last known of it.
        CREATE TABLE log_stream (
            id BLOB PRIMARY KEY CHECK (length(id) = 16),
            -- Null once it was shredded: the endpoint gets another.
            endpoint TEXT UNIQUE,
            created_ms INTEGER NOT NULL,
            number INTEGER,
            segment_id BLOB CHECK (length(segment_id) = 16),
            head BLOB CHECK (length(head) = 32)
        ) STRICT, WITHOUT ROWID;

        -- The log keys of a stream, each with SHA-256 of its wrapped form.
        CREATE TABLE stream_log_key (
            stream_id BLOB NOT NULL REFERENCES log_stream (id),
            log_key_id BLOB NOT NULL CHECK (length(log_key_id) = 16),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            PRIMARY KEY (stream_id, log_key_id)
        ) STRICT, WITHOUT ROWID;
        """,
        """
        -- While a log key is wrapped anew, the digest it is going to have; null otherwise.
        ALTER TABLE stream_log_key ADD COLUMN next_digest BLOB CHECK (length(next_digest) = 32);
        """,
        """
        -- A key or a secret of the vault service, by name.
        CREATE TABLE vault_item (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('key', 'secret')),
            name TEXT NOT NULL COLLATE NOCASE,
            -- When it was deleted and when it will be purged; null while it is in use.
            deleted_ms INTEGER,
            purge_ms INTEGER,
            UNIQUE (kind, name),
            CHECK ((deleted_ms IS NULL) = (purge_ms IS NULL))
        ) STRICT;

        CREATE TABLE vault_version (
            item_id INTEGER NOT NULL REFERENCES vault_item (id) ON DELETE CASCADE,
            version TEXT NOT NULL CHECK (length(version) = 32),
            -- Counts from 1; the newest is the highest.
            number INTEGER NOT NULL CHECK (number > 0),
            -- A key's type as RFC 7518 has it; null for a secret.
            key_type TEXT,
            -- What a key may be used for, separated by spaces.
            key_operations TEXT NOT NULL,
            -- The public half of a key, JSON; null if there is none.
            public_key TEXT,
            -- What seals it; 'token' has the key itself in the token, and its id here.
            protection TEXT NOT NULL CHECK (protection IN ('root key', 'token key', 'token')),
            sealed BLOB NOT NULL,
            content_type TEXT,
            -- JSON, text by text.
            tags TEXT NOT NULL,
            is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
            not_before_ms INTEGER,
            expires_ms INTEGER,
            created_ms INTEGER NOT NULL,
            updated_ms INTEGER NOT NULL,
            -- Counts the changes.
            revision INTEGER NOT NULL DEFAULT 1,
            -- Which request made it, so that one sent again makes no other.
            request TEXT,
            PRIMARY KEY (item_id, version),
            UNIQUE (item_id, number)
        ) STRICT, WITHOUT ROWID;
        """,
        """
        -- Who issues the identities of services: trust roots, and intermediates under them.
        CREATE TABLE authority (
            -- SHA-256 of the certificate.
            id BLOB PRIMARY KEY CHECK (length(id) = 32),
            -- Null for a trust root.
            issuer_id BLOB REFERENCES authority (id),
            certificate BLOB NOT NULL,
            -- The private key, sealed under the root key; null once it is retired.
            sealed BLOB,
            state TEXT NOT NULL CHECK (state IN ('published', 'signing', 'outgoing', 'retired')),
            since_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- What lets a service have its first certificate.
        CREATE TABLE join_token (
            -- SHA-256 of the token, which is 256 random bits.
            digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
            identity TEXT NOT NULL,
            -- Separated by spaces.
            dns_names TEXT NOT NULL,
            created_ms INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL,
            -- The certificate it was used for; null before.
            serial TEXT
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE issued_certificate (
            serial TEXT PRIMARY KEY,
            identity TEXT NOT NULL,
            dns_names TEXT NOT NULL,
            request_digest BLOB NOT NULL CHECK (length(request_digest) = 32),
            -- PEM, the leaf first.
            chain TEXT NOT NULL,
            issued_ms INTEGER NOT NULL,
            not_after_ms INTEGER NOT NULL,
            -- The certificate it takes the place of; null for the first.
            predecessor TEXT,
            -- Whether the certificate in its place has been used: it is then worth nothing any more
            -- for joining again.
            is_superseded INTEGER NOT NULL DEFAULT 0 CHECK (is_superseded IN (0, 1))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX issued_certificate_of_request ON issued_certificate (request_digest);
        CREATE INDEX issued_certificate_by_end ON issued_certificate (not_after_ms);

        -- Whom nobody talks to.
        CREATE TABLE denied_peer (
            -- A SPIFFE ID, or the serial number of a certificate in lower-case hexadecimal.
            subject TEXT PRIMARY KEY,
            reason TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
        """
        -- CKA_ID of a trust root's private key in the vault's token; null where `sealed` is the key, or
        -- was.
        ALTER TABLE authority ADD COLUMN token_key BLOB;
        """,
        """
        -- The number of the next entry, where it is more than the segments tell; otherwise 0.
        ALTER TABLE log_stream ADD COLUMN next_sequence INTEGER NOT NULL DEFAULT 0;
        """,
        """
        -- Whether its shredding has begun: no gateway has its log keys any more, or makes others.
        ALTER TABLE log_stream
        ADD COLUMN is_suspended INTEGER NOT NULL DEFAULT 0 CHECK (is_suspended IN (0, 1));
        """,
        """
        -- Why the entries before next_sequence were lost, as the log numbers reasons; 0 is from when there
        -- was one only, that the wrapping key was revoked.
        ALTER TABLE log_stream ADD COLUMN loss_reason INTEGER NOT NULL DEFAULT 0;
        """,
        """
        -- The first use of a certificate supersedes all others that were issued in the same place.
        CREATE INDEX issued_certificate_of_predecessor ON issued_certificate (predecessor);
        """,
    ]
}
