internal import HTTPTransport
package import TLS

/// Follows the vault's deny list for as long as the process runs.
///
/// The vault tells of a change, and is asked for the list then; it is also asked whenever listening begins
/// or ends, so that nothing is missed in between. While the vault is away the list that was heard of last
/// stays in force, across restarts too.
package struct DenyListWatch: Sendable {
    /// Asks for the list.
    private let ask: @Sendable () async throws(KeyVaultError) -> DenyList
    private let events: VaultEventStream
    /// Where the list is kept; nil for a service that keeps nothing.
    private let folder: IdentityFolder?

    /// The list of the vault that issues the identity of `client`.
    package init(_ client: IdentityClient) {
        self.ask = { () async throws(KeyVaultError) in try await client.denyList() }
        self.events = VaultEventStream { () throws(KeyVaultError) in
            let (vault, tls) = try client.ownVault()
            return (try Self.client(of: vault, tls), vault)
        }
        self.folder = client.folder
    }

    /// The list of a vault that issues nothing to this service.
    ///
    /// - Parameters:
    ///   - vault: Where it is.
    ///   - tls: How to reach it, under the service's own identity.
    ///   - folder: Where the list is kept for a time when it cannot be asked; nil for nowhere.
    package init(of vault: VaultAddress, _ tls: TLSClientConfiguration, keptIn folder: String?) {
        self.ask = { () async throws(KeyVaultError) in
            try await IdentityClient.denyList(at: "\(vault)", tls)
        }
        self.events = VaultEventStream { () throws(KeyVaultError) in
            (try Self.client(of: vault, tls), vault)
        }
        self.folder = folder.map { IdentityFolder(path: $0) }
    }

    /// The list heard of last; empty before the first.
    package var last: DenyList { self.folder?.denyList ?? DenyList([]) }

    /// Follows the list until the task is cancelled.
    ///
    /// - Parameters:
    ///   - onChange: Is given each list that is another than the last.
    ///   - onSilence: Is told once why the vault does not tell of changes, until it does again.
    package func run(
        onChange: @Sendable (DenyList) async -> Void, onSilence: @Sendable (KeyVaultError) -> Void
    ) async {
        // The newest alone: whatever it is, the list is asked for.
        let (heard, news) = AsyncStream.makeStream(
            of: VaultNews.self, bufferingPolicy: .bufferingNewest(1))
        let listening = Task { [events = self.events] in
            await events.follow { news.yield($0) }
        }
        defer { listening.cancel() }
        var present = self.last
        var isKept = true
        var isSilent = false
        for await one in heard {
            var silence: KeyVaultError? = if case .lost(let error) = one { error } else { nil }
            if silence == nil { isSilent = false }
            while !Task.isCancelled {
                do throws(KeyVaultError) {
                    let list = try await self.ask()
                    if list != present {
                        present = list
                        isKept = false
                        await onChange(list)
                    }
                    if !isKept { try self.folder?.keep(list) }
                    isKept = true
                    break
                } catch {
                    silence = silence ?? error
                    if let silence, !isSilent { onSilence(silence) }
                    isSilent = true
                    try? await Task.sleep(for: Self.pause)
                }
            }
            if let silence, !isSilent { onSilence(silence) }
            isSilent = silence != nil
        }
    }

    private static func client(
        of vault: VaultAddress, _ tls: TLSClientConfiguration
    ) throws(KeyVaultError) -> HTTPClient {
        var settings = HTTPClient.Settings()
        settings.bodyBytes = .max
        do throws(TLSError) {
            return try HTTPClient(
                .host(vault.host, port: vault.port), tls: tls, settings: settings)
        } catch {
            throw .unusable(reason: "\(error)")
        }
    }

    /// 1 s: a vault that comes back is heard of well within the five seconds in which a denial is to
    /// be in force.
    private static let pause = Duration.seconds(1)
}
