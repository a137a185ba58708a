internal import Foundation
internal import Synchronization

/// Notices that certificates, keys, trust roots or backends' credentials were replaced.
///
/// By size, time and inode, once a second: inotify misses what a mounted volume does to its
/// symbolic links, which is how Kubernetes replaces secrets.
package final class FileWatch: Sendable {
    private let seen: Mutex<Files>

    /// The files of a configuration as they were at one moment.
    package struct Files: Equatable, Sendable {
        /// nil for a file that is not there.
        fileprivate var stamps: [String: Stamp?]

        /// As they are now; take it before reading them, so that no change falls in between.
        package init(_ paths: some Sequence<String>) {
            self.stamps = [:]
            for path in paths { self.stamps.updateValue(Stamp(path), forKey: path) }
        }
    }

    fileprivate struct Stamp: Equatable, Sendable {
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

    /// Watches these.
    package init(_ files: Files) {
        self.seen = Mutex(files)
    }

    /// Watches these from now on: they are in force.
    package func follow(_ files: Files) {
        self.seen.withLock { $0 = files }
    }

    /// Whether a file is not what it was at the last call.
    package func hasChanged() -> Bool {
        self.seen.withLock { seen in
            let now = Files(seen.stamps.keys)
            defer { seen = now }
            return now != seen
        }
    }
}
