internal import Foundation

/// Notices that certificates, keys or trust roots were replaced.
///
/// By size, time and inode, once a second: inotify misses what a mounted volume does to its
/// symbolic links, which is how Kubernetes replaces secrets.
struct FileWatch {
    private var seen: [String: Stamp]

    private struct Stamp: Equatable {
        var inode: Int
        var bytes: Int
        var modified: Date
    }

    init(_ configuration: GatewayConfiguration) {
        self.seen = Self.stamps(configuration)
    }

    /// Whether a file is not what it was at the last call.
    mutating func hasChanged(_ configuration: GatewayConfiguration) -> Bool {
        let now = Self.stamps(configuration)
        defer { self.seen = now }
        return now != self.seen
    }

    private static func stamps(_ configuration: GatewayConfiguration) -> [String: Stamp] {
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
        var stamps: [String: Stamp] = [:]
        for path in paths {
            let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: real) else {
                continue
            }
            stamps[path] = Stamp(
                inode: (attributes[.systemFileNumber] as? NSNumber)?.intValue ?? 0,
                bytes: (attributes[.size] as? NSNumber)?.intValue ?? 0,
                modified: attributes[.modificationDate] as? Date ?? .distantPast)
        }
        return stamps
    }
}
