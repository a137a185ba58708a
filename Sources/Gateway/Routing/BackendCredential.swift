internal import Cryptography
internal import HTTPTransport
internal import ServiceConfiguration

/// A secret field for a deployment's backends, in memory that is locked and wiped.
final class BackendCredential: Sendable {
    private let name: [UInt8]
    private let scheme: [UInt8]
    private let secret: SecretBytes

    /// Reads the secret from its file, or takes it from those that the vault gave.
    ///
    /// - Throws: As ``secret(in:)``, or if memory cannot be had.
    init(
        _ configuration: CredentialConfiguration, _ secrets: VaultSecrets.Values
    ) throws(StartError) {
        self.name = Array(configuration.name.utf8)
        self.scheme = configuration.scheme.map { Array("\($0) ".utf8) } ?? []
        switch configuration.source {
        case .file(let path): self.secret = try Self.secret(in: path)
        case .vault(let source):
            guard let value = secrets[source] else {
                preconditionFailure("the vault was asked for every secret of the configuration")
            }
            do throws(CryptographyError) {
                self.secret = try value.word.copy()
            } catch {
                throw .environment("the secret \(source.url) cannot be used: \(error)")
            }
        }
    }

    /// The secret in a file; one line end after it is no part of it.
    ///
    /// - Throws: ``StartError`` if the file cannot be read, is open to others, or holds anything but
    ///   visible ASCII.
    static func secret(in file: String) throws(StartError) -> SecretBytes {
        do throws(CryptographyError) {
            return try SecretBytes(wordIn: file, maximum: Self.maximumBytes)
        } catch .file(_, let problem) {
            throw .environment("the credential in \(file) cannot be used: \(problem)")
        } catch {
            throw .environment("the credential in \(file) cannot be used: \(error)")
        }
    }

    /// Puts the field into a request, in place of what the client sent under its name.
    func add(to head: MessageHead) {
        head.remove(named: self.name)
        head.appendSecret(
            named: self.name, valueBytes: self.scheme.count + self.secret.count
        ) { output in
            let scheme = self.scheme
            output.append(scheme.span)
            Self.write(self.secret, to: &output)
        }
    }

    private static func write(_ secret: borrowing SecretBytes, to output: inout ByteWriter) {
        output.append(secret.bytes)
    }

    /// 8 KiB: tokens of identity providers have two or three.
    static let maximumBytes = 8192
}
