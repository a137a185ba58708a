internal import Cryptography
internal import ServiceConfiguration
internal import State

/// Reads the policy: who may do what.
struct VaultPolicyReader {
    let trustDomain: String

    func policy(_ place: ConfigurationCursor) -> VaultPolicy? {
        guard let elements = place.elements() else { return nil }
        var grants: [SPIFFEID: [VaultPolicy.Grant]] = [:]
        var isRight = true
        for element in elements {
            guard let (identity, own) = self.entry(element) else {
                isRight = false
                continue
            }
            if grants.updateValue(own, forKey: identity) != nil {
                element.report("\(identity.text) has an entry already: write all of it there")
            }
        }
        return isRight ? VaultPolicy(grants: grants) : nil
    }

    private func entry(
        _ place: ConfigurationCursor
    ) -> (SPIFFEID, [VaultPolicy.Grant])? {
        guard
            let entry = place.mapping(keys: ["identity", "keys", "secrets", "may_wrap_and_unwrap"])
        else { return nil }
        let identity = entry.required("identity").flatMap(self.identity)
        let keys = entry["keys"].map { self.grants($0, .key, VaultRight.ofKeys) } ?? []
        let secrets = entry["secrets"].map { self.grants($0, .secret, VaultRight.ofSecrets) } ?? []
        let mayBoth = entry["may_wrap_and_unwrap"].map { $0.boolean() } ?? false
        guard let identity, let keys, let secrets, let mayBoth else { return nil }
        if !mayBoth, Self.wrapsAndUnwraps(keys) {
            place.report(
                "\(identity.text) could wrap and unwrap with the same key: whoever writes logs "
                    + "should not read them; if it must, say may_wrap_and_unwrap: true")
        }
        return (identity, keys + secrets)
    }

    private func identity(_ place: ConfigurationCursor) -> SPIFFEID? {
        guard let text = place.string() else { return nil }
        do throws(CryptographyError) {
            let identity = try SPIFFEID(text)
            guard identity.trustDomain == self.trustDomain else {
                place.report("\(text) is not of this vault's trust domain, \(self.trustDomain)")
                return nil
            }
            return identity
        } catch {
            place.report("\(error)")
            return nil
        }
    }

    private func grants(
        _ place: ConfigurationCursor, _ kind: VaultVersion.Kind, _ known: [VaultRight]
    ) -> [VaultPolicy.Grant]? {
        guard let entries = place.entries() else { return nil }
        let grants = entries.compactMap { key, name, value -> VaultPolicy.Grant? in
            guard let pattern = NamePattern(name) else {
                key.report(
                    "\"\(name)\" fits no name: letters, digits and dashes, with * at its end for all "
                        + "that begin so")
                return nil
            }
            guard let elements = value.elements() else { return nil }
            let rights = elements.compactMap { place -> VaultRight? in
                guard let text = place.string() else { return nil }
                if let right = VaultRight(rawValue: text), known.contains(right) { return right }
                let names = known.map(\.rawValue)
                let hint =
                    NearestName.of(text, among: names).map { "did you mean \"\($0)\"?" }
                    ?? "known are \(names.joined(separator: ", "))"
                place.report("unknown right \"\(text)\"; \(hint)")
                return nil
            }
            guard rights.count == elements.count else { return nil }
            return VaultPolicy.Grant(kind, pattern, Set(rights))
        }
        return grants.count == entries.count ? grants : nil
    }

    private static func wrapsAndUnwraps(_ grants: [VaultPolicy.Grant]) -> Bool {
        grants.contains { wrapping in
            wrapping.rights.contains(.wrapKey)
                && grants.contains {
                    $0.rights.contains(.unwrapKey) && $0.names.overlaps(wrapping.names)
                }
        }
    }
}
