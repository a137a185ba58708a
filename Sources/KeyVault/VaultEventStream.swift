internal import HTTPTransport
internal import NIOCore

/// What becomes of listening to a vault.
package enum VaultNews: Sendable {
    /// It tells of changes from now on.
    case listening
    /// Something changed.
    case changed
    /// It tells nothing; it is asked to again.
    case lost(KeyVaultError)
}

/// The events of a vault, on one connection after the other.
///
/// A vault says something every second: a connection on which nothing came for three is given up, and
/// a new one begun at once, so that what falls silent in between costs no more than that.
struct VaultEventStream: Sendable {
    /// Makes the client of the next connection, with the certificates there are then.
    let connect: @Sendable () throws(KeyVaultError) -> (client: HTTPClient, vault: VaultAddress)

    /// Follows them until the task is cancelled.
    ///
    /// Each connection goes on after the last event that was heard. What an event is about is not looked
    /// at: whoever hears of a change asks the vault.
    ///
    /// - Parameter hear: Told what becomes of it.
    func follow(_ hear: (VaultNews) -> Void) async {
        var lastID: String?
        while !Task.isCancelled {
            do throws(KeyVaultError) {
                try await self.followOnce(&lastID, hear)
                hear(.lost(.unavailable(reason: "it ended its events")))
            } catch {
                hear(.lost(error))
            }
            // 250 to 500 ms: those who lost the same vault come back apart.
            try? await Task.sleep(for: .milliseconds(Int.random(in: 250...500)))
        }
    }

    private func followOnce(
        _ lastID: inout String?, _ hear: (VaultNews) -> Void
    ) async throws(KeyVaultError) {
        let (client, vault) = try self.connect()
        var request = HTTPClient.Request(
            "/events",
            fields: [
                ("host", vault.authority), ("accept", "text/event-stream"),
                ("user-agent", "scoregate"),
            ])
        if let lastID { request.fields.append(("last-event-id", lastID)) }
        do {
            let answer = try await client.stream(
                request, timeout: Self.headTimeout, silence: Self.silence)
            guard answer.head.status == 200 else {
                throw KeyVaultError.unusable(
                    reason: "it answered \(answer.head.status) when asked for its events")
            }
            hear(.listening)
            var parser = EventStreamParser()
            for try await piece in answer.body {
                let events = try parser.read(piece.readableBytesView)
                lastID = parser.lastID ?? lastID
                if !events.isEmpty { hear(.changed) }
            }
            await client.stop()
        } catch {
            await client.stop()
            switch error {
            case let error as KeyVaultError: throw error
            case let error as StreamError: throw KeyVaultError(error)
            default: throw .unusable(reason: "its events cannot be followed")
            }
        }
    }

    /// 2 s: as any answer.
    private static let headTimeout = TimeAmount.seconds(2)
    /// 3 s: a vault says something at least every second.
    private static let silence = TimeAmount.seconds(3)
}
