import Cryptography
import State
import Testing

@testable import Vault

@Suite final class AuthorityRotationTests {
    private let machine = AuthorityRotation(leafSeconds: 3600)
    private let now: Int64 = 1_800_000_000
    private let root: CertificateAuthority
    private let other: CertificateAuthority

    init() throws {
        let root = try CertificateAuthority.create(trustDomain: "test", now: self.now)
        let other = try CertificateAuthority.create(trustDomain: "test", now: self.now)
        self.root = root
        self.other = other
    }

    private func record(
        _ authority: borrowing CertificateAuthority, _ state: AuthorityRecord.State,
        since: Int64 = 0, under issuer: AuthorityRecord? = nil
    ) -> AuthorityRecord {
        AuthorityRecord(
            issuerID: issuer?.id, certificate: authority.certificate, state: state,
            sinceMilliseconds: (self.now + since) * 1000)
    }

    private func step(_ present: [AuthorityRecord], after seconds: Int64 = 0)
        -> AuthorityRotation.Step?
    {
        self.machine.step(present, now: self.now + seconds)
    }

    @Test("an empty state gets a root that signs at once, then an intermediate, then nothing")
    func first() throws {
        #expect(self.step([]) == .makeRoot(.signing))
        let root = self.record(self.root, .signing)
        #expect(self.step([root]) == .makeIntermediate(root: root.id, replacing: nil))
        let intermediate = try self.root.makeIntermediate(now: self.now)
        #expect(self.step([root, self.record(intermediate, .signing, under: root)]) == nil)
    }

    @Test("an intermediate is replaced when a third of its life is left, unless its root ends then")
    func intermediate() throws {
        let root = self.record(self.root, .signing)
        let made = try self.root.makeIntermediate(now: self.now)
        let intermediate = self.record(made, .signing, under: root)
        #expect(self.step([root, intermediate], after: 20 * 86_400) == nil)
        #expect(
            self.step([root, intermediate], after: 20 * 86_400 + 1)
                == .makeIntermediate(root: root.id, replacing: intermediate.id))
        let end = self.root.certificate.notAfter - self.now
        let last = try self.root.makeIntermediate(now: self.now + end - 5 * 86_400)
        let published = self.record(self.other, .published, since: end - 5 * 86_400)
        #expect(
            self.step(
                [root, published, self.record(last, .signing, under: root)],
                after: end - 5 * 86_400 + 10) == nil)
    }

    @Test("a published root signs after two leaf lives, the old one goes after two more")
    func rotation() throws {
        let made = try self.root.makeIntermediate(now: self.now)
        let old = self.record(self.root, .signing)
        let new = self.record(self.other, .published)
        let below = self.record(made, .signing, under: old)
        #expect(self.step([old, below, new], after: 7199) == nil)
        #expect(
            self.step([old, below, new], after: 7200)
                == .promote(root: new.id, replacing: old.id))
        let outgoing = self.record(self.root, .outgoing, since: 7200)
        let signing = self.record(self.other, .signing, since: 7200)
        let newBelow = try self.other.makeIntermediate(now: self.now + 7200)
        let present = [outgoing, signing, self.record(newBelow, .signing, under: signing)]
        #expect(self.step(present, after: 14_399) == nil)
        #expect(self.step(present, after: 14_400) == .retire(root: old.id))
    }

    @Test("a root that nears its end gets a successor by itself; one that has ended is replaced")
    func ends() throws {
        let root = self.record(self.root, .signing)
        let left = self.root.certificate.notAfter - self.now
        let made = try self.root.makeIntermediate(now: self.now + left - 59 * 86_400)
        let below = self.record(made, .signing, under: root)
        #expect(self.step([root, below], after: left - 59 * 86_400) == .makeRoot(.published))
        #expect(self.step([root, below], after: left) == .retire(root: root.id))
        // A vault that was away while its root ended has a published one to go on with.
        let published = self.record(self.other, .published)
        let retired = self.record(self.root, .retired)
        #expect(
            self.step([retired, published]) == .promote(root: published.id, replacing: nil))
    }
}
