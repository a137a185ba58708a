internal import Cryptography
internal import ServiceConfiguration

/// A field that a deployment's backends want to see, whose value is a secret.
package struct CredentialConfiguration: Sendable, Equatable {
    /// The field's name, lower case.
    package var name: String
    /// What stands before the secret, for instance `Bearer`; nil for nothing.
    package var scheme: String?
    /// Absolute path of the file with the secret, its owner's alone.
    package var file: String
}

extension DeploymentReader {
    /// Reads `credentials`: fields by name, each with its file.
    func credentials(_ place: ConfigurationCursor) -> [CredentialConfiguration]? {
        guard let entries = place.entries() else { return nil }
        if entries.count > Self.mostCredentials {
            place.report("at most \(Self.mostCredentials) credentials a deployment")
        }
        var names: Set<String> = []
        let credentials = entries.compactMap { key, name, value -> CredentialConfiguration? in
            let name = name.lowercased()
            guard self.mayBeCredential(name) else {
                key.report(
                    "\"\(name)\" cannot be a credential: a field's name, none that the gateway sets "
                        + "itself or that frames the message")
                return nil
            }
            if !names.insert(name).inserted { key.report("\"\(name)\" is there twice") }
            guard let credential = value.mapping(keys: ["file", "scheme"]),
                let file = credential.required("file").flatMap(self.files.path)
            else { return nil }
            var scheme: String?
            if let place = credential["scheme"] {
                scheme = place.string()
                guard let scheme, scheme.utf8.allSatisfy(Self.isTokenByte), !scheme.isEmpty else {
                    place.report("a scheme is one word, for instance Bearer")
                    return nil
                }
            }
            let configuration = CredentialConfiguration(name: name, scheme: scheme, file: file)
            do throws(StartError) {
                _ = try BackendCredential(configuration)
            } catch {
                value.report(error.description)
            }
            return configuration
        }
        return credentials.count == entries.count ? credentials : nil
    }

    private func mayBeCredential(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 64 && name.utf8.allSatisfy(Self.isTokenByte)
            && !Self.taken.contains(name) && !name.hasPrefix("x-forwarded-")
            && !name.hasPrefix("x-scoregate-") && !name.hasPrefix("azureml-")
    }

    /// RFC 9110 section 5.6.2, letters in lower case or upper.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    private static let taken: Set<String> = [
        "host", "connection", "content-length", "content-type", "transfer-encoding", "te",
        "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "x-request-id",
        "x-ms-client-request-id", "forwarded", "via",
    ]
    private static let mostCredentials = 8
}
