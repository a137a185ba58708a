import NIOCore
import Testing

@testable import TLS

@Suite("Sessions of a client")
struct ClientSessionsTests {
    @Test("connections that begin at once resume by the one ticket there is, again and again")
    func shared() throws {
        let certificates = try TestCertificates()
        let server = TLSServerConfiguration(certificates: [try certificates.server(["a.example"])])
        var client = TLSClientConfiguration(
            trustRoots: certificates.root, peer: .dnsName("a.example"))
        client.wantsTickets = true
        let (keys, sessions) = (TLSTicketKeys(), TLSClientSessions(resumedShare: 1))
        func connect(_ count: Int) throws -> [Bool?] {
            let pairs = try (0..<count).map { _ in
                try TLSPair(server: server, client: client, ticketKeys: keys, sessions: sessions)
            }
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
            for pair in pairs { pair.client.connect(to: address, promise: nil) }
            for pair in pairs {
                pair.server.connect(to: address, promise: nil)
                pair.carry()
            }
            return pairs.map { $0.clientHandler.session?.isResumed }
        }
        #expect(try connect(1) == [false])
        #expect(sessions.count == 1)
        #expect(try connect(1) == [true])
        for _ in 0..<3 { #expect(try connect(5) == [true, true, true, true, true]) }
    }
}
