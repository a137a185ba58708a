import Cryptography
import GRDB
import KeyVault
import State
import Testing

@testable import Vault

/// What the audit has of those to whom nothing was issued.
@Suite struct RefusalAuditTests {
    /// An entry, but for its time.
    private struct Entry: Equatable {
        let actor: String
        let action: String
        let subject: String
        let detail: String
    }

    private static func refused(_ stage: IdentityStage) throws -> [Entry] {
        let queue = try DatabaseQueue(path: "\(stage.path)/state/state.sqlite")
        return try queue.read { database in
            try Row.fetchAll(
                database, sql: "SELECT * FROM audit WHERE detail LIKE 'refused:%' ORDER BY id"
            ).map {
                Entry(
                    actor: $0["actor"], action: $0["action"], subject: $0["subject"],
                    detail: $0["detail"])
            }
        }
    }

    @Test("who asked for what and why it was refused; what a stranger wrote only in our form")
    func entries() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        _ = try stage.join("x", requester)
        _ = try stage.service.join(
            JoinRequest(
                token: try stage.token().token, identity: "'; DROP TABLE audit",
                request: requester.request), source: "::1", now: stage.start)
        let present = try leaf(stage.join(stage.token().token, requester))
        _ = try stage.store.deny(present.serial, reason: "", now: stage.start, actor: "test")
        _ = try stage.renew(present, IdentityStage.Requester(), after: 1)
        _ = try stage.rejoin(present, by: requester.key, IdentityStage.Requester(), after: 1)
        let agent = stage.agent.text
        #expect(
            try Self.refused(stage) == [
                Entry(
                    actor: "address 1.2.3.4", action: "join", subject: agent,
                    detail: "refused: the join token is unknown"),
                Entry(
                    actor: "address ::1", action: "join", subject: "malformed",
                    detail: "refused: the join token is for another identity"),
                Entry(
                    actor: agent, action: "renew", subject: agent,
                    detail: "refused: the identity or certificate is denied"),
                Entry(
                    actor: "address 1.2.3.4", action: "rejoin", subject: agent,
                    detail: "refused: the identity or certificate is denied"),
            ])
    }

    @Test("a flood of refusals is counted, and does not fill the disk")
    func bounded() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        for number in 0..<300 { _ = try stage.join("x", requester, from: "10.0.0.\(number)") }
        let first = try Self.refused(stage)
        #expect(first.count == 60)
        // The next that is written says how many were not.
        _ = try stage.join("x", requester, from: "10.0.1.1", after: 60)
        let all = try Self.refused(stage)
        #expect(all.count == 61)
        #expect(
            all.last?.detail
                == "refused: the join token is unknown; 240 refusals before it are not here")
    }
}
