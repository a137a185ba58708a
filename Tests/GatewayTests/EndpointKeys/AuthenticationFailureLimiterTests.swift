import ServiceConfiguration
import Testing

@testable import Gateway

@Suite struct AuthenticationFailureLimiterTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    @Test("the 21st failure of a network within a minute waits, until tokens come back")
    func network() throws {
        var limiter = AuthenticationFailureLimiter()
        for index in 0..<20 {
            let source = try self.address("192.0.2.\(index)")
            #expect(limiter.recordFailure(source: source, kid: nil, nowMilliseconds: 1000) == 0)
        }
        let source = try self.address("192.0.2.99")
        #expect(limiter.recordFailure(source: source, kid: nil, nowMilliseconds: 1000) == 250)
        #expect(limiter.recordFailure(source: source, kid: nil, nowMilliseconds: 3000) == 250)
        #expect(limiter.recordFailure(source: source, kid: nil, nowMilliseconds: 4100) == 0)
        let other = try self.address("192.0.3.1")
        #expect(limiter.recordFailure(source: other, kid: nil, nowMilliseconds: 4100) == 0)
    }

    @Test("IPv6 sources share a bucket by /56")
    func ipv6() throws {
        var limiter = AuthenticationFailureLimiter()
        for index in 0..<20 {
            let source = try self.address("2001:db8:0:\(index)::1")
            #expect(limiter.recordFailure(source: source, kid: nil, nowMilliseconds: 0) == 0)
        }
        let same = try self.address("2001:db8:0:ff::9")
        #expect(limiter.recordFailure(source: same, kid: nil, nowMilliseconds: 0) == 250)
        let other = try self.address("2001:db8:0:100::9")
        #expect(limiter.recordFailure(source: other, kid: nil, nowMilliseconds: 0) == 0)
    }

    @Test("a kid guessed from many networks waits too")
    func kid() throws {
        var limiter = AuthenticationFailureLimiter()
        let kid = try #require(EndpointKeyID("abcdefghijk"))
        for index in 0..<20 {
            let source = try self.address("10.0.\(index).1")
            #expect(limiter.recordFailure(source: source, kid: kid, nowMilliseconds: 0) == 0)
        }
        let source = try self.address("10.1.0.1")
        #expect(limiter.recordFailure(source: source, kid: kid, nowMilliseconds: 0) == 250)
    }
}
