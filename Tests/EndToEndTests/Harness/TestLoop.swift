import NIOCore
import NIOPosix
import TLS

/// The one event loop of all clients and backends of the tests.
enum TestLoop {
    static let eventLoop: any EventLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()

    /// OpenSSL's side of that loop.
    static let resources: Result<TLSWorkerResources, TLSError> = Result {
        () throws(TLSError) in try TLSWorkerResources()
    }
}
