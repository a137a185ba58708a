package import ControlServer
internal import Cryptography
internal import Foundation
package import KeyVault
package import Logging
internal import ServiceConfiguration
internal import State

/// How the identity service is asked over HTTP.
///
/// Every refusal is the same answer; the log says why.
package struct IdentityRoutes: Sendable {
    private let service: IdentityService
    private let logger: Logger
    private let onThread: Runner
    private let denied: @Sendable () -> DenyList

    /// Runs what blocks and computes on a thread where it may.
    package typealias Runner =
        @Sendable (@escaping @Sendable () -> ControlAnswer) async -> ControlAnswer

    /// Routes to `service`, which is called on threads of `onThread`; `denied` is the deny list at any
    /// moment.
    package init(
        _ service: IdentityService, logger: Logger, onThread: @escaping Runner,
        denied: @escaping @Sendable () -> DenyList
    ) {
        self.denied = denied
        self.service = service
        self.logger = logger
        self.onThread = onThread
    }

    /// For the listener with server authentication only: for those who have no certificate, or none
    /// that is valid.
    package var joining: [ControlRoute] {
        [
            self.route(.post, "/identities/join") { request in
                self.answer(request) { (body: JoinRequest, now) throws(StateError) in
                    (
                        body.identity,
                        try self.service.join(body, source: Self.source(request), now: now)
                    )
                }
            },
            self.route(.post, "/identities/rejoin") { request in
                self.answer(request) { (body: RejoinRequest, now) throws(StateError) in
                    (
                        body.identity,
                        try self.service.rejoin(body, source: Self.source(request), now: now)
                    )
                }
            },
        ]
    }

    /// For the listeners with mutual TLS.
    package var renewing: [ControlRoute] {
        [
            self.route(.post, "/identities/renew") { request in
                guard let peer = request.peer else { return Self.refusal(403, "Forbidden") }
                return self.answer(request) { (body: RenewRequest, now) throws(StateError) in
                    (
                        peer.identity.text,
                        try self.service.renew(
                            body, peer: peer.identity.text, serial: peer.certificate.serial,
                            now: now)
                    )
                }
            },
            self.route(.get, "/identities/trust-bundle") { _ in
                self.reading("application/x-pem-file") { () throws(StateError) in
                    try self.service.trustBundle()
                }
            },
        ]
    }

    /// For the listeners with mutual TLS, of a vault that issues nothing too.
    package var denying: [ControlRoute] {
        [
            ControlRoute(.get, "/identities/denied") { [denied] _ in
                ControlAnswer(status: 200, contentType: "application/json", text: denied().json)
            }
        ]
    }

    private func route(
        _ method: ControlRoute.Method, _ path: String,
        _ answer: @escaping @Sendable (ControlRequest) -> ControlAnswer
    ) -> ControlRoute {
        ControlRoute(method, path) { [onThread] request in await onThread { answer(request) } }
    }

    private func answer<Body: Decodable>(
        _ request: ControlRequest,
        _ issue: (Body, Int64) throws(StateError) -> (identity: String, IdentityService.Outcome)
    ) -> ControlAnswer {
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(request.body)) else {
            return Self.refusal(400, "BadParameter")
        }
        do throws(StateError) {
            let (identity, outcome) = try issue(body, UnixTime.milliseconds)
            switch outcome {
            case .success(let answer):
                self.logger.info("identity issued", metadata: ["identity": "\(identity)"])
                let encoded = (try? JSONEncoder().encode(answer)) ?? Data()
                return ControlAnswer(
                    status: 200, contentType: "application/json", body: .bytes([UInt8](encoded)))
            case .failure(let refusal):
                // The identity is what a stranger may have written: only one of our form is logged.
                let claimed = (try? SPIFFEID(identity))?.text ?? "malformed"
                self.logger.warning(
                    "identity refused",
                    metadata: [
                        "identity": "\(claimed)", "reason": "\(refusal.rawValue)",
                        "address": "\(request.address ?? "")",
                    ])
                guard refusal == .tooManyTries else { return Self.refusal(403, "Forbidden") }
                var answer = Self.refusal(429, "Throttled")
                answer.fields["Retry-After"] = "60"
                return answer
            }
        } catch {
            return self.failure(error)
        }
    }

    private func reading(
        _ contentType: String, _ text: () throws(StateError) -> String
    ) -> ControlAnswer {
        do throws(StateError) {
            return ControlAnswer(status: 200, contentType: contentType, text: try text())
        } catch {
            return self.failure(error)
        }
    }

    private func failure(_ error: StateError) -> ControlAnswer {
        self.logger.error("identities cannot be issued", metadata: ["error": "\(error)"])
        return Self.refusal(503, "ServiceUnavailable")
    }

    private static func source(_ request: ControlRequest) -> String {
        self.source(of: request.address ?? "")
    }

    /// What wrong tries and connections are counted by: the address, of IPv6 the network that one
    /// customer has.
    @Sendable static func source(of address: String) -> String {
        guard let parsed = IPAddress(address), !parsed.isIPv4 else { return address }
        return "\(IPAddress(bits: parsed.sourceNetwork << 72))/56"
    }

    private static func refusal(_ status: Int, _ code: String) -> ControlAnswer {
        ControlAnswer(
            status: status, contentType: "application/json",
            text: #"{"error":{"code":"\#(code)","message":"The request is not granted."}}"#)
    }
}
