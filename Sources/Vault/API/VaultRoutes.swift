package import ControlServer
internal import Foundation
internal import State

// The routes of the vault, as Azure Key Vault's REST API has them, and a few of its own.
extension VaultService {
    /// All routes but those for health.
    package var routes: [ControlRoute] {
        self.keyRoutes + self.keyUseRoutes + self.secretRoutes + [self.eventRoute]
    }

    /// `/healthz` and `/readyz`, for the listeners and the admin socket.
    package var healthRoutes: [ControlRoute] {
        [
            ControlRoute(.get, "/healthz") { _ in
                ControlAnswer(
                    status: 200, contentType: "application/json", text: #"{"status":"ok"}"#)
            },
            ControlRoute(.get, "/readyz") { _ in
                let reasons = await self.unreadyReasons()
                return VaultJSON.answer(
                    reasons.isEmpty ? 200 : 503,
                    Readiness(status: reasons.isEmpty ? "ready" : "not ready", reasons: reasons))
            },
        ]
    }

    private struct Readiness: Encodable {
        let status: String
        let reasons: [String]
    }

    private var keyRoutes: [ControlRoute] {
        let keys = KeyOperations(store: self.store)
        let items = ItemOperations(store: self.store, allows: self.allows)
        return [
            self.route(.post, "/keys/:name/create", .key, .create, body: true, keys.create),
            self.route(.post, "/keys/:name/rotate", .key, .rotate, keys.rotate),
            self.route(.get, "/keys", .key, .list, items.list),
            self.route(.get, "/keys/:name", .key, .get, keys.get),
            self.route(.get, "/keys/:name/versions", .key, .get, items.versions),
            self.route(.get, "/keys/:name/:version", .key, .get, keys.get),
            self.route(.patch, "/keys/:name", .key, .update, body: true, keys.update),
            self.route(.patch, "/keys/:name/:version", .key, .update, body: true, keys.update),
            self.route(.delete, "/keys/:name", .key, .delete, items.delete),
            self.route(.get, "/deletedkeys", .key, .list, items.listDeleted),
            self.route(.get, "/deletedkeys/:name", .key, .get, items.getDeleted),
            self.route(.post, "/deletedkeys/:name/recover", .key, .recover, items.recover),
            self.route(.delete, "/deletedkeys/:name", .key, .purge, items.purge),
        ]
    }

    private var keyUseRoutes: [ControlRoute] {
        let uses = KeyUses(store: self.store)
        var routes = [
            self.route(
                .post, "/keys/:name/rewrap", .key, .rewrap, body: true,
                bodyBytes: Self.rewrapBytes, uses.rewrap)
        ]
        // Without a version the newest is meant.
        for path in ["/keys/:name", "/keys/:name/:version"] {
            for operation in ["wrapKey", "encrypt"] {
                routes.append(
                    self.route(
                        .post, "\(path)/\(operation.lowercased())", .key, .wrapKey, body: true
                    ) { request throws(VaultError) in try uses.wrap(request, operation) })
            }
            for operation in ["unwrapKey", "decrypt"] {
                routes.append(
                    self.route(
                        .post, "\(path)/\(operation.lowercased())", .key, .unwrapKey, body: true
                    ) { request throws(VaultError) in try uses.unwrap(request, operation) })
            }
        }
        return routes
    }

    private var secretRoutes: [ControlRoute] {
        let secrets = SecretOperations(store: self.store)
        let items = ItemOperations(store: self.store, allows: self.allows)
        return [
            self.route(.put, "/secrets/:name", .secret, .set, body: true, secrets.set),
            self.route(.get, "/secrets", .secret, .list, items.list),
            self.route(.get, "/secrets/:name", .secret, .get, secrets.get),
            self.route(.get, "/secrets/:name/versions", .secret, .list, items.versions),
            self.route(.get, "/secrets/:name/:version", .secret, .get, secrets.get),
            self.route(.patch, "/secrets/:name", .secret, .update, body: true, secrets.update),
            self.route(
                .patch, "/secrets/:name/:version", .secret, .update, body: true, secrets.update),
            self.route(.delete, "/secrets/:name", .secret, .delete, items.delete),
            self.route(.get, "/deletedsecrets", .secret, .list, items.listDeleted),
            self.route(.get, "/deletedsecrets/:name", .secret, .list, items.getDeleted),
            self.route(
                .post, "/deletedsecrets/:name/recover", .secret, .recover, items.recover),
            self.route(.delete, "/deletedsecrets/:name", .secret, .purge, items.purge),
        ]
    }

    private var eventRoute: ControlRoute {
        ControlRoute(.get, "/events") { request in
            guard let peer = request.peer else { return VaultError.forbidden.answer }
            return ControlAnswer(
                status: 200, contentType: "text/event-stream",
                body: .stream(
                    self.events.subscribe(peer.identity, after: request.field("last-event-id"))))
        }
    }

    private func route(
        _ method: ControlRoute.Method, _ path: String, _ kind: VaultVersion.Kind,
        _ right: VaultRight, body needsBody: Bool = false, bodyBytes: Int? = nil,
        _ answer: @escaping @Sendable (VaultRequest) throws(VaultError) -> ControlAnswer
    ) -> ControlRoute {
        ControlRoute(method, path, bodyBytes: bodyBytes) { request in
            if needsBody, request.body.isEmpty, request.field("authorization") == nil {
                return Self.challenge(self.store.baseURL)
            }
            return await self.answer(request, kind, right, answer)
        }
    }

    /// What the official clients wait for before they send a body: they first ask without one.
    ///
    /// Who asks is known by the certificate of the connection, and by nothing else: the token they
    /// bring then is not looked at.
    private static func challenge(_ baseURL: String) -> ControlAnswer {
        var answer = ControlAnswer(
            status: 401, contentType: "application/json; charset=utf-8",
            text: #"{"error":{"code":"Unauthorized","message":"The request has no body."}}"#)
        answer.fields["WWW-Authenticate"] =
            #"Bearer authorization="\#(baseURL)/certificate", resource="\#(baseURL)""#
        return answer
    }

    /// 512 KiB: 256 wrapped log keys under RSA-4096 have some 200 KB.
    private static let rewrapBytes = 524_288
}
