import NIOCore
import ServiceConfiguration
import Testing

@testable import Gateway

@Suite("Networks that flood")
struct FloodLimiterTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let source: IPAddress
    private let neighbour: IPAddress
    private let other: IPAddress

    init() throws {
        self.source = try #require(IPAddress("192.0.2.1"))
        self.neighbour = try #require(IPAddress("192.0.2.77"))
        self.other = try #require(IPAddress("198.51.100.1"))
    }

    @Test("twenty floods are forgiven; then connections come one by one, two a second")
    func spacing() {
        var limiter = FloodLimiter()
        for _ in 0..<20 { limiter.recordFlood(source: self.source, now: self.start) }
        #expect(!limiter.isNeeded)
        #expect(limiter.delay(source: self.source, now: self.start) == .zero)
        limiter.recordFlood(source: self.source, now: self.start)
        #expect(limiter.isNeeded)
        let delays = (1...3).map { _ in limiter.delay(source: self.neighbour, now: self.start) }
        #expect(delays == [.milliseconds(500), .seconds(1), .milliseconds(1500)])
        // Who comes late waits no longer than until its turn.
        let later = self.start + .milliseconds(1980)
        #expect(limiter.delay(source: self.source, now: later) == .milliseconds(20))
        #expect(limiter.delay(source: self.source, now: self.start + .seconds(4)) == .zero)
        #expect(limiter.delay(source: self.other, now: self.start) == .zero)
    }

    @Test("no more than ten wait; ten seconds after the last flood all is forgotten")
    func bounds() {
        var limiter = FloodLimiter()
        for _ in 0..<21 { limiter.recordFlood(source: self.source, now: self.start) }
        let delays = (0..<50).map { _ in limiter.delay(source: self.source, now: self.start) }
        #expect(delays.prefix(10).allSatisfy { $0 != nil })
        #expect(delays.suffix(40).allSatisfy { $0 == nil })
        let last = self.start + .seconds(1)
        limiter.recordFlood(source: self.source, now: last)
        for _ in 0..<5 { limiter.recordFlood(source: self.source, now: last) }
        #expect(limiter.delay(source: self.source, now: last + .seconds(9)) == .zero)
        #expect(
            limiter.delay(source: self.source, now: last + .seconds(9)) == .milliseconds(500))
        #expect(limiter.delay(source: self.source, now: last + .seconds(11)) == .zero)
        #expect(!limiter.isNeeded)
        // Also where the network that flooded never comes back.
        for _ in 0..<21 { limiter.recordFlood(source: self.source, now: last + .seconds(12)) }
        #expect(limiter.isNeeded)
        #expect(limiter.delay(source: self.other, now: last + .seconds(23)) == .zero)
        #expect(!limiter.isNeeded)
    }

    @Test("networks in any number take a bounded room")
    func table() throws {
        var limiter = FloodLimiter()
        for network in 0..<3000 {
            let address = try #require(IPAddress("10.\(network / 256).\(network % 256).1"))
            for _ in 0..<21 { limiter.recordFlood(source: address, now: self.start) }
        }
        // Of the first a place is kept, of the last there was none left.
        let first = try #require(IPAddress("10.0.0.1"))
        let last = try #require(IPAddress("10.11.183.1"))
        #expect(limiter.delay(source: first, now: self.start) == .milliseconds(500))
        #expect(limiter.delay(source: last, now: self.start) == .zero)
    }
}
