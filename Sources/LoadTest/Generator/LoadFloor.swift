internal import NIOCore

extension LoadRun {
    /// Measures what the tester itself adds: the latency of requests to a model in this process that
    /// answers at once, over loopback without TLS.
    ///
    /// 2,000 a second for half a second, after a fifth of one that does not count.
    ///
    /// - Parameters:
    ///   - isBusyPolling: Whether the event loops of the run to come never sleep.
    ///   - isInterrupted: As for ``run(_:isInterrupted:observe:)``.
    /// - Returns: The latency; nil if there can be no such model here.
    package static func floor(
        isBusyPolling: Bool, isInterrupted: @escaping @Sendable () -> Bool = { false }
    ) async -> LoadReport.Distribution? {
        var behaviour = ModelBehaviour()
        behaviour.isBusyPolling = isBusyPolling
        guard let address = try? SocketAddress(ipAddress: "127.0.0.1", port: 0),
            let model = try? await ExampleModel.start(at: address, behaviour: behaviour)
        else { return nil }
        var report: LoadReport?
        if let port = model.address.port, let target = try? LoadTarget("http://127.0.0.1:\(port)/")
        {
            var plan = LoadPlan(
                target: target,
                model: .open(RateProfile(constant: 2000, seconds: 0.5), .constant))
            plan.warmUp = .milliseconds(200)
            plan.isBusyPolling = isBusyPolling
            report = try? await self.run(plan, isInterrupted: isInterrupted)
        }
        await model.stop()
        return report?.latency
    }
}
