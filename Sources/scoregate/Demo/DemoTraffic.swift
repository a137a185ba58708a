internal import HTTPTransport
internal import NIOCore
internal import Synchronization
internal import TLS

/// Requests that go on while keys and certificates change: half of them on a connection that is kept,
/// half on new ones.
final class DemoTraffic: Sendable {
    private struct Counts {
        var answers: [Int: Int] = [:]
        var failures: [String] = []
        var key: String
        var isOver = false
    }

    private let port: Int
    private let trustRoots: String
    private let counts: Mutex<Counts>

    /// Begins with `key`.
    init(port: Int, trustRoots: String, key: String) {
        self.port = port
        self.trustRoots = trustRoots
        self.counts = Mutex(Counts(key: key))
    }

    /// Which key the next request shows.
    func use(_ key: String) { self.counts.withLock { $0.key = key } }

    /// Ends ``run()``.
    func stop() { self.counts.withLock { $0.isOver = true } }

    /// How many were answered with 200, and what happened to the others.
    var result: (good: Int, bad: [String]) {
        self.counts.withLock { counts in
            let others = counts.answers.filter { $0.key != 200 }
            return (
                counts.answers[200] ?? 0, others.map { "\($0.value) × \($0.key)" } + counts.failures
            )
        }
    }

    /// Sends until ``stop()``.
    func run() async throws {
        let kept = try HTTPClient(.host("127.0.0.1", port: self.port), tls: self.tls)
        var number = 0
        while !self.counts.withLock({ $0.isOver }) {
            number += 1
            do {
                let answer =
                    number.isMultiple(of: 2)
                    ? try await kept.answer(to: self.keptRequest, timeout: .seconds(10))
                    : try await self.request.answer()
                self.counts.withLock { $0.answers[answer.status, default: 0] += 1 }
            } catch {
                self.counts.withLock { $0.failures.append("\(error)") }
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        await kept.stop()
    }

    /// One request on a connection of its own.
    var request: HTTPFetch {
        var fetch = HTTPFetch(
            "/score", at: .host("127.0.0.1", port: self.port), tls: self.tls, fields: self.fields)
        fetch.method = .post
        fetch.body = Self.body
        return fetch
    }

    private var keptRequest: HTTPClient.Request {
        var request = HTTPClient.Request("/score", fields: self.fields)
        request.method = .post
        request.body = Self.body
        return request
    }

    private var tls: TLSClientConfiguration {
        var tls = TLSClientConfiguration(
            trustRoots: self.trustRoots, peer: .dnsName("localhost"), minimumVersion: .tls13)
        tls.alpn = ["http/1.1"]
        return tls
    }

    private var fields: [(name: String, value: String)] {
        [
            ("host", "localhost:\(self.port)"),
            ("authorization", "Bearer \(self.counts.withLock { $0.key })"),
            ("content-type", "application/json"),
        ]
    }

    /// Two flowers.
    static let body = Array(#"{"input_data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}"#.utf8)
}
