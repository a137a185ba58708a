import Foundation
import HTTPTransport
import NIOCore
import Testing

/// The commands of an endpoint whose key is a customer's, and the way there and back.
@Suite("A customer's key: commands and changes", .serialized, .timeLimit(.minutes(10)))
struct CustomerKeyChangeTests {
    @Test("the commands of wrapping keys say whose the key is, and change nothing")
    func commands() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            let url = "https://127.0.0.1:\(customer.vaultPort)/keys/iris-log"
            let listed = try await SealedLogStage.command(stage, "keys", "wrapping", "list", "iris")
            #expect(listed.code == 0 && listed.errors.isEmpty, "\(listed)")
            #expect(listed.output.hasPrefix("customer\t\(url)/"), "\(listed)")
            #expect(listed.output.contains("\tactive\tcreated "), "\(listed)")
            for command in ["rotate", "disable", "enable"] {
                let refused = try await SealedLogStage.command(
                    stage, "keys", "wrapping", command, "iris")
                #expect(refused.code == 1, "\(refused)")
                #expect(
                    refused.errors.contains(
                        "a customer's, \(url): its holder \(command)s it there"),
                    "\(refused)")
            }
            // Nothing was made in the embedded vault meanwhile.
            let again = try await SealedLogStage.command(
                stage, "keys", "wrapping", "list", "iris", "--output", "json")
            #expect(!again.output.contains("embedded:"), "\(again)")
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            try await customer.set(#""enabled":false"#)
            let disabled = try await SealedLogStage.command(
                stage, "keys", "wrapping", "list", "iris")
            #expect(disabled.output == "customer\t\(url)\tdisabled\n", "\(disabled)")
        }
    }

    @Test("a log under a customer's key is shredded once its holder has disabled it")
    func shred() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let early = try await SealedLogStage.command(stage, "logs", "shred", "iris", "--yes")
            #expect(early.code == 1 && early.errors.contains("nothing was destroyed"), "\(early)")
            #expect(early.errors.contains("Disable it in its vault first"), "\(early)")
            #expect(try await SealedLogStage.entries(stage).contains { $0.body == "one" })

            try await customer.set(#""enabled":false"#)
            let shredded = try await SealedLogStage.command(
                stage, "logs", "shred", "iris", "--yes")
            // What the holder still has to do keeps it from being whole.
            #expect(shredded.code == 1, "\(shredded)")
            for step in [
                "done      found the customer's key disabled",
                "done      suspended the log; every running gateway wiped its log keys",
                "removed 1 wrapped log keys", "replaced the root key", "removed 1 segments",
                "promised  the holder of the customer's key deletes and purges it",
            ] {
                #expect(shredded.output.contains(step), "\(step): \(shredded)")
            }
            #expect(try customer.keyRing().isEmpty)
            #expect(try await stage.exchange(stage.request(body: "two")).status == 503)

            // The endpoint can go on, in a new log, if the holder wants that.
            try await customer.set(#""enabled":true"#)
            _ = try await customer.wait(for: 200)
            #expect(try await stage.exchange(stage.request(body: "three")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).compactMap(\.body)
            #expect(bodies.contains("three") && !bodies.contains("one"), "\(bodies)")
            let verified = try await SealedLogStage.command(
                stage, "logs", "verify", "--endpoint", "iris")
            #expect(verified.code == 0, "\(verified)")

            // Of a key that is gone nothing is left to promise.
            for path in ["/keys/iris-log", "/deletedkeys/iris-log"] {
                let answer = try await customer.ask(.delete, path)
                #expect(answer.status == 200 || answer.status == 204)
            }
            let last = try await SealedLogStage.command(stage, "logs", "shred", "iris", "--yes")
            #expect(last.code == 0, "\(last)")
            #expect(last.output.contains("found the customer's key deleted"), "\(last)")
        }
    }

    @Test("a gateway that does not reach the vault lets go of what is shredded all the same")
    func shredUnheard() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            try await customer.withVaultElsewhere { moved in
                try await moved.set(#""enabled":false"#)
                // The gateway knows nothing of it, for as long as the grace lasts.
                #expect(try await stage.exchange(stage.request(body: "two")).status == 200)
                let shredded = try await SealedLogStage.command(
                    stage, "logs", "shred", "iris", "--yes")
                #expect(
                    shredded.output.contains("every running gateway wiped its log keys"),
                    "\(shredded)")
                #expect(try await stage.exchange(stage.request(body: "three")).status == 503)
                #expect(try customer.keyRing().isEmpty)
            }
        }
    }

    @Test("an endpoint goes from a customer's key to the embedded vault's and back at a reload")
    func change() async throws {
        try await CustomerKeyStage.run { customer in
            let stage = customer.stage
            let file = customer.materials.path + "/gateway.yaml"
            let customers = try String(contentsOfFile: file, encoding: .utf8)
            let line = try #require(
                customers.split(separator: "\n").first { $0.contains("cmk_key_name") })
            let embedded = customers.replacing(line + "\n", with: "")
            try #require(embedded != customers)
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)

            func change(to text: String, _ key: String, renewals: Int) async throws {
                try customer.materials.write("gateway.yaml", text)
                stage.gateway.signal(SIGHUP)
                let isRenewed = await stage.gateway.errors.wait(.seconds(60)) { log in
                    log.split(separator: "\n").count {
                        $0.contains("log key renewed") && $0.contains("event=rotated")
                    } == renewals
                }
                #expect(isRenewed, "\(stage.gateway.errors.value)")
                let last = stage.gateway.errors.value.split(separator: "\n").last {
                    $0.contains("log key renewed")
                }
                #expect(last?.contains(key) == true, "\(last ?? "")")
            }
            try await change(to: embedded, "key=embedded:", renewals: 1)
            #expect(try await stage.exchange(stage.request(body: "two")).status == 200)
            // What is under the customer's key stays under it: that is what the customer was promised.
            let read = try await SealedLogStage.command(stage, "logs", "cat", "--endpoint", "iris")
            #expect(read.code == 1, "\(read)")
            #expect(read.output.contains(#""body":"two""#), "\(read)")
            #expect(!read.output.contains(#""body":"one""#), "\(read)")
            #expect(read.errors.contains("cmk_key_name"), "\(read)")

            try await change(to: customers, "key=https://127.0.0.1", renewals: 2)
            #expect(try await stage.exchange(stage.request(body: "three")).status == 200)
            // What was under the embedded key comes under the customer's; the first change may have said
            // that it could not read one.
            #expect(
                await stage.gateway.errors.wait(.seconds(60)) { log in
                    log.split(separator: "\n").contains {
                        $0.contains("log keys wrapped anew") && $0.contains("rewrapped=1")
                    }
                }, "\(stage.gateway.errors.value)")
            #expect(await stage.gateway.end() == 0)
            let ring = try customer.keyRing()
            #expect(ring.count == 3, "\(ring)")
            let bodies = try await SealedLogStage.entries(stage).filter { $0.kind == "request" }
                .compactMap(\.body)
            #expect(bodies == ["one", "two", "three"])
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 0, "\(verified)")
        }
    }
}
