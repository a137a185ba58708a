import HTTPTransport
import NIOCore
import NIOPosix
import ServiceConfiguration
import Testing

@testable import Gateway

@Suite("Accepting", .timeLimit(.minutes(10)))
struct AcceptGateTests {
    @Test("handshakes that stand still keep others out for a second, not until they time out")
    func stalled() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        let bench = try await ExchangeBench([backend]) { $0.limits.connections = 1000 }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let port = bench.gateway.addresses[0].port ?? 0
            let connecting = (0..<260).map { _ in
                ClientBootstrap(group: group).connect(host: "127.0.0.1", port: port)
            }
            _ = try await EventLoopFuture.whenAllSucceed(connecting, on: group.next()).get()
            let start = ContinuousClock.now
            #expect(try await bench.ask().status == 200)
            // The asking connection may have been accepted in the same turn as the last of the
            // others, and answered before they are cut.
            var metrics = try await bench.gateway.metrics()
            while metrics.contains("gateway_tls_handshakes_cut_total 0\n"),
                ContinuousClock.now - start < .seconds(40)
            {
                await Task.yield()
                metrics = try await bench.gateway.metrics()
            }
            #expect(!metrics.contains("gateway_tls_handshakes_cut_total 0\n"))
            #expect(metrics.contains(#"gateway_accept_pauses_total{cause="handshakes"}"#))
            #expect(!metrics.contains(#"gateway_accept_pauses_total{cause="handshakes"} 0"#))
        } catch {
            await bench.stop()
            try await group.shutdownGracefully()
            throw error
        }
        await bench.stop()
        try await group.shutdownGracefully()
    }

    @Test(
        "a client's network is /24 of IPv4, /56 of IPv6",
        arguments: [
            ("10.1.2.3", "10.1.2.250", true), ("10.1.2.3", "10.1.3.3", false),
            ("2001:db8:0:100::1", "2001:db8:0:1ff::2", true),
            ("2001:db8:0:100::1", "2001:db8:0:200::1", false),
        ])
    func network(one: String, other: String, isSame: Bool) throws {
        let networks = try [one, other].map { try #require(IPAddress($0)).sourceNetwork }
        #expect((networks[0] == networks[1]) == isSame)
    }
}
