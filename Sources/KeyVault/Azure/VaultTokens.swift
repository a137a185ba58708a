internal import Cryptography
internal import Foundation
internal import HTTPTransport
internal import NIOCore
internal import TLS

/// The token for one Azure Key Vault, kept until it is nearly over.
actor VaultTokens {
    private let credential: AzureCredential
    private let vault: VaultAddress
    private let times: VaultTimes
    private let instanceMetadata: ConnectionPool.Address
    private var challenge: BearerChallenge?
    private var token: BearerToken?
    private var client: (authority: VaultAddress?, client: HTTPClient)?

    init(
        _ credential: AzureCredential, for vault: VaultAddress, _ times: VaultTimes = VaultTimes(),
        instanceMetadata: ConnectionPool.Address = AzureCredential.instanceMetadata
    ) {
        self.credential = credential
        self.vault = vault
        self.times = times
        self.instanceMetadata = instanceMetadata
    }

    /// The token there is, if it will do; nil before the first challenge.
    ///
    /// - Throws: What kept an old one from being replaced.
    func token(until deadline: ContinuousClock.Instant) async throws(KeyVaultError)
        -> BearerToken?
    {
        if let token, ContinuousClock.now < token.renewal { return token }
        guard let challenge else { return nil }
        return try await self.fetch(challenge, deadline)
    }

    /// Another token, for one that was not accepted.
    ///
    /// - Parameters:
    ///   - old: What was not accepted; nil if nothing was shown.
    ///   - challenge: What the vault asked for instead; nil for the same again.
    ///   - deadline: Until when it is of use.
    /// - Returns: nil if it is not known what for.
    /// - Throws: What kept it from being had.
    func replace(
        _ old: BearerToken?, _ challenge: BearerChallenge?,
        until deadline: ContinuousClock.Instant
    ) async throws(KeyVaultError) -> BearerToken? {
        // Somebody else was faster.
        if let token, token !== old, challenge == nil || challenge == self.challenge {
            return token
        }
        guard let challenge = challenge ?? self.challenge else { return nil }
        return try await self.fetch(challenge, deadline)
    }

    private func fetch(
        _ challenge: BearerChallenge, _ deadline: ContinuousClock.Instant
    ) async throws(KeyVaultError) -> BearerToken {
        let (authority, request) = try self.credential.question(for: challenge, of: self.vault)
        let client = try self.client(for: authority)
        let left = deadline - ContinuousClock.now
        guard left > .zero else { throw .unavailable(reason: "no token in time") }
        let answer: HTTPFetch.Answer
        do throws(StreamError) {
            answer = try await client.answer(to: request, timeout: TimeAmount(left))
        } catch {
            throw .unavailable(reason: "no token: \(KeyVaultError(error))")
        }
        switch answer.status {
        case 200: break
        case 429, 500..<600:
            throw .unavailable(reason: "no token: the authority answered \(answer.status)")
        default:
            throw .unusable(reason: "no token: the authority answered \(answer.status)")
        }
        let token = try BearerToken(answer.body)
        self.challenge = challenge
        self.token = token
        return token
    }

    private func client(for authority: VaultAddress?) throws(KeyVaultError) -> HTTPClient {
        if let client, client.authority == authority { return client.client }
        var settings = HTTPClient.Settings()
        settings.bodyBytes = Self.maximumAnswerBytes
        settings.connectTimeout = .milliseconds(Int64(self.times.connectMilliseconds))
        let made: HTTPClient
        do throws(TLSError) {
            if let authority {
                var tls = TLSClientConfiguration(
                    trustRoots: self.credential.trustRoots, peer: .dnsName(authority.host))
                tls.handshakeTimeoutMilliseconds = self.times.connectMilliseconds
                made = try HTTPClient(
                    .host(authority.host, port: authority.port), tls: tls, settings: settings)
            } else {
                made = try HTTPClient(self.instanceMetadata, tls: nil, settings: settings)
            }
        } catch {
            throw .unusable(reason: "no token: \(error)")
        }
        self.client = (authority, made)
        return made
    }

    /// 64 KiB: tokens have two or three.
    private static let maximumAnswerBytes = 65_536
}

/// A token that is shown to a vault.
final class BearerToken: Sendable {
    private let secret: SecretBytes
    /// From when on another one is to be had.
    let renewal: ContinuousClock.Instant

    /// Reads the answer of an authority.
    init(_ body: [UInt8]) throws(KeyVaultError) {
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(body)),
            answer.type.lowercased() == "bearer", !answer.token.isEmpty,
            answer.token.utf8.allSatisfy({ 0x21...0x7e ~= $0 })
        else { throw .unusable(reason: "no token: the authority's answer has none") }
        do throws(CryptographyError) {
            self.secret = try SecretBytes(copying: Array(answer.token.utf8).rawSpan)
        } catch {
            throw .cryptography(error)
        }
        let life = max(0, min(answer.life.seconds, Self.longestLife))
        self.renewal = .now + .seconds(max(life / 2, life - Self.margin))
    }

    /// As the field's value.
    var authorization: HTTPClient.Authorization {
        HTTPClient.Authorization(bytes: "Bearer ".utf8.count + self.secret.count) { output in
            output.append("Bearer ")
            Self.write(self.secret, to: &output)
        }
    }

    private static func write(_ secret: borrowing SecretBytes, to output: inout ByteWriter) {
        output.append(secret.bytes)
    }

    private struct Answer: Decodable {
        let token: String
        let type: String
        let life: Seconds

        enum CodingKeys: String, CodingKey {
            case token = "access_token"
            case type = "token_type"
            case life = "expires_in"
        }
    }

    /// A number, which the metadata service writes as text.
    private struct Seconds: Decodable {
        let seconds: Int64

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                self.seconds = number
            } else if let number = Int64(try container.decode(String.self)) {
                self.seconds = number
            } else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "not a number of seconds")
            }
        }
    }

    /// 5 minutes: what Azure's own clients leave.
    private static let margin: Int64 = 300
    private static let longestLife: Int64 = 86_400
}

extension TimeAmount {
    /// As long as `duration`.
    init(_ duration: Duration) {
        let parts = duration.components
        self = .nanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }
}
