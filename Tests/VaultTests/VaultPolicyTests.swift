import Cryptography
import State
import Testing

@testable import Vault

@Suite("Vault policy")
struct VaultPolicyTests {
    @Test(
        "a pattern fits one name, or all that begin alike, in any case",
        arguments: [
            ("log-a", "log-a", true), ("log-a", "LOG-A", true), ("Log-A", "log-a", true),
            ("log-a", "log-ab", false), ("log-*", "log-a", true), ("log-*", "log-", true),
            ("log-*", "log", false), ("log-*", "LOG-X", true), ("*", "anything", true),
        ])
    func patterns(_ pattern: String, _ name: String, _ fits: Bool) throws {
        #expect(try #require(NamePattern(pattern)).matches(name) == fits)
    }

    @Test(
        "what can fit no name is no pattern",
        arguments: ["", "a b", "a*b", "**", "a/b", "ä", String(repeating: "a", count: 128)])
    func noPattern(_ text: String) {
        #expect(NamePattern(text) == nil)
    }

    @Test(
        "two patterns overlap if some name fits both",
        arguments: [
            ("a", "a", true), ("a", "A", true), ("a", "b", false), ("a*", "ab", true),
            ("ab", "a*", true), ("a*", "ab*", true), ("ab*", "a*", true), ("ab*", "ac*", false),
            ("*", "x", true),
        ])
    func overlaps(_ first: String, _ second: String, _ expected: Bool) throws {
        let (first, second) = (
            try #require(NamePattern(first)), try #require(NamePattern(second))
        )
        #expect(first.overlaps(second) == expected)
        #expect(second.overlaps(first) == expected)
    }

    @Test("a right is had by that identity, on those names, of that kind, and by nobody else")
    func rights() throws {
        let writer = try SPIFFEID("spiffe://test.local/gateway/edge")
        let other = try SPIFFEID("spiffe://test.local/gateway/edge2")
        let pattern = try #require(NamePattern("log-*"))
        let policy = VaultPolicy(grants: [writer: [.init(.key, pattern, [.get])]])
        #expect(policy.allows(.get, .key, "log-a", to: writer))
        #expect(!policy.allows(.get, .key, "other", to: writer))
        #expect(!policy.allows(.unwrapKey, .key, "log-a", to: writer))
        #expect(!policy.allows(.get, .secret, "log-a", to: writer))
        #expect(!policy.allows(.get, .key, "log-a", to: other))
        #expect(policy.allowsSome(.get, .key, to: writer))
        #expect(!policy.allowsSome(.list, .key, to: writer))
        #expect(!policy.allowsSome(.get, .key, to: other))
    }
}
