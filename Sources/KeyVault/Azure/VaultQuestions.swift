internal import Foundation
internal import HTTPTransport
internal import NIOCore
internal import Synchronization
internal import TLS

/// Asks one key vault: on a kept connection, within 2 s with at most two retries, with a token where one
/// is wanted, and not at all while the vault does not answer.
final class VaultQuestions: Sendable {
    let address: VaultAddress
    private let access: VaultAccess
    private let times: VaultTimes
    private let tokens: VaultTokens?
    private let client: Mutex<HTTPClient>
    private let breaker = Mutex(CircuitBreaker())
    private let lastSession = Mutex<TLSSessionInfo?>(nil)

    init(
        _ address: VaultAddress, _ access: VaultAccess, _ times: VaultTimes
    ) throws(KeyVaultError) {
        self.address = address
        self.access = access
        self.times = times
        self.client = try Mutex(
            Self.client(address, access, times, bodyBytes: Self.maximumAnswerBytes))
        self.tokens =
            switch access {
            case .service: nil
            case .azure(let credential): VaultTokens(credential, for: address, times)
            }
    }

    /// Takes over certificates that were replaced.
    func reload() throws(KeyVaultError) {
        let client = try Self.client(
            self.address, self.access, self.times, bodyBytes: Self.maximumAnswerBytes)
        // Questions under way keep the old one until they are answered.
        self.client.withLock { $0 = client }
    }

    /// What TLS agreed on when the vault last answered.
    var session: TLSSessionInfo? { self.lastSession.withLock { $0 } }

    /// A client of the same vault whose answers have no end.
    func streamingClient() throws(KeyVaultError) -> HTTPClient {
        try Self.client(self.address, self.access, self.times, bodyBytes: .max)
    }

    /// Asks, until there is an answer or 2 s are over.
    ///
    /// - Parameters:
    ///   - target: The path, without `api-version`.
    ///   - body: What is posted; nil for GET.
    ///   - isUnwrap: Whether a bad parameter is what was wrapped.
    /// - Returns: The body of a success.
    /// - Throws: What the answer means, or why there is none.
    func ask(
        _ target: String, posting body: [UInt8]? = nil, isUnwrap: Bool = false
    ) async throws(KeyVaultError) -> [UInt8] {
        let deadline = ContinuousClock.now + self.times.answer
        let id = UUID().uuidString.lowercased()
        var request = HTTPClient.Request(
            "\(target)?api-version=\(Self.version)",
            fields: [
                ("host", self.address.authority), ("accept", "application/json"),
                ("user-agent", "scoregate"), ("x-ms-client-request-id", id),
            ])
        if let body {
            request.method = .post
            request.fields.append(("content-type", "application/json"))
            request.body = body
        }
        var retries = 0
        while true {
            let failure: KeyVaultError
            do throws(KeyVaultError) {
                return try await self.askWithToken(&request, isUnwrap, deadline)
            } catch {
                failure = error
            }
            let pause = Self.pause(after: failure, retry: retries)
            guard let pause, retries < Self.maximumRetries,
                ContinuousClock.now + pause < deadline
            else { throw failure.with(requestID: id) }
            retries += 1
            try? await Task.sleep(for: pause)
        }
    }

    /// Asks once, and once more with another token if the one there is does not do.
    private func askWithToken(
        _ request: inout HTTPClient.Request, _ isUnwrap: Bool, _ deadline: ContinuousClock.Instant
    ) async throws(KeyVaultError) -> [UInt8] {
        guard let tokens else {
            return try await self.askOnce(request, isUnwrap, deadline).body.get()
        }
        let token = try await tokens.token(until: deadline)
        request.authorization = token?.authorization
        let (answer, challenge) = try await self.askOnce(request, isUnwrap, deadline)
        let isForbidden: Bool =
            switch answer {
            case .failure(.revoked(.forbidden)): true
            default: false
            }
        guard isForbidden || challenge != nil else { return try answer.get() }
        do throws(KeyVaultError) {
            let fresh = try await tokens.replace(
                token, challenge.flatMap { BearerChallenge($0) }, until: deadline)
            guard let fresh, fresh !== token else { return try answer.get() }
            request.authorization = fresh.authorization
            return try await self.askOnce(request, isUnwrap, deadline).body.get()
        } catch {
            // The vault has said no: that another token cannot be tried makes it no less of one.
            if isForbidden, error.isTransient { return try answer.get() }
            throw error
        }
    }

    private func askOnce(
        _ request: HTTPClient.Request, _ isUnwrap: Bool, _ deadline: ContinuousClock.Instant
    ) async throws(KeyVaultError) -> (body: Result<[UInt8], KeyVaultError>, challenge: String?) {
        let now = ContinuousClock.now
        guard self.breaker.withLock({ $0.admits(at: now) }) else {
            let left = self.breaker.withLock { $0.remaining(at: now) }
            throw .unavailable(reason: "it did not answer; asked again in \(left)")
        }
        let answer: HTTPFetch.Answer
        do throws(StreamError) {
            let client = self.client.withLock { $0 }
            answer = try await client.answer(
                to: request, timeout: TimeAmount(max(deadline - now, .milliseconds(1))))
        } catch {
            self.breaker.withLock { $0.failed(at: .now) }
            throw KeyVaultError(error)
        }
        if let session = answer.session { self.lastSession.withLock { $0 = session } }
        let failure = VaultFailure.of(
            status: answer.status, retryAfter: answer.value(of: "retry-after"), body: answer.body,
            isUnwrap: isUnwrap)
        self.breaker.withLock { breaker in
            switch failure {
            case .throttled(let milliseconds):
                breaker.succeeded()
                breaker.pause(until: .now + .milliseconds(milliseconds))
            case .unavailable: breaker.failed(at: .now)
            default: breaker.succeeded()
            }
        }
        let challenge = answer.status == 401 ? answer.value(of: "www-authenticate") : nil
        return (failure.map { .failure($0) } ?? .success(answer.body), challenge)
    }

    /// How long to wait before asking again; nil if that is of no use.
    ///
    /// 50 to 100 ms, then 100 to 200 ms: what is asked together comes back apart.
    private static func pause(after error: KeyVaultError, retry: Int) -> Duration? {
        guard case .unavailable = error else { return nil }
        let base = 50 << retry
        return .milliseconds(Int.random(in: base...2 * base))
    }

    private static func client(
        _ address: VaultAddress, _ access: VaultAccess, _ times: VaultTimes, bodyBytes: Int
    ) throws(KeyVaultError) -> HTTPClient {
        var tls: TLSClientConfiguration
        switch access {
        case .service(let identity, let trustRoots, let peer):
            tls = TLSClientConfiguration(
                trustRoots: trustRoots, identity: identity, peer: .identity(peer),
                minimumVersion: .tls13)
        case .azure(let credential):
            tls = TLSClientConfiguration(
                trustRoots: credential.trustRoots, peer: .dnsName(address.host))
        }
        tls.handshakeTimeoutMilliseconds = times.connectMilliseconds
        var settings = HTTPClient.Settings()
        settings.bodyBytes = bodyBytes
        settings.connectTimeout = .milliseconds(Int64(times.connectMilliseconds))
        do throws(TLSError) {
            return try HTTPClient(
                .host(address.host, port: address.port), tls: tls, settings: settings)
        } catch {
            throw .unusable(reason: "\(error)")
        }
    }

    private static let maximumRetries = 2
    /// 64 KiB: no answer of a vault has more than a few.
    private static let maximumAnswerBytes = 65_536
    /// The version of the REST API.
    static let version = "7.4"
}

/// How long a vault is waited for.
struct VaultTimes {
    /// For TCP, and for TLS after it.
    var connectMilliseconds = 1000
    /// From question to answer, whatever is tried.
    var answer = Duration.seconds(2)
}

extension KeyVaultError {
    /// The same, with the id under which the vault has the question in its log.
    fileprivate func with(requestID: String) -> Self {
        switch self {
        case .unavailable(let reason): .unavailable(reason: "\(reason) (request \(requestID))")
        case .unusable(let reason): .unusable(reason: "\(reason) (request \(requestID))")
        default: self
        }
    }
}
