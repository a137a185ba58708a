internal import ControlServer
internal import Cryptography
internal import State

/// What is the same for keys and secrets: listing, deleting, recovering, purging.
///
/// Each operation answers one request that the policy has let in; it blocks on the disk.
struct ItemOperations: Sendable {
    let store: VaultStore
    /// Whether the peer may do something with one of another name.
    let allows: @Sendable (VaultRight, VaultVersion.Kind, String, SPIFFEID) -> Bool

    func list(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        try self.list(request, isDeleted: false)
    }

    func listDeleted(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        try self.list(request, isDeleted: true)
    }

    private func list(
        _ request: VaultRequest, isDeleted: Bool
    ) throws(VaultError) -> ControlAnswer {
        let page = try self.store.list(request, isDeleted: isDeleted) { name in
            self.allows(request.right, request.kind, name, request.identity)
        }
        return self.page(request, page, hasVersion: false)
    }

    func versions(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.page(request, try self.store.versions(request), hasVersion: true)
    }

    func delete(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.store.answer(try self.store.delete(request))
    }

    func getDeleted(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.store.answer(try self.store.findDeleted(request))
    }

    func recover(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.store.answer(try self.store.recover(request))
    }

    func purge(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        try self.store.purge(request.kind, request.name, now: request.now, request.use())
        return ControlAnswer(status: 204, contentType: "application/json", body: .bytes([]))
    }

    private func page(
        _ request: VaultRequest, _ page: (items: [VaultVersion], next: String?), hasVersion: Bool
    ) -> ControlAnswer {
        let items = page.items.map {
            ItemBody(listed: $0, self.store.baseURL, hasVersion: hasVersion)
        }
        return VaultJSON.answer(
            200, ListAnswer(value: items, nextLink: self.store.nextLink(request, page.next)))
    }
}

extension VaultStore {
    /// The answer that shows a version; of a secret with its value where that is given.
    func answer(_ version: VaultVersion, value: String? = nil) -> ControlAnswer {
        var answer = VaultJSON.answer(200, ItemBody(version, self.baseURL, value: value))
        answer.fields["ETag"] = "\"\(version.revision)\""
        return answer
    }
}
