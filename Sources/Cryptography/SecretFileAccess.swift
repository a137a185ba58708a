internal import Glibc

/// Who has a right to a file that holds a secret, as its inode says.
///
/// The owner may have any right. A group may read, nothing more, where that is how a secret is
/// given to a service: a mounted Kubernetes secret with `fsGroup` (root and the pod's group, 0440),
/// a credential of systemd (root, 0440 with an access list), a key of Debian's `ssl-cert` group.
/// Owner and group are then nobody but root and this process. Others never have a right.
struct SecretFileAccess {
    /// Permission bits.
    var mode: UInt32
    var owner: UInt32
    var group: UInt32

    /// The user and the groups of a process.
    struct Process {
        var user: UInt32
        var groups: [UInt32]

        /// Of the process that runs: effective user, effective and supplementary groups.
        static var current: Process {
            var groups = [getegid()]
            let count = getgroups(0, nil)
            if count > 0 {
                var more = [gid_t](repeating: 0, count: Int(count))
                let filled = unsafe getgroups(count, &more)
                groups += more.prefix(max(0, Int(filled)))
            }
            return Process(user: geteuid(), groups: groups)
        }
    }

    /// What keeps the file from being trusted by `process`; nil if nothing does.
    func problem(for process: Process) -> FileProblem? {
        if self.mode & Self.never != 0 { return .openToOthers(mode: self.mode) }
        guard self.mode & Self.groupRead != 0 else { return nil }
        let isOwnerKnown = self.owner == Self.root || self.owner == process.user
        let isGroupKnown = self.group == Self.root || process.groups.contains(self.group)
        if isOwnerKnown && isGroupKnown { return nil }
        return .openToGroup(mode: self.mode, owner: self.owner, group: self.group)
    }

    /// Writing and executing for the group, everything for others.
    private static let never: UInt32 = 0o037
    private static let groupRead: UInt32 = 0o040
    private static let root: UInt32 = 0
}
