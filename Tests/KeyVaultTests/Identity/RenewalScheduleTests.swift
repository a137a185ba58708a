import Cryptography
import Testing

@testable import KeyVault

@Suite struct RenewalScheduleTests {
    @Test("a certificate is renewed at half of its life, a twentieth more or less")
    func halfLife() throws {
        let now: Int64 = 1_800_000_000
        let root = try CertificateAuthority.create(trustDomain: "test", now: now - 86_400)
        let request = try CertificateRequest.make(for: PrivateKey.generate(.ecdsaP256))
        let leaf = try root.issueIdentity(
            SPIFFEID("spiffe://test/agent/a"), for: CertificateRequest(der: request),
            seconds: 3540, now: now)
        // Backdated by 60 s: its life is 3600 s, of which 60 s are over.
        for (jitter, seconds) in [(0.0, 1560.0), (0.5, 1740.0), (1.0, 1920.0)] {
            #expect(
                RenewalSchedule.pause(until: leaf, now: now, jitter: jitter) == .seconds(seconds))
        }
        #expect(RenewalSchedule.pause(until: leaf, now: now + 3000, jitter: 0.5) == .zero)
        #expect(RenewalSchedule.pause(until: leaf, now: now + 9000, jitter: 0.5) == .zero)
    }

    @Test("failures wait longer each time, up to a minute")
    func backoff() {
        let pauses = (1...40).map { RenewalSchedule.pause(afterFailures: $0, jitter: 1) }
        #expect(pauses.prefix(8).map { $0 / .seconds(1) } == [1, 2, 4, 8, 16, 32, 60, 60])
        #expect(pauses.allSatisfy { $0 <= .seconds(60) })
        #expect(RenewalSchedule.pause(afterFailures: 3, jitter: 0) == .seconds(2))
    }
}
