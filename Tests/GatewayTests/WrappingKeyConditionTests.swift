import KeyVault
import Testing

@testable import Gateway

@Suite("What is known of a wrapping key") struct WrappingKeyConditionTests {
    private let start = ContinuousClock.now
    private let down = KeyVaultError.unavailable(reason: "test")

    @Test("A vault that does not answer is put up with for the grace period")
    func degraded() {
        var key = WrappingKeyCondition(grace: .seconds(30))
        #expect(key.cannotBeUsed(self.down, at: self.start) == .warn)
        #expect(key.state == .degraded)
        #expect(key.cannotBeUsed(self.down, at: self.start + .seconds(29)) == .nothing)
        #expect(key.state == .degraded)
        #expect(key.mayBeUsed() == .resume)
        #expect(key.state == .active)
        // The time counts anew.
        #expect(key.cannotBeUsed(self.down, at: self.start + .seconds(31)) == .warn)
        #expect(key.cannotBeUsed(self.down, at: self.start + .seconds(60)) == .nothing)
        #expect(key.cannotBeUsed(self.down, at: self.start + .seconds(61)) == .suspend)
        #expect(key.state == .suspended)
        #expect(key.cannotBeUsed(self.down, at: self.start + .seconds(99)) == .nothing)
        #expect(key.mayBeUsed() == .resume)
        #expect(key.state == .active)
    }

    @Test("Without a grace period the first silence suspends")
    func noGrace() {
        var key = WrappingKeyCondition(grace: .zero)
        #expect(key.cannotBeUsed(self.down, at: self.start) == .suspend)
    }

    @Test(
        "Each thing a vault says against a key revokes it at once, whatever was before",
        arguments: [
            WrappingKeyState.disabled, .expired, .notYetValid, .deleted, .forbidden,
        ])
    func revoked(_ state: WrappingKeyState) {
        for silence in [nil, 0, 31] {
            var key = WrappingKeyCondition(grace: .seconds(30))
            if let silence {
                _ = key.cannotBeUsed(self.down, at: self.start)
                _ = key.cannotBeUsed(self.down, at: self.start + .seconds(silence))
            }
            let now = self.start + .seconds(32)
            #expect(key.cannotBeUsed(.revoked(state), at: now) == .revoke)
            #expect(key.state == .revoked)
            #expect(key.cannotBeUsed(.revoked(.deleted), at: now) == .nothing)
            // Silence is no restoration, and no suspension either.
            #expect(key.cannotBeUsed(self.down, at: now + .seconds(99)) == .nothing)
            #expect(key.state == .revoked)
            #expect(key.mayBeUsed() == .restore)
            // Not before there is a log key.
            #expect(key.state == .revoked)
            key.restored()
            #expect(key.state == .active)
            #expect(key.mayBeUsed() == .nothing)
        }
    }

    @Test("What cannot be used from the start is suspended or revoked, and comes into use later")
    func fromTheStart() {
        var revoked = WrappingKeyCondition(
            .revoked(.disabled), grace: .seconds(30), at: self.start)
        #expect(revoked.state == .revoked && revoked.mayBeUsed() == .restore)
        var silent = WrappingKeyCondition(self.down, grace: .seconds(30), at: self.start)
        #expect(silent.state == .suspended)
        #expect(silent.cannotBeUsed(.revoked(.disabled), at: self.start) == .revoke)
    }
}
