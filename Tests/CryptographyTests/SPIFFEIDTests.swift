import Cryptography
import Testing

@Suite struct SPIFFEIDTests {
    @Test(
        "An identity is read into its parts and written as it was",
        arguments: [
            ("spiffe://scoregate.local/gateway/edge", SPIFFEID.Kind.gateway, "edge"),
            ("spiffe://a/agent/Blue_2.x-y", .agent, "Blue_2.x-y"),
            ("spiffe://a.b-c_d/operator/...", .operator, "..."),
            (
                "spiffe://a/vault/" + String(repeating: "n", count: 64), .vault,
                String(repeating: "n", count: 64)
            ),
        ])
    func reads(text: String, kind: SPIFFEID.Kind, name: String) throws {
        let identity = try SPIFFEID(text)
        #expect(identity.kind == kind)
        #expect(identity.name == name)
        #expect(identity.text == text)
    }

    @Test(
        "Whatever is not exactly an identity is refused",
        arguments: [
            "", "spiffe://", "spiffe:/a/gateway/edge", "SPIFFE://a/gateway/edge",
            "https://a/gateway/edge", "spiffe://a/gateway", "spiffe://a/gateway/",
            "spiffe://a/gateway/edge/", "spiffe://a//edge", "spiffe:///gateway/edge",
            "spiffe://a/gateway/edge/x", "spiffe://a/Gateway/edge", "spiffe://a/server/edge",
            "spiffe://A/gateway/edge", "spiffe://a:1/gateway/edge", "spiffe://u@a/gateway/edge",
            "spiffe://a/gateway/edge?x", "spiffe://a/gateway/edge#x", "spiffe://a/gateway/e%64ge",
            "spiffe://a/gateway/.", "spiffe://a/gateway/..", " spiffe://a/gateway/edge",
            "spiffe://a/gateway/edge ", "spiffe://a/gateway/edge\n", "spiffe://a/gateway/edge\0",
            "spiffe://a/gateway/ed ge", "spiffe://a/gateway/\u{e9}dge",
            "spiffe://\u{e9}/gateway/edge", "spiffe://a/gateway/e\u{301}dge",
            "spiffe://a/gateway/" + String(repeating: "n", count: 65),
            "spiffe://" + String(repeating: "a", count: 256) + "/gateway/edge",
        ])
    func refuses(text: String) {
        #expect(throws: CryptographyError.self) { try SPIFFEID(text) }
    }

    @Test("Identities are equal exactly if all of their parts are")
    func equality() throws {
        let identity = try SPIFFEID("spiffe://a/gateway/edge")
        #expect(try identity == SPIFFEID(trustDomain: "a", kind: .gateway, name: "edge"))
        for other in [
            "spiffe://b/gateway/edge", "spiffe://a/agent/edge", "spiffe://a/gateway/Edge",
        ] {
            #expect(try identity != SPIFFEID(other))
        }
    }
}
