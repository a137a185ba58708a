internal import ArgumentParser
internal import Foundation
internal import Gateway
internal import KeyVault
internal import ServiceConfiguration
internal import State

/// `scoregate keys wrapping`: what seals the log of an endpoint.
struct KeysWrappingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wrapping",
        abstract: "List, rotate, disable and enable the key an endpoint's log is sealed under.",
        discussion: """
            The log of each endpoint has a wrapping key of its own, which the embedded vault makes at
            the first use. Disabling it stops the log at once: nothing of it can be read, and the
            endpoint refuses requests until it is enabled again, unless it has on_revoke:
            serve_unlogged.
            """,
        subcommands: [List.self, Rotate.self, Disable.self, Enable.self])

    /// What the subcommands have in common.
    struct Target: ParsableArguments {
        @Argument(help: "The endpoint's name in the configuration.")
        var endpoint: String

        @OptionGroup var options: ConfigurationOptions

        /// Opens the state of the configuration, which must have the endpoint.
        func open() throws -> (store: StateStore, rootKeyPath: String) {
            let configuration = try self.options.read()
            _ = try self.options.endpoint(self.endpoint, of: configuration)
            guard let path = configuration.rootKeyFile else {
                StandardError.write(
                    "\(self.options.config) has no root_key, so there are no wrapping keys")
                throw ExitCode(1)
            }
            let store = try StateChange.failing { () throws(StateError) in
                try StateStore(folder: configuration.stateDirectory, rootKeyPath: path)
            }
            return (store, path)
        }

        /// Waits until the change is in force and prints it; ends with 3 if it is not everywhere.
        func report(_ change: WrappingKeyChange, _ text: String, in store: StateStore) throws {
            let progress = try StateChange.wait(for: change.generation, in: store)
            if self.options.output == .json {
                try JSONOutput.print(
                    ChangeAnswer(
                        endpoint: self.endpoint, changed: change.keys.map(\.vaultID),
                        workersApplied: progress.applied, workers: progress.workers))
            } else {
                print(text)
                print(StateChange.text(of: progress))
            }
            if !progress.isComplete { throw ExitCode(3) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the versions there are, the newest first: never the keys themselves.")

        @OptionGroup var target: Target

        func run() throws {
            let store = try self.target.open().store
            let keys = try StateChange.failing { () throws(StateError) in
                try store.wrappingKeys(of: self.target.endpoint)
            }
            if self.target.options.output == .json {
                try JSONOutput.print(keys.map { ListedKey($0) })
                return
            }
            if keys.isEmpty { print("no wrapping key; one is made when the endpoint first logs") }
            for key in keys.map({ ListedKey($0) }) {
                print("\(key.version)\t\(key.id)\t\(key.state)\tcreated \(key.created)")
            }
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new version, which seals from now on.",
            discussion: """
                What was sealed before needs the older versions still; "logs rewrap" puts it under the
                newest one.
                """)

        @OptionGroup var target: Target

        func run() throws {
            let (store, rootKeyPath) = try self.target.open()
            let change = try StateChange.failing { () throws(StateError) in
                try store.rotateWrappingKey(
                    endpoint: self.target.endpoint, rootKey: RootKey.read(path: rootKeyPath),
                    now: UnixTime.milliseconds, actor: StateChange.actor)
            }
            let version = change.keys.first?.version ?? 0
            try self.target.report(change, "version \(version) seals from now on", in: store)
        }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take all versions out of use: the endpoint's log cannot be written or read.")

        @OptionGroup var target: Target

        func run() throws {
            try self.target.setEnabled(false)
        }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put all versions that are not destroyed into use again.")

        @OptionGroup var target: Target

        func run() throws {
            try self.target.setEnabled(true)
        }
    }

    private struct ListedKey: Encodable {
        let id: String
        let version: Int64
        let state: String
        let created: String

        init(_ record: WrappingKeyRecord) {
            self.id = record.vaultID
            self.version = record.version
            self.state = record.vaultState.rawValue
            self.created = UTCDate.text(of: record.createdMilliseconds / 1000)
        }
    }

    private struct ChangeAnswer: Encodable {
        let endpoint: String
        let changed: [String]
        let workersApplied: Int
        let workers: Int
    }
}

extension KeysWrappingCommand.Target {
    fileprivate func setEnabled(_ isEnabled: Bool) throws {
        let store = try self.open().store
        let change = try StateChange.failing { () throws(StateError) in
            try store.setWrappingKey(
                endpoint: self.endpoint, isEnabled: isEnabled, now: UnixTime.milliseconds,
                actor: StateChange.actor)
        }
        let state = isEnabled ? "enabled" : "disabled"
        let text =
            change.keys.isEmpty
            ? "it was \(state) before"
            : "\(state): \(change.keys.map(\.vaultID).joined(separator: ", "))"
        try self.report(change, text, in: store)
    }
}
