internal import Foundation
internal import State

/// Resolves the paths and addresses of a configuration, and checks the files it names.
package struct ConfigurationFiles {
    /// Absolute path of the configuration itself; relative paths in it start at its folder.
    package let file: String
    private let environment: [String: String]

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    /// The absolute path of a file or folder that need not exist yet.
    package func path(_ place: ConfigurationCursor) -> String? {
        place.string().map(self.absolute)
    }

    /// The absolute path of the root key's file: it must hold one, for its owner alone.
    func rootKeyPath(_ place: ConfigurationCursor) -> String? {
        guard let path = self.path(place) else { return nil }
        self.checkRootKey(path, at: place)
        return path
    }

    /// The absolute path of a credential that systemd gives the service (systemd.exec(5)).
    func credentialPath(_ place: ConfigurationCursor) -> String? {
        guard let name = place.string() else { return nil }
        guard !name.contains("/"), name != ".", name != ".." else {
            // Not shown: it may be the secret itself.
            place.report("this is not a credential's name: it must not contain /")
            return nil
        }
        guard let folder = self.environment["CREDENTIALS_DIRECTORY"], folder.hasPrefix("/") else {
            place.report(
                "there is no $CREDENTIALS_DIRECTORY: start by systemd with LoadCredential=")
            return nil
        }
        let path = "\(folder)/\(name)"
        self.checkRootKey(path, at: place)
        return path
    }

    /// Whether `path` lies in `folder` or below, symbolic links resolved.
    package func lies(_ path: String, inside folder: String) -> Bool {
        let path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        let folder = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
        return path == folder || path.hasPrefix(folder == "/" ? "/" : "\(folder)/")
    }

    /// The address to listen on: `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    package func listenAddress(_ place: ConfigurationCursor) -> ListenAddress? {
        guard let text = place.string() else { return nil }
        if text.hasPrefix("unix:") { return self.socket(place, text).map { .unix(path: $0) } }
        if let (host, port) = HostAndPort.split(text, defaultPort: nil) {
            let isBracketed = host.hasPrefix("[")
            let inner = isBracketed ? String(host.dropFirst().dropLast()) : host
            if let address = IPAddress(inner), isBracketed == inner.contains(":") {
                return .ip(address, port: port)
            }
        }
        place.report(
            "\"\(text)\" is not an address to listen on: 0.0.0.0:8443, [::]:8443 or unix:PATH")
        return nil
    }

    /// The absolute path in `unix:PATH`.
    package func socket(_ place: ConfigurationCursor, _ text: String) -> String? {
        let path = self.absolute(String(text.dropFirst("unix:".count)))
        guard text != "unix:" else {
            place.report("unix: needs a path")
            return nil
        }
        guard path.utf8.count <= Self.maximumSocketPathBytes else {
            place.report(
                "the socket's path has \(path.utf8.count) bytes: at most"
                    + " \(Self.maximumSocketPathBytes) are possible: \(path)")
            return nil
        }
        return path
    }

    /// `path` from the configuration's folder.
    package func absolute(_ path: String) -> String {
        let folder = URL(fileURLWithPath: self.file).deletingLastPathComponent()
        return URL(fileURLWithPath: path, relativeTo: folder).standardizedFileURL.path
    }

    private func checkRootKey(_ path: String, at place: ConfigurationCursor) {
        do throws(StateError) {
            _ = try RootKey.read(path: path)
        } catch {
            place.report("\(error)")
        }
    }

    /// 1 MiB: certificates and keys are a few KiB; trust bundles of hundreds of roots fit.
    package static let maximumFileBytes = 1 << 20
    /// sun_path less its terminating zero, unix(7).
    private static let maximumSocketPathBytes = 107
}
