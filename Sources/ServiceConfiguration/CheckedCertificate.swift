package import Cryptography
internal import State

/// A certificate chain and key that were read and fit together.
package struct CheckedCertificate {
    /// Where they lie.
    package let files: CertificateFiles
    /// The certificate itself, first of the chain.
    package let leaf: Certificate

    /// Whether the certificate is for `host`.
    package func covers(_ host: String) -> Bool { self.leaf.covers(host: host) }
}

extension ConfigurationFiles {
    /// The chain and key, after checking that they can be read, fit together and are valid today.
    package func certificate(
        chain: ConfigurationCursor?, key: ConfigurationCursor?
    ) -> CheckedCertificate? {
        let chainPath = chain.flatMap(self.path)
        let keyPath = key.flatMap(self.path)
        let leaf = chainPath.flatMap { path in chain.flatMap { self.leaf(of: path, at: $0) } }
        if let key, let keyPath { self.checkKey(keyPath, of: leaf, chainPath: chainPath, at: key) }
        guard let chainPath, let keyPath, let leaf else { return nil }
        return CheckedCertificate(
            files: CertificateFiles(chain: chainPath, key: keyPath), leaf: leaf)
    }

    /// The absolute path of a PEM file of trust roots, after checking that it has some.
    package func trustRoots(_ place: ConfigurationCursor) -> String? {
        guard let path = self.path(place), let roots = self.certificates(in: path, at: place)
        else { return nil }
        if !roots.contains(where: { $0.isValid(at: self.now) }) {
            place.report("\(path): every trust root in it has expired")
        }
        return path
    }

    /// Reports trust roots that nobody but the service itself leads to.
    ///
    /// Another leaf may be among them: it is trusted for itself (X509_VERIFY_PARAM_set_flags(3), partial
    /// chains).
    func checkTrustRoots(
        _ path: String, of own: CheckedCertificate, at place: ConfigurationCursor
    ) {
        guard let pem = try? WholeFile.read(path, maximum: Self.maximumFileBytes),
            let roots = try? Certificate.chain(pem: pem),
            roots.allSatisfy({ $0.der == own.leaf.der })
        else { return }
        place.report(
            "\(path): this is the service's own certificate: trust_roots are the authorities that the "
                + "others' certificates lead to")
    }

    /// Reports a certificate that is not the identity of the service `id`; with `isNamed` also one that is
    /// another service's.
    package func checkIdentity(
        _ leaf: Certificate, in path: String, of id: SPIFFEID, isNamed: Bool,
        at place: ConfigurationCursor
    ) {
        do throws(CryptographyError) {
            let found = try leaf.identity()
            if isNamed, found != id {
                place.report(
                    "\(path): the certificate is of \(found.text), but trust_domain and service make this "
                        + "\(id.text): change them, or issue a certificate for that")
            }
        } catch {
            place.report(
                "\(path): \(error): issue one by scoregate certs issue identity \(id.text)")
        }
    }

    /// The absolute path of a PEM file of revocation lists, after checking that none is out of date:
    /// every certificate that needs such a one would be refused.
    package func revocationLists(_ place: ConfigurationCursor) -> String? {
        guard let path = self.path(place) else { return nil }
        do throws(CryptographyError) {
            let pem = try WholeFile.read(path, maximum: RevocationList.maximumFileBytes)
            try RevocationList.each(pem: pem) { list throws(CryptographyError) in
                if let end = list.nextUpdate, end < self.now {
                    place.report("\(path): a list in it was due anew on \(UTCDate.text(of: end))")
                }
            }
        } catch .malformed(let reason) {
            place.report("\(path): \(reason)")
        } catch {
            place.report("\(error)")
        }
        return path
    }

    private func leaf(of path: String, at place: ConfigurationCursor) -> Certificate? {
        guard let leaf = self.certificates(in: path, at: place)?.first else { return nil }
        if leaf.isAuthority {
            place.report("\(path): the first certificate is an authority's; the leaf comes first")
        } else if self.now > leaf.notAfter {
            place.report("\(path): the certificate expired on \(UTCDate.text(of: leaf.notAfter))")
        } else if self.now < leaf.notBefore {
            place.report(
                "\(path): the certificate is not valid before \(UTCDate.text(of: leaf.notBefore))")
        }
        return leaf
    }

    private func certificates(in path: String, at place: ConfigurationCursor) -> [Certificate]? {
        do throws(CryptographyError) {
            let pem = try WholeFile.read(path, maximum: Self.maximumFileBytes)
            return try Certificate.chain(pem: pem)
        } catch .malformed(let reason) {
            place.report("\(path): \(reason)")
        } catch {
            place.report("\(error)")
        }
        return nil
    }

    private func checkKey(
        _ path: String, of leaf: Certificate?, chainPath: String?, at place: ConfigurationCursor
    ) {
        do throws(CryptographyError) {
            let pem = try SecretBytes(contentsOf: path, maximum: Self.maximumFileBytes)
            guard let leaf, let chainPath else { return }
            if try !leaf.matches(privateKeyPEM: pem) {
                place.report("\(path): the key does not belong to the certificate in \(chainPath)")
            }
        } catch .malformed(let reason) {
            place.report("\(path): \(reason)")
        } catch {
            place.report("\(error)")
        }
    }

    private var now: Int64 { UnixTime.milliseconds / 1000 }
}
