internal import Foundation
internal import Synchronization

/// Notices that certificates, keys, trust roots or backends' credentials were replaced.
///
/// By size, time and inode, once a second: inotify misses what a mounted volume does to its
/// symbolic links, which is how Kubernetes replaces secrets.
final class FileWatch: Sendable {
    private let seen: Mutex<Files>

    /// The files of a configuration as they were at one moment.
    struct Files: Equatable {
        /// nil for a file that is not there.
        fileprivate var stamps: [String: Stamp?]

        /// As they are now; take it before reading them, so that no change falls in between.
        init(_ configuration: GatewayConfiguration) {
            var paths: [String] = []
            for listener in configuration.listeners {
                for files in listener.tls.certificates { paths += [files.chain, files.key] }
                switch listener.tls.clientAuthentication {
                case .none: break
                case .optional(let roots), .required(let roots): paths.append(roots)
                }
            }
            if let identity = configuration.identity {
                paths += [
                    identity.certificate.chain, identity.certificate.key, identity.trustRoots,
                ]
            }
            for endpoint in configuration.endpoints {
                for deployment in endpoint.deployments {
                    paths += deployment.credentials.map(\.file)
                }
            }
            self.init(paths)
        }

        fileprivate init(_ paths: some Sequence<String>) {
            self.stamps = [:]
            for path in paths { self.stamps.updateValue(Stamp(path), forKey: path) }
        }
    }

    fileprivate struct Stamp: Equatable {
        private let inode: Int
        private let bytes: Int
        private let modified: Date

        init?(_ path: String) {
            let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: real) else {
                return nil
            }
            self.inode = (attributes[.systemFileNumber] as? NSNumber)?.intValue ?? 0
            self.bytes = (attributes[.size] as? NSNumber)?.intValue ?? 0
            self.modified = attributes[.modificationDate] as? Date ?? .distantPast
        }
    }

    init(_ files: Files) {
        self.seen = Mutex(files)
    }

    /// Watches these from now on: they are in force.
    func follow(_ files: Files) {
        self.seen.withLock { $0 = files }
    }

    /// Whether a file is not what it was at the last call.
    func hasChanged() -> Bool {
        self.seen.withLock { seen in
            let now = Files(seen.stamps.keys)
            defer { seen = now }
            return now != seen
        }
    }
}
