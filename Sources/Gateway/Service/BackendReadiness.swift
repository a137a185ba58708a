internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import Synchronization
internal import TLS

/// Whether one backend has said that it is ready; shared by all workers.
///
/// Unready until it has said so.
final class BackendReadiness: Sendable {
    let address: BackendAddress
    let probe: ReadinessProbeConfiguration
    private let ready = Atomic(false)

    init(_ address: BackendAddress, _ probe: ReadinessProbeConfiguration) {
        self.address = address
        self.probe = probe
    }

    /// From any thread.
    var isReady: Bool { self.ready.load(ordering: .relaxed) }

    /// Asks again and again, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - tls: How to reach the backend; nil for a Unix socket or loopback without TLS.
    ///   - onChange: Told when it became ready, or is no more.
    /// - Throws: `CancellationError`, and nothing else.
    func run(
        tls: TLSClientConfiguration?, onChange: @Sendable (_ isReady: Bool) -> Void
    ) async throws {
        try await Task.sleep(for: .seconds(self.probe.initialDelay))
        var streak: (isSuccess: Bool, count: Int64) = (false, 0)
        while true {
            let isSuccess = await self.ask(tls)
            streak = (isSuccess, isSuccess == streak.isSuccess ? streak.count + 1 : 1)
            let isReady = self.isReady
            if isSuccess, !isReady, streak.count >= self.probe.successThreshold {
                self.ready.store(true, ordering: .relaxed)
                onChange(true)
            } else if !isSuccess, isReady, streak.count >= self.probe.failureThreshold {
                self.ready.store(false, ordering: .relaxed)
                onChange(false)
            }
            // A model that starts is waited for; one that runs is asked as often as was said.
            let pause = self.isReady ? self.probe.period : min(self.probe.period, 1)
            try await Task.sleep(for: .seconds(pause))
        }
    }

    private func ask(_ tls: TLSClientConfiguration?) async -> Bool {
        var fetch = HTTPFetch(
            self.probe.path, at: self.address.poolAddress, tls: tls,
            fields: [("host", self.address.hostField), ("user-agent", "scoregate-probe")])
        fetch.timeout = .seconds(self.probe.timeout)
        guard let answer = try? await fetch.answer() else { return false }
        return 200..<400 ~= answer.status
    }
}

extension BackendAddress {
    var poolAddress: ConnectionPool.Address {
        switch self {
        case .httpsName(let name, let port): .host(name, port: port)
        case .https(let address, let port), .http(let address, let port):
            .host(address.description, port: port)
        case .unix(let path): .unix(path: path)
        }
    }

    /// What Host says where a question is ours.
    fileprivate var hostField: String {
        switch self {
        case .httpsName(let name, let port): "\(name):\(port)"
        case .https(let address, let port), .http(let address, let port):
            "\(ListenAddress.ip(address, port: port))"
        case .unix: "localhost"
        }
    }
}
