import Foundation
import NIOCore
import Testing

/// What a gateway does when it may accept no more.
@Suite("Operations: connection limits")
struct OperationsLimitsTests {
    /// A busy machine must not have connections end that wait for their turn.
    private static let patience =
        "handshake_timeout_ms: 600000, header_timeout_ms: 600000, idle_timeout_ms: 600000"

    private static func connections(_ installation: Installation, _ count: Int) async throws
        -> [RawClient]
    {
        var clients: [RawClient] = []
        for _ in 0..<count {
            clients.append(
                try await RawClient.begin(
                    port: installation.gateway.port, root: installation.trustRoot,
                    serverName: "localhost"))
        }
        return clients
    }

    /// Processor time of the gateway so far.
    private static func processorTime(_ installation: Installation) throws -> Duration {
        let process = try installation.gateway.processID
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        // proc(5): utime and stime are 14 and 15; the name before may hold spaces.
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        let ticks = fields[11...12].compactMap { Int($0) }.reduce(0, +)
        return .milliseconds(ticks * 1000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func openFiles(_ installation: Installation) throws -> Int {
        let folder = "/proc/\(try installation.gateway.processID)/fd"
        return try FileManager.default.contentsOfDirectory(atPath: folder).count
    }

    /// Whether none of these comes through within half a second, at next to no processor time.
    private static func waits(_ client: RawClient, _ installation: Installation) async throws {
        let before = try Self.processorTime(installation)
        #expect(
            await !client.received.wait(.milliseconds(500)) { $0.hasHandshake || $0.isClosed })
        #expect(try Self.processorTime(installation) - before < .milliseconds(250))
    }

    @Test("At limits.connections the next one waits until another ends")
    func limit() async throws {
        let setup = Installation.Setup(
            workers: 1, lines: "limits: {connections: 3, \(Self.patience)}")
        try await Installation.run(setup) { installation in
            let key = try await installation.key()
            // Stopped meanwhile, the gateway finds all of them at once.
            try installation.gateway.signal(SIGSTOP)
            let clients = try await Self.connections(installation, 4)
            try installation.gateway.signal(SIGCONT)
            for client in clients.prefix(3) {
                #expect(await client.received.wait { $0.hasHandshake })
            }
            try await Self.waits(clients[3], installation)
            await clients[0].close()
            #expect(await clients[3].received.wait { $0.hasHandshake })
            await clients[3].send(installation.request(key))
            #expect(try await clients[3].answer().status == 200)
        }
    }

    @Test("A network whose clients flood is served one new connection after another")
    func floods() async throws {
        let setup = Installation.Setup(workers: 1, lines: "limits: {\(Self.patience)}")
        try await Installation.run(setup) { installation in
            let key = try await installation.key()
            let flood = [[UInt8]](repeating: RawFrame(type: 4, stream: 0).bytes, count: 300)
            let none = #"gateway_flood_limited_connections_total{result="delayed"} 0\#n"#
            var metrics = none
            // Twenty are forgiven, and on a slow machine some more meanwhile.
            for number in 0..<80 where metrics.contains(none) {
                let client = try await RawClient.connect(
                    port: installation.gateway.port, root: installation.trustRoot,
                    serverName: "localhost", alpn: ["h2"])
                await client.send(RawFrame.start + flood.joined())
                #expect(await client.untilClosed() != nil)
                #expect(client.frames.last { $0.type == 7 }?.code == 11)
                guard number >= 20 else { continue }
                // These come at once, so that the second has to wait whatever the machine does.
                for client in try await Self.connections(installation, 2) {
                    #expect(await client.received.wait { $0.hasHandshake })
                }
                metrics = try await installation.admin("/metrics").body
            }
            #expect(!metrics.contains(none))
            #expect(!metrics.contains("gateway_http2_floods_total 0\n"))
            #expect(try await installation.status(key) == 200)
        }
    }

    @Test("Out of file descriptors it waits without spinning, and recovers")
    func descriptors() async throws {
        guard isInstalled("prlimit") else { return }
        let setup = Installation.Setup(
            workers: 1, lines: "limits: {connections: 60, \(Self.patience)}")
        try await Installation.run(setup) { installation in
            let key = try await installation.key()
            #expect(try await installation.status(key) == 200)
            let files = try Self.openFiles(installation) + 6
            let lowered = try await installation.shell(
                "prlimit --pid \(try installation.gateway.processID) --nofile=\(files):\(files)")
            #expect(lowered.code == 0, "\(lowered.errors)")
            let clients = try await Self.connections(installation, 20)
            #expect(try await eventually { try Self.openFiles(installation) >= files })
            let last = try #require(clients.last)
            try await Self.waits(last, installation)
            #expect(try installation.gateway.exit.value == nil)
            for client in clients { await client.close() }
            #expect(
                try await eventually {
                    try Self.openFiles(installation) < files - 2
                })
            #expect(try await installation.status(key) == 200)
        }
    }
}
