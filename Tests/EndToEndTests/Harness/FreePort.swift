import NIOCore
import NIOPosix
import Synchronization

/// Ports for processes that are ended and started again on the same one.
///
/// Below those the kernel gives out by itself (ip_local_port_range begins with 32768): one of
/// these would sometimes be a connection's of another test by the time its process comes back.
enum FreePort {
    private static let taken = Mutex<Set<Int>>([])

    /// A port nobody listens on, and none that was given before.
    static func find() async throws -> Int {
        for _ in 0..<100 {
            let port = Int.random(in: 20_000..<32_000)
            guard self.taken.withLock({ $0.insert(port).inserted }) else { continue }
            let listener = try? await ServerBootstrap(group: TestLoop.eventLoop)
                .bind(host: "127.0.0.1", port: port).get()
            guard let listener else { continue }
            try await listener.close().get()
            return port
        }
        throw HarnessError.commandFailed("no port is free")
    }
}
