internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// How many client connections there are, over all workers, and how many there may be.
final class ConnectionBudget: Sendable {
    private let count = Atomic<Int>(0)
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// Whether another connection may be accepted.
    var hasRoom: Bool { self.count.load(ordering: .relaxed) < self.limit }

    func opened() { self.count.add(1, ordering: .relaxed) }
    func closed() { self.count.subtract(1, ordering: .relaxed) }
}

/// Opens the listening sockets.
enum Listener {
    /// One worker's socket for an address.
    ///
    /// Each worker has its own, bound with SO_REUSEPORT: the kernel spreads the connections
    /// (socket(7)), and none is handed from thread to thread.
    static func open(
        _ address: SocketAddress, on loop: any EventLoop, worker: NIOLoopBound<Worker>,
        listener: Int
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // The gate is asked before each accept(2), not before each four.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptGate(worker: worker.value))
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try worker.value.accept(channel, listener: listener)
                }
            }
        guard case .unixDomainSocket = address else {
            // TCP_NODELAY is NIO's default for a listening socket, and accepted ones inherit it (tcp(7)).
            return
                try await bootstrap
                .serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
                .bind(to: address).get()
        }
        return try await bootstrap.bind(to: address).get()
    }

    /// Whether nobody listens at `address`.
    ///
    /// SO_REUSEPORT would let a second gateway of the same user share the port in silence; a bind
    /// without it fails where anybody listens.
    ///
    /// - Throws: IOError of bind(2): EADDRINUSE, EACCES, EADDRNOTAVAIL.
    static func probe(_ address: SocketAddress) throws {
        if address.port == 0 { return }
        let descriptor = socket(
            Int32(address.protocol.rawValue), Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0
        )
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        defer { close(descriptor) }
        if case .unixDomainSocket = address {
            return try Self.removeStaleSocket(address, by: descriptor)
        }
        // What the workers' sockets have too; without it the port rests a minute after a restart.
        var yes: Int32 = 1
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let result = unsafe address.withSockAddr { unsafe bind(descriptor, $0, socklen_t($1)) }
        guard result == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
        // A bound port with SO_REUSEADDR on both sides is only refused once one of them listens.
        guard listen(descriptor, 1) == 0 else { throw IOError(errnoCode: errno, reason: "listen") }
    }

    /// Removes the socket file that a gateway has left behind; bind(2) would refuse it (unix(7)).
    private static func removeStaleSocket(
        _ address: SocketAddress, by descriptor: Int32
    ) throws {
        guard let path = address.pathname else { return }
        let result = unsafe address.withSockAddr { unsafe connect(descriptor, $0, socklen_t($1)) }
        guard result != 0 else { throw IOError(errnoCode: EADDRINUSE, reason: "bind") }
        // Refused by a socket nobody listens at, or by a file of another kind: that one stays.
        guard errno == ECONNREFUSED,
            case let attributes = try FileManager.default.attributesOfItem(atPath: path),
            attributes[.type] as? FileAttributeType == .typeSocket
        else { return }
        _ = unsafe unlink(path)
    }

    /// As many as the kernel takes (net.core.somaxconn).
    private static let backlog: Int32 = 4096
}
