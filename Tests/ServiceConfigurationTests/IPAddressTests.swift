import Testing

@testable import ServiceConfiguration

@Suite struct IPAddressTests {
    @Test(
        "an address is written as RFC 5952 says",
        arguments: [
            ("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("::", "::"), ("::1", "::1"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("fe80::", "fe80::"), ("1::3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ])
    func text(_ text: String, _ canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test(
        "what is no address is refused",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.-4", ":", ":::", "1::2::3",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "::g", "fe80::1%eth0", "1.2.3.4::",
            "1:2:3:4:5:6:7:1.2.3.4", "::1 ", "+1::",
        ])
    func refused(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("a range has what shares its prefix")
    func range() throws {
        let private4 = try #require(AddressRange("10.0.0.0/8"))
        #expect(private4.contains(try #require(IPAddress("10.255.0.1"))))
        #expect(private4.contains(try #require(IPAddress("::ffff:10.0.0.1"))))
        #expect(!private4.contains(try #require(IPAddress("11.0.0.1"))))
        let all4 = try #require(AddressRange("0.0.0.0/0"))
        #expect(all4.contains(try #require(IPAddress("9.9.9.9"))))
        #expect(!all4.contains(try #require(IPAddress("2001:db8::1"))))
        let one = try #require(AddressRange("::1"))
        #expect(one.contains(try #require(IPAddress("::1"))))
        #expect(try #require(AddressRange("::/0")).contains(try #require(IPAddress("1.1.1.1"))))
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "x/8", "10.0.0.0/8/8", "::/129"] {
            #expect(AddressRange(text) == nil)
        }
    }
}
