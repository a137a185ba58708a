import Testing

@testable import Cryptography

@Suite struct SecretFileAccessTests {
    /// A service of user 1000 with its own group and one of the pod's.
    private static let service = SecretFileAccess.Process(user: 1000, groups: [1000, 2000])

    @Test(
        "A group may read a secret where owner and group are root or the process itself",
        arguments: [
            (0o440, 0, 2000), (0o440, 0, 0), (0o640, 0, 1000), (0o640, 1000, 1000),
            (0o400, 1000, 33), (0o600, 33, 33),
        ] as [(UInt32, UInt32, UInt32)])
    func accepted(mode: UInt32, owner: UInt32, group: UInt32) {
        let access = SecretFileAccess(mode: mode, owner: owner, group: group)
        #expect(access.problem(for: Self.service) == nil)
    }

    @Test(
        "A group that is not the process's, or the file of another user, is refused",
        arguments: [(0o440, 0, 33), (0o640, 1000, 100), (0o640, 33, 1000)]
            as [(UInt32, UInt32, UInt32)])
    func foreignGroup(mode: UInt32, owner: UInt32, group: UInt32) {
        let access = SecretFileAccess(mode: mode, owner: owner, group: group)
        #expect(
            access.problem(for: Self.service)
                == .openToGroup(mode: mode, owner: owner, group: group))
    }

    @Test(
        "Others never have a right, nor the group to write",
        arguments: [0o444, 0o604, 0o641, 0o660, 0o650] as [UInt32])
    func others(mode: UInt32) {
        let access = SecretFileAccess(mode: mode, owner: 1000, group: 1000)
        #expect(access.problem(for: Self.service) == .openToOthers(mode: mode))
    }
}
