package import Cryptography
internal import Foundation
internal import Glibc

/// The folder in which a service keeps its identity, its owner's alone.
///
/// | name | what |
/// |---|---|
/// | `current` | symbolic link to the folder of the certificate in use |
/// | `<serial>/` | `key.pem` (0600), `chain.pem` and `trust-bundle.pem`, never changed |
/// | `vault.json` | where the vault is and who it is |
/// | `denied.json` | the deny list that was heard of last |
/// | `pending.key`, `pending.request` | a key whose certificate was asked for and did not come yet |
///
/// A renewal becomes visible in one step, when the link is replaced: nobody sees a chain with
/// another's key. A crash at any point leaves either the former certificate or the new one.
package struct IdentityFolder: Sendable, Hashable {
    /// Where it lies.
    package let path: String

    /// The folder at `path`, which need not exist.
    package init(path: String) {
        self.path = path
    }

    /// The certificate in use and the intermediate, PEM.
    package var chain: String { "\(self.path)/current/chain.pem" }
    /// Its private key, PEM.
    package var key: String { "\(self.path)/current/key.pem" }
    /// The trust roots, PEM.
    package var trustBundle: String { "\(self.path)/current/trust-bundle.pem" }

    /// A key and the request for its certificate.
    package struct Pending: ~Copyable {
        /// The key, PEM.
        package let key: SecretBytes
        /// The request, DER.
        package let request: [UInt8]
    }

    /// Whether a certificate is there, valid or not.
    package var hasCertificate: Bool {
        unsafe access(self.chain, F_OK) == 0
    }

    /// The certificate in use; nil if there is none yet.
    package func certificate() throws(KeyVaultError) -> Certificate? {
        guard self.hasCertificate else { return nil }
        return try Self.reading { () throws(CryptographyError) in
            try Certificate.chain(pem: WholeFile.read(self.chain, maximum: Self.maximumBytes))[0]
        }
    }

    /// The trust roots that are known.
    func trustRoots() throws(KeyVaultError) -> [Certificate] {
        try Self.reading { () throws(CryptographyError) in
            try Certificate.chain(
                pem: WholeFile.read(self.trustBundle, maximum: Self.maximumBytes))
        }
    }

    /// The private key of the certificate in use, PEM.
    func privateKey() throws(KeyVaultError) -> SecretBytes {
        try Self.reading { () throws(CryptographyError) in
            try SecretBytes(contentsOf: self.key, maximum: Self.maximumBytes)
        }
    }

    /// Where the vault is, as the join token said; nil before the first join.
    func vault() throws(KeyVaultError) -> VaultLocation? {
        let path = "\(self.path)/vault.json"
        guard unsafe access(path, F_OK) == 0 else { return nil }
        let bytes = try Self.reading { () throws(CryptographyError) in
            try WholeFile.read(path, maximum: Self.maximumBytes)
        }
        guard let vault = try? JSONDecoder().decode(VaultLocation.self, from: Data(bytes)) else {
            throw .unusable(reason: "\(path): cannot be read; join again with a new token")
        }
        return vault
    }

    /// The key whose certificate did not come yet, or a new one.
    ///
    /// The same request is sent again after a lost answer or a crash: the vault then gives the
    /// certificate it gave before, and a join token is not lost.
    package func pending() throws(KeyVaultError) -> Pending {
        try Self.reading { () throws(CryptographyError) in
            try self.make()
            if unsafe access(self.pendingRequest, F_OK) == 0,
                let request = try? WholeFile.read(
                    self.pendingRequest, maximum: CertificateRequest.maximumBytes),
                (try? CertificateRequest(der: request)) != nil
            {
                let key = try SecretBytes(contentsOf: self.pendingKey, maximum: Self.maximumBytes)
                return Pending(key: key, request: request)
            }
            let key = try PrivateKey.generate(.ecdsaP256)
            let pem = try key.pem()
            let request = try CertificateRequest.make(for: key)
            // The key first: a request whose key is lost is of no use.
            try WholeFile.write(pem.bytes, to: self.pendingKey, mode: 0o600, isReplacing: true)
            try WholeFile.write(
                request.rawSpan, to: self.pendingRequest, mode: 0o600, isReplacing: true)
            return Pending(key: try key.pem(), request: request)
        }
    }

    /// Gives up the key whose certificate was asked for.
    func dropPending() {
        _ = unsafe unlink(self.pendingRequest)
        _ = unsafe unlink(self.pendingKey)
    }

    /// Puts a new certificate into use.
    ///
    /// - Parameters:
    ///   - answer: What the vault has issued.
    ///   - pending: What it was issued for.
    ///   - identity: Whose it must be.
    ///   - vault: Where to renew it; nil for the vault's own.
    /// - Returns: The certificate.
    /// - Throws: `.unusable` if it is another's, or of another key; nothing has changed then.
    package func adopt(
        _ answer: IdentityAnswer, for pending: borrowing Pending, identity: SPIFFEID,
        vault: VaultLocation?
    ) throws(KeyVaultError) -> Certificate {
        let location = vault.flatMap { try? JSONEncoder().encode($0) }.map { [UInt8]($0) }
        let leaf = try Self.reading { () throws(CryptographyError) in
            let leaf = try Certificate.chain(pem: Array(answer.chain.utf8))[0]
            guard try leaf.identity() == identity, try leaf.matches(privateKeyPEM: pending.key)
            else { throw .malformed("the vault's certificate is another's, or of another key") }
            _ = try Certificate.chain(pem: Array(answer.trustBundle.utf8))
            try self.make()
            if let location {
                try WholeFile.write(
                    location.rawSpan, to: "\(self.path)/vault.json", mode: 0o600,
                    isReplacing: true)
            }
            let folder = "\(self.path)/\(leaf.serial)"
            try Self.makeFolder(folder)
            for (name, text) in [
                ("chain.pem", answer.chain), ("trust-bundle.pem", answer.trustBundle),
            ] {
                let bytes = Array(text.utf8)
                try WholeFile.write(
                    bytes.rawSpan, to: "\(folder)/\(name)", mode: 0o600,
                    isReplacing: true)
            }
            try WholeFile.write(
                pending.key.bytes, to: "\(folder)/key.pem", mode: 0o600, isReplacing: true)
            return leaf
        }
        try self.select(leaf.serial)
        self.dropPending()
        return leaf
    }

    /// Lets `current` stand for the certificate with this serial number, and removes those before
    /// the one it stood for: a reader may still be at that.
    private func select(_ serial: String) throws(KeyVaultError) {
        let files = FileManager.default
        let link = "\(self.path)/current"
        let former = try? files.destinationOfSymbolicLink(atPath: link)
        let new = "\(link).new"
        _ = unsafe unlink(new)
        guard unsafe symlink(serial, new) == 0 else {
            throw .unusable(
                reason: CryptographyError.system(call: "symlink", errno: errno).description)
        }
        try Self.reading { () throws(CryptographyError) in try WholeFile.move(new, to: link) }
        for name in (try? files.contentsOfDirectory(atPath: self.path)) ?? []
        where name != serial && name != former && Hexadecimal.bytes(of: name) != nil {
            try? files.removeItem(atPath: "\(self.path)/\(name)")
        }
    }

    /// The deny list that was kept last; empty if there is none.
    var denyList: DenyList {
        guard
            let json = try? WholeFile.read(self.deniedPath, maximum: Self.maximumDenyListBytes)
        else { return DenyList([]) }
        return DenyList(json: json) ?? DenyList([])
    }

    /// Keeps `list` for a time when the vault cannot be asked.
    func keep(_ list: DenyList) throws(KeyVaultError) {
        let json = Array(list.json.utf8)
        try Self.reading { () throws(CryptographyError) in
            try WholeFile.write(json.rawSpan, to: self.deniedPath, mode: 0o600, isReplacing: true)
        }
    }

    private func make() throws(CryptographyError) {
        try Self.makeFolder(self.path)
    }

    private static func makeFolder(_ path: String) throws(CryptographyError) {
        guard unsafe mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        let problem: FileProblem =
            switch errno {
            case ENOENT: .missing
            case EACCES, EPERM: .notPermitted
            default: .failed(errno: errno)
            }
        throw .file(path: path, problem: problem)
    }

    private static func reading<Value: ~Copyable>(
        _ body: () throws(CryptographyError) -> Value
    ) throws(KeyVaultError) -> Value {
        do throws(CryptographyError) {
            return try body()
        } catch {
            throw .unusable(reason: error.description)
        }
    }

    private var deniedPath: String { "\(self.path)/denied.json" }
    private var pendingKey: String { "\(self.path)/pending.key" }
    private var pendingRequest: String { "\(self.path)/pending.request" }

    /// 64 KiB: a chain has two certificates of 1 KiB, a bundle a few.
    private static let maximumBytes = 65_536

    /// 4 MiB: 10,000 entries of at most 350 bytes.
    private static let maximumDenyListBytes = 4 << 20
}
