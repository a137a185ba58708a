internal import Cryptography
internal import Foundation
package import TLS

/// Whom nobody talks to: SPIFFE IDs, and serial numbers of certificates in lower-case hexadecimal.
package struct DenyList: Sendable, Equatable {
    /// The identities and serial numbers.
    package let denied: Set<String>

    /// A list of these.
    package init(_ denied: Set<String>) {
        self.denied = denied
    }

    /// Reads what ``json`` writes; nil for anything else.
    package init?(json: [UInt8]) {
        guard let read = try? JSONDecoder().decode(Body.self, from: Data(json)) else { return nil }
        self.denied = Set(read.denied)
    }

    /// The list as one JSON object; the same for the same list.
    package var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts always encode.
        let encoded = try? encoder.encode(Body(denied: self.denied.sorted()))
        return encoded.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// SHA-256 of ``json`` in hexadecimal, by which two lists are told apart.
    package var tag: String {
        let bytes = Array(self.json.utf8)
        return (try? SHA256().digest(bytes.rawSpan).hexadecimal) ?? ""
    }

    /// Whether it has a peer with this identity, or with this certificate.
    package func contains(identity: String?, serial: String) -> Bool {
        self.denied.contains(serial) || identity.map(self.denied.contains) ?? false
    }

    private struct Body: Codable {
        let denied: [String]
    }
}

/// Follows the vault's deny list for as long as the process runs.
///
/// A question waits at the vault until the list is another one, so that a change is heard of at once.
/// While the vault is away the list that was heard of last stays in force, across restarts too.
package struct DenyListWatch: Sendable {
    /// Asks for the list, once it is another than the one with this tag.
    private let ask: @Sendable (_ tag: String) async throws(KeyVaultError) -> DenyList
    /// Where the list is kept; nil for a service that keeps nothing.
    private let folder: IdentityFolder?

    /// The list of the vault that issues the identity of `client`.
    package init(_ client: IdentityClient) {
        self.ask = { tag async throws(KeyVaultError) in try await client.denyList(otherThan: tag) }
        self.folder = client.folder
    }

    /// The list of a vault that issues nothing to this service.
    ///
    /// - Parameters:
    ///   - vault: Where it is.
    ///   - tls: How to reach it, under the service's own identity.
    ///   - folder: Where the list is kept for a time when it cannot be asked; nil for nowhere.
    package init(of vault: VaultAddress, _ tls: TLSClientConfiguration, keptIn folder: String?) {
        self.ask = { tag async throws(KeyVaultError) in
            try await IdentityClient.denyList(otherThan: tag, at: "\(vault)", tls)
        }
        self.folder = folder.map { IdentityFolder(path: $0) }
    }

    /// The list heard of last; empty before the first.
    package var last: DenyList { self.folder?.denyList ?? DenyList([]) }

    /// Follows the list until the task is cancelled.
    ///
    /// - Parameters:
    ///   - onChange: Is given each list that is another than the last.
    ///   - onSilence: Is told once why the vault does not answer, until it does again.
    package func run(
        onChange: @Sendable (DenyList) async -> Void, onSilence: @Sendable (KeyVaultError) -> Void
    ) async {
        var present = self.last
        var isSilent = false
        while !Task.isCancelled {
            do throws(KeyVaultError) {
                let list = try await self.ask(present.tag)
                isSilent = false
                guard list != present else { continue }
                present = list
                await onChange(list)
                try self.folder?.keep(list)
            } catch {
                if !isSilent { onSilence(error) }
                isSilent = true
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// 1 s: a vault that comes back is heard of well within the five seconds in which a denial is to
    /// be in force.
    private static let pause = Duration.seconds(1)
}
