internal import Cryptography
internal import TLS

/// Sessions kept from one run to the next: a file of mode 0600.
///
///     offset  size  meaning
///     0       …     one line of text: what the sessions are good for, see ``binding(_:)``
///     …       …     sessions, as TLSClientSessions.encoded() gives them
///
/// To resume a session is to trust the certificate that was verified when it was made: the line keeps
/// sessions from being offered where something else would be verified.
struct SessionFile {
    let path: String
    private let line: [UInt8]

    /// The file of `plan`, if it has one.
    init?(_ plan: LoadPlan) {
        guard let path = plan.tls.sessionFile, plan.target.isEncrypted else { return nil }
        self.path = path
        self.line = Array("scoregate sessions: \(Self.binding(plan))\n".utf8)
    }

    /// Gives `sessions` what the file has; nothing if there is no file yet.
    ///
    /// - Throws: `.environment` if others may read the file, or it is of another server.
    func load(into sessions: TLSClientSessions) throws(LoadError) {
        let secret: SecretBytes
        do throws(CryptographyError) {
            secret = try SecretBytes(contentsOf: self.path, maximum: Self.maximumBytes)
        } catch {
            if case .file(_, .missing) = error { return }
            throw .environment("the session file cannot be used: \(error)")
        }
        let bytes = secret.bytes
        let isOurs =
            bytes.byteCount >= self.line.count
            && self.line.indices.allSatisfy { bytes[byte: $0] == self.line[$0] }
        guard isOurs else {
            throw .environment(
                "\(self.path): not a session file of this server, name and certificates; "
                    + "name another --session-file")
        }
        sessions.add(bytes.extracting(droppingFirst: self.line.count))
    }

    /// Replaces the file.
    func store(_ sessions: [UInt8]) throws(LoadError) {
        do throws(CryptographyError) {
            try WholeFile.write(
                (self.line + sessions).rawSpan, to: self.path, mode: 0o600, isReplacing: true)
        } catch {
            throw .environment("the session file cannot be written: \(error)")
        }
    }

    private static func binding(_ plan: LoadPlan) -> String {
        [
            plan.target.authority, plan.tls.peerIdentity ?? "-", plan.tls.serverName ?? "-",
            plan.tls.trustRoots ?? "-", plan.tls.identity?.chain ?? "-",
        ].joined(separator: " ")
    }

    /// 4 MiB: some hundred sessions with the certificates they were made with.
    private static let maximumBytes = 4_194_304
}
