internal import HTTPTransport

/// A part of one worker's connections, and how many requests are on them.
///
/// Over HTTP/1.1 one lane has all connections; over HTTP/2 each connection is a lane of its own, so
/// that requests spread over all of them.
final class LoadLane {
    let pool: any StreamPool
    /// Requests there may be at once.
    let capacity: Int
    /// Requests that have a stream or wait for one.
    var inUse = 0

    init(pool: any StreamPool, capacity: Int) {
        self.pool = pool
        self.capacity = capacity
    }
}
