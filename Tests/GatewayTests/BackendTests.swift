import HTTPTransport
import NIOEmbedded
import TLS
import Testing

@testable import Gateway

@Suite("Backends")
struct BackendTests {
    private let loop: LoopContext

    init() throws {
        self.loop = LoopContext(eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
    }

    private func backends(_ count: Int) -> [Backend] {
        (0..<count).map { _ in
            Backend(
                address: .unix(path: "/s"),
                pool: ConnectionPool(
                    loop: self.loop, address: .unix(path: "/s"), tls: nil, httpLimits: .response))
        }
    }

    @Test("a backend rests after three failures in a row, and no more after a success")
    func rest() throws {
        let backends = self.backends(2)
        defer { for backend in backends { backend.pool.close() } }
        var turn = 0
        for _ in 0..<2 { backends[0].failed() }
        backends[0].succeeded()
        for _ in 0..<2 { backends[0].failed() }
        #expect(backends[0].isHealthy)
        // The longest rest, so that the clock does not matter.
        for _ in 0..<10 { backends[0].failed() }
        #expect(!backends[0].isHealthy)
        for _ in 0..<4 {
            #expect(backends.leastLoaded(turn: &turn, excluding: []) === backends[1])
        }
        // Rather one at rest than none.
        #expect(backends.leastLoaded(turn: &turn, excluding: [backends[1]]) === backends[0])
        backends[0].succeeded()
        #expect(backends[0].isHealthy)
        let chosen = (0..<4).compactMap { _ in backends.leastLoaded(turn: &turn, excluding: []) }
        #expect(chosen.count { $0 === backends[0] } == 2)
    }

    @Test("the least loaded backend is chosen, equals take turns")
    func load() {
        let backends = self.backends(3)
        defer { for backend in backends { backend.pool.close() } }
        var turn = 0
        backends[0].inFlight = 2
        backends[1].inFlight = 1
        backends[2].inFlight = 3
        #expect(backends.leastLoaded(turn: &turn, excluding: []) === backends[1])
        #expect(backends.leastLoaded(turn: &turn, excluding: [backends[1]]) === backends[0])
        #expect(backends.leastLoaded(turn: &turn, excluding: Array(backends[..<2])) === backends[2])
        #expect(backends.leastLoaded(turn: &turn, excluding: backends) === nil)
        for backend in backends { backend.inFlight = 0 }
        let chosen = (0..<6).compactMap { _ in backends.leastLoaded(turn: &turn, excluding: []) }
        for backend in backends { #expect(chosen.count { $0 === backend } == 2) }
        let sole = [backends[0]]
        #expect(sole.leastLoaded(turn: &turn, excluding: [backends[0]]) === nil)
    }
}
