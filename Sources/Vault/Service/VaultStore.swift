internal import ControlServer
internal import Cryptography
internal import State

/// What keys and secrets have in common: naming, looking up, listing, deleting; over the state.
///
/// Calls block on the disk.
struct VaultStore: Sendable {
    let state: StateStore
    let sealing: VaultSealing
    let events: VaultEvents
    let baseURL: String

    /// A version that is in use, or the newest.
    ///
    /// - Throws: `.notFound` if there is none, or it was deleted.
    func find(_ request: VaultRequest) throws(VaultError) -> VaultVersion {
        let found = try self.asking(request.kind) { () throws(StateError) in
            try self.state.vaultVersion(request.kind, request.name, request.version)
        }
        guard let found, found.deletedMilliseconds == nil else { throw .notFound(request.kind) }
        return found
    }

    /// The newest version of a name that was deleted.
    func findDeleted(_ request: VaultRequest) throws(VaultError) -> VaultVersion {
        let found = try self.asking(request.kind) { () throws(StateError) in
            try self.state.vaultVersion(request.kind, request.name)
        }
        guard let found, found.deletedMilliseconds != nil else { throw .notFound(request.kind) }
        return found
    }

    /// The secret of a version, opened.
    func open(_ version: VaultVersion) throws(VaultError) -> SecretBytes {
        let sealed = try self.asking(version.kind) { () throws(StateError) in
            try self.state.sealedVaultVersion(version)
        }
        // Purged since its record was read.
        guard let sealed else { throw .notFound(version.kind) }
        return try self.sealing.open(sealed, of: version)
    }

    /// A page of a list: names in use or deleted, each with its newest version.
    func list(
        _ request: VaultRequest, isDeleted: Bool, _ isVisible: (String) -> Bool
    ) throws(VaultError) -> (items: [VaultVersion], next: String?) {
        let page = try request.page()
        var items: [VaultVersion] = []
        var after = page.after
        // What the peer may not see is skipped: a page may take several reads.
        while items.count <= page.limit {
            let read = try self.asking(request.kind) { () throws(StateError) in
                try self.state.newestVaultVersions(
                    request.kind, isDeleted: isDeleted, after: after, limit: Self.readAtOnce)
            }
            items += read.filter { isVisible($0.name) }.prefix(page.limit + 1 - items.count)
            guard read.count == Self.readAtOnce, let last = read.last else { break }
            after = last.name
        }
        return Self.cut(items, page.limit, \.name)
    }

    /// A page of the versions of a name, the newest first.
    func versions(
        _ request: VaultRequest
    ) throws(VaultError) -> (items: [VaultVersion], next: String?) {
        let page = try request.page()
        if let token = page.after {
            let known = try self.asking(request.kind) { () throws(StateError) in
                try self.state.vaultVersion(request.kind, request.name, token)
            }
            // After a version that is not there nothing comes, and that would look like the end.
            guard known != nil else {
                throw .badParameter("The $skiptoken is none of this vault's.")
            }
        }
        let items = try self.asking(request.kind) { () throws(StateError) in
            try self.state.vaultVersions(
                request.kind, request.name, olderThan: page.after, limit: page.limit + 1)
        }
        if items.isEmpty, page.after == nil { throw .notFound(request.kind) }
        return Self.cut(items, page.limit, \.version)
    }

    private static func cut(
        _ items: [VaultVersion], _ limit: Int, _ token: (VaultVersion) -> String
    ) -> (items: [VaultVersion], next: String?) {
        guard items.count > limit else { return (items, nil) }
        let page = Array(items.prefix(limit))
        return (page, page.last.map(token))
    }

    /// Where the next page of a list is.
    func nextLink(_ request: VaultRequest, _ token: String?) -> String? {
        guard let token else { return nil }
        var link = "\(self.baseURL)\(request.control.path)?api-version="
        link += request.control.query["api-version"] ?? ""
        if let size = request.control.query["maxresults"] { link += "&maxresults=\(size)" }
        return "\(link)&$skiptoken=\(token)"
    }

    /// Adds a version with its secret, unless the request has made another than `known`; a rotation
    /// only while the newest is enabled.
    func add(
        _ version: VaultVersion, sealed: [UInt8], _ request: VaultRequest,
        besides known: VaultVersion? = nil, isRotation: Bool = false
    ) throws(VaultError) -> VaultVersion {
        try self.asking(request.kind) { () throws(StateError) in
            try self.state.addVaultVersion(
                version, sealed: sealed, request: request.requestID, besides: known?.version,
                after: request.ifMatch, isRotation: isRotation, request.use(version.version))
        }
    }

    /// The version that the same request made before, if it did.
    func made(by request: VaultRequest) throws(VaultError) -> VaultVersion? {
        guard let id = request.requestID else { return nil }
        return try self.asking(request.kind) { () throws(StateError) in
            try self.state.vaultVersion(request.kind, request.name, madeBy: id)
        }
    }

    /// Writes a changed version.
    func update(
        _ version: VaultVersion, _ request: VaultRequest
    ) throws(VaultError) -> VaultVersion {
        if let expected = request.ifMatch, expected != "\(version.revision)" { throw .changed }
        var version = version
        version.updatedMilliseconds = request.now
        return try self.asking(request.kind) { () throws(StateError) in
            try self.state.updateVaultVersion(version, request.use(version.version))
        }
    }

    /// Deletes a name; it can be recovered.
    func delete(_ request: VaultRequest) throws(VaultError) -> VaultVersion {
        let deleted = try self.asking(request.kind) { () throws(StateError) in
            try self.state.setVaultItem(
                request.kind, request.name,
                purgedAt: request.now + VaultTimes.recoverableMilliseconds, now: request.now,
                request.use())
        }
        self.events.changed(deleted, to: "deleted")
        return deleted
    }

    /// Recovers a deleted name.
    func recover(_ request: VaultRequest) throws(VaultError) -> VaultVersion {
        let recovered = try self.asking(request.kind) { () throws(StateError) in
            try self.state.setVaultItem(
                request.kind, request.name, purgedAt: nil, now: request.now, request.use())
        }
        self.events.changed(recovered, to: "recovered")
        return recovered
    }

    /// Removes a deleted name for good.
    func purge(
        _ kind: VaultVersion.Kind, _ name: String, now: Int64, _ use: VaultUse
    ) throws(VaultError) {
        let (newest, inToken) = try self.asking(kind) { () throws(StateError) in
            let newest = try self.state.vaultVersion(kind, name)
            return (newest, try self.state.purgeVaultItem(kind, name, now: now, use))
        }
        // It is gone, whatever fails from now on; each of the rest is tried.
        if let newest { self.events.changed(newest, to: "purged") }
        var left: [String] = []
        for id in inToken {
            do throws(TokenError) {
                try self.sealing.token?.destroyKey(id)
            } catch {
                // Nothing refers to it any more: only whoever has the token could find it.
                let key = Hexadecimal.text(of: id.rawSpan)
                left.append("the purged key \(key) is still in the token: \(error)")
            }
        }
        do throws(StateError) {
            // What was purged can still be read in the log until it is emptied.
            _ = try self.state.truncateWriteAheadLog()
        } catch {
            left.append("what was purged is still in the state's write-ahead log: \(error)")
        }
        guard left.isEmpty else { throw .unavailable(left.joined(separator: "; ")) }
    }

    /// Removes what was made for a version that is not going to be.
    func discard(_ version: VaultVersion, _ sealed: [UInt8]) {
        guard version.protection == .token else { return }
        try? self.sealing.token?.destroyKey(sealed)
    }

    /// Notes that a request was done that changes nothing, before its answer is given.
    func audit(_ request: VaultRequest, _ version: VaultVersion) throws(VaultError) {
        try self.asking(request.kind) { () throws(StateError) in
            try self.state.auditVault(
                request.use(version.version), now: request.now, result: "done")
        }
    }

    func asking<Value>(
        _ kind: VaultVersion.Kind, _ body: () throws(StateError) -> Value
    ) throws(VaultError) -> Value {
        do throws(StateError) {
            return try body()
        } catch {
            throw VaultError(error, kind)
        }
    }

    private static let readAtOnce = 100
}

extension VaultVersion {
    /// Throws unless it may be used at `now`, milliseconds of Unix time.
    func checkUsable(at now: Int64) throws(VaultError) {
        guard self.isEnabled else { throw .unusable(self.kind, "Disabled") }
        if let start = self.notBeforeMilliseconds, now < start {
            throw .unusable(self.kind, "NotYetValid")
        }
        if let end = self.expiresMilliseconds, now >= end {
            throw .unusable(self.kind, "Expired")
        }
    }

    /// A new random version.
    static func newName() throws(VaultError) -> String {
        let bytes = try VaultError.wrapping { () throws(CryptographyError) in
            try SystemRandom.bytes(count: 16)
        }
        return Hexadecimal.text(of: bytes.rawSpan)
    }
}
