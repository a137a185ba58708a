internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import Gateway
internal import ServiceConfiguration
internal import State

/// `scoregate keys`: an endpoint's primary and secondary key.
struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "List, make and revoke the keys of an endpoint.",
        discussion: """
            Callers of an endpoint show one of its two keys, primary or secondary. To change keys
            without refusing anybody: regenerate secondary, give it to the callers, then regenerate
            primary. A new endpoint has no key until one is regenerated. What is logged of it is
            sealed under another key, which "keys wrapping" is about.
            """,
        subcommands: [List.self, Regenerate.self, Revoke.self, KeysWrappingCommand.self])

    /// What the three subcommands have in common.
    struct Target: ParsableArguments {
        @Argument(help: "The endpoint's name in the configuration.")
        var endpoint: String

        @OptionGroup var options: ConfigurationOptions

        /// Opens the state of the configuration, which must have the endpoint; with `takesRemoved` also where
        /// only the state still has keys of it.
        func open(takesRemoved: Bool = false) throws -> StateStore {
            let configuration = try self.options.read()
            if takesRemoved,
                let opened = try self.options.removedEndpoint(
                    self.endpoint, of: configuration,
                    isKnown: { store throws(StateError) in
                        try store.endpointKeys().keys.contains { $0.endpoint == self.endpoint }
                    })
            {
                return opened.store
            }
            let endpoint = try self.options.endpoint(self.endpoint, of: configuration)
            guard endpoint.authentication == .key, let path = configuration.rootKeyFile else {
                StandardError.write(
                    "endpoint \"\(self.endpoint)\" has auth_mode mtls: it takes no keys")
                throw ExitCode(1)
            }
            return try StateChange.failing { () throws(StateError) in
                try StateStore(folder: configuration.stateDirectory, rootKeyPath: path)
            }
        }

        var ring: (StateStore) -> EndpointKeyRing {
            { EndpointKeyRing(store: $0, actor: StateChange.actor) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show which keys there are: never the keys themselves.")

        @OptionGroup var target: Target

        func run() throws {
            let store = try self.target.open(takesRemoved: true)
            let endpoint = self.target.endpoint
            let keys = try StateChange.failing { () throws(StateError) in
                try self.target.ring(store).list(endpoint: endpoint)
            }
            let now = UnixTime.milliseconds
            if self.target.options.output == .json {
                try JSONOutput.print(keys.map { ListedKey($0, now: now) })
                return
            }
            if keys.isEmpty {
                print(
                    "no keys; make one: scoregate keys regenerate \(endpoint)"
                        + " --config \(self.target.options.config)")
            }
            for key in keys {
                let listed = ListedKey(key, now: now)
                print(
                    "\(listed.slot)\t\(listed.kid)\t\(listed.state)\tcreated \(listed.created)"
                        + "\texpires \(listed.expires ?? "never")")
            }
        }
    }

    struct Regenerate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new key for a slot and print it, once.",
            discussion: """
                The key before it in the same slot is refused from then on, unless --grace gives it
                more time. The other slot is left alone. The new key cannot be shown again.
                """)

        @OptionGroup var target: Target
        @Option(help: "Which of the two keys: primary or secondary.")
        var slot: EndpointKeySlot = .primary
        @Option(help: "How many seconds the slot's present key is accepted still.")
        var grace: UInt32 = 0
        @Option(help: "After how many days the new key expires, at least 1; without it, never.")
        var days: UInt16?

        func validate() throws {
            if self.days == 0 {
                throw ValidationError(
                    "--days is at least 1: the new key would have expired already.")
            }
        }

        func run() throws {
            let store = try self.target.open()
            let target = self.target
            let made = try StateChange.failing { () throws(StateError) in
                try target.ring(store).regenerate(
                    endpoint: target.endpoint, slot: self.slot,
                    graceMilliseconds: Int64(self.grace) * 1000,
                    lifetimeMilliseconds: self.days.map { Int64($0) * 86_400_000 })
            }
            let progress = try StateChange.wait(for: made.generation, in: store)
            // The answer itself is the one place where a key is text.
            let text = String(
                decoding: (0..<made.key.text.count).map { made.key.text.bytes.byte(at: $0) },
                as: UTF8.self)
            if target.options.output == .json {
                let record = made.key.record
                try JSONOutput.print(
                    RegeneratedAnswer(
                        endpoint: target.endpoint, slot: record.slot.rawValue, kid: record.kid,
                        key: text, workersApplied: progress.applied, workers: progress.workers))
            } else {
                print(text)
                StandardError.write(StateChange.text(of: progress))
            }
            if !progress.isComplete { throw ExitCode(3) }
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse an endpoint's keys from now on.",
            discussion: """
                Without --slot both keys are revoked, and nobody can call the endpoint. Requests in
                progress that came with a revoked key are cut off, unless --keep-streams is given.
                """)

        @OptionGroup var target: Target
        @Option(help: "Only one of the two keys: primary or secondary.")
        var slot: EndpointKeySlot?
        @Flag(help: "Let requests in progress finish.")
        var keepStreams = false

        func run() throws {
            let store = try self.target.open(takesRemoved: true)
            let target = self.target
            let revoked = try StateChange.failing { () throws(StateError) in
                try target.ring(store).revoke(
                    endpoint: target.endpoint, slot: self.slot, keepsStreams: self.keepStreams)
            }
            let progress = try StateChange.wait(for: revoked.generation, in: store)
            if target.options.output == .json {
                try JSONOutput.print(
                    RevokedAnswer(
                        endpoint: target.endpoint, revoked: revoked.kids,
                        workersApplied: progress.applied, workers: progress.workers))
            } else {
                print(
                    revoked.kids.isEmpty
                        ? "there was no key to revoke"
                        : "revoked \(revoked.kids.joined(separator: ", "))")
                print(StateChange.text(of: progress))
            }
            if !progress.isComplete { throw ExitCode(3) }
            if revoked.kids.isEmpty { throw ExitCode(1) }
        }
    }

    private struct ListedKey: Encodable {
        let slot: String
        let kid: String
        let state: String
        let created: String
        let expires: String?

        init(_ record: EndpointKeyRecord, now: Int64) {
            self.slot = record.slot.rawValue
            self.kid = record.kid
            self.state =
                record.isValid(at: now) ? (record.isFormer ? "in grace" : "valid") : "expired"
            self.created = UTCDate.text(of: record.createdMilliseconds / 1000)
            self.expires = record.expiresMilliseconds.map { UTCDate.text(of: $0 / 1000) }
        }
    }

    private struct RegeneratedAnswer: Encodable {
        let endpoint: String
        let slot: String
        let kid: String
        let key: String
        let workersApplied: Int
        let workers: Int
    }

    private struct RevokedAnswer: Encodable {
        let endpoint: String
        let revoked: [String]
        let workersApplied: Int
        let workers: Int
    }
}

extension EndpointKeySlot: ExpressibleByArgument {}
