package import Cryptography
internal import Foundation

/// One version of a secret that a vault keeps.
package final class VaultSecret: Sendable {
    /// Which version.
    package let version: String
    /// What it says.
    package let value: SecretBytes

    /// Reads the answer to a GET of a secret.
    ///
    /// - Parameters:
    ///   - body: The answer.
    ///   - address: Whose answer it is.
    ///   - name: Which secret was asked for.
    ///   - version: Which version; nil for the newest.
    /// - Throws: `.unusable` if it is of another secret, or of none.
    init(
        _ body: [UInt8], of address: VaultAddress, _ name: String, version: String?
    ) throws(KeyVaultError) {
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(body)),
            !answer.value.isEmpty
        else { throw .unusable(reason: "its answer is not that of a key vault") }
        guard let answered = address.secretVersion(of: answer.id, name),
            version == nil || answered == version
        else { throw .unusable(reason: "it answered for another secret than the one asked for") }
        let bytes = Array(answer.value.utf8)
        do throws(CryptographyError) {
            self.value = try SecretBytes(copying: bytes.rawSpan)
        } catch {
            throw .cryptography(error)
        }
        self.version = answered
    }

    private struct Answer: Decodable {
        let id: String
        let value: String
    }
}

extension AzureKeyVault {
    /// A secret of the vault.
    ///
    /// - Parameters:
    ///   - name: Its name.
    ///   - version: Which version; nil for the newest.
    /// - Returns: The version as it is now.
    /// - Throws: `.revoked` if it may not be had: it is disabled, outside of its time or not there, or
    ///   there is no right to it.
    package func secret(
        _ name: String, version: String?
    ) async throws(KeyVaultError) -> VaultSecret {
        let target = "/secrets/\(name)" + (version.map { "/\($0)" } ?? "")
        return try VaultSecret(
            try await self.questions.ask(target), of: self.address, name, version: version)
    }
}
