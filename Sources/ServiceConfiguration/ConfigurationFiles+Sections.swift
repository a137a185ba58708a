package import Cryptography

// The sections that every service's configuration has.
extension ConfigurationFiles {
    /// The trust domain that stands here; `scoregate.local` if none does.
    package func trustDomain(_ place: ConfigurationCursor?) -> String? {
        guard let place else { return "scoregate.local" }
        guard let name = place.string() else { return nil }
        do throws(CryptographyError) {
            try SPIFFEID.validate(trustDomain: name)
            return name
        } catch {
            place.report("\(error)")
            return nil
        }
    }

    /// What kind of service this is, one of `kinds`, and its name.
    package func service(
        _ place: ConfigurationCursor, among kinds: [SPIFFEID.Kind]
    ) -> (kind: SPIFFEID.Kind, name: String)? {
        guard let service = place.mapping(keys: ["kind", "name"]) else { return nil }
        let kind = service.required("kind").flatMap { place -> SPIFFEID.Kind? in
            guard let kind: SPIFFEID.Kind = place.choice() else { return nil }
            guard kinds.contains(kind) else {
                let names = kinds.map(\.rawValue).joined(separator: ", ")
                place.report("\"\(kind.rawValue)\" is not one of \(names)")
                return nil
            }
            return kind
        }
        guard let place = service.required("name"), let name = place.string() else { return nil }
        do throws(CryptographyError) {
            // A wrong kind was reported: the name is checked all the same.
            let kind = kind ?? kinds[0]
            _ = try SPIFFEID(trustDomain: "any", kind: kind, name: name)
            return (kind, name)
        } catch {
            place.report("\(error)")
            return nil
        }
    }

    /// The absolute path of the root key's file, which must not lie in the state folder.
    package func rootKey(_ place: ConfigurationCursor, stateDirectory: String?) -> String? {
        guard let rootKey = place.mapping(keys: ["file", "credential"]) else { return nil }
        let path: String?
        switch (rootKey["file"], rootKey["credential"]) {
        case (let file?, nil): path = self.rootKeyPath(file)
        case (nil, let credential?): path = self.credentialPath(credential)
        default:
            place.report("root_key needs either file or credential")
            return nil
        }
        guard let path else { return nil }
        if let stateDirectory, self.lies(path, inside: stateDirectory) {
            place.report("the root key must not lie inside the state folder it protects")
        }
        return path
    }

    /// A service's own certificate and its trust roots, after checking the files.
    package func identity(_ place: ConfigurationCursor) -> IdentityConfiguration? {
        guard let identity = place.mapping(keys: ["chain", "key", "trust_roots"]) else {
            return nil
        }
        let certificate = self.certificate(
            chain: identity.required("chain"), key: identity.required("key"))
        let place = identity.required("trust_roots")
        let trustRoots = place.flatMap(self.trustRoots)
        guard let certificate, let trustRoots else { return nil }
        if let place { self.checkTrustRoots(trustRoots, of: certificate, at: place) }
        return IdentityConfiguration(certificate: certificate.files, trustRoots: trustRoots)
    }
}
