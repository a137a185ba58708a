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

            The key of an endpoint that names a customer's one (cmk_key_name) is its holder's to rotate,
            disable and enable, in its vault; "list" shows it, and the versions from before it was named.
            """,
        subcommands: [List.self, Rotate.self, Disable.self, Enable.self])

    /// What the subcommands have in common.
    struct Target: ParsableArguments {
        @Argument(help: "The endpoint's name in the configuration.")
        var endpoint: String

        @OptionGroup var options: ConfigurationOptions

        /// Opens the state of the configuration, which must have the endpoint; with `takesRemoved` also where
        /// only the state still has keys of it.
        func open(takesRemoved: Bool = false) throws -> Opened {
            let configuration = try self.options.read()
            if takesRemoved,
                let opened = try self.options.removedEndpoint(
                    self.endpoint, of: configuration,
                    isKnown: { store throws(StateError) in
                        try !store.wrappingKeys(of: self.endpoint).isEmpty
                    })
            {
                return Opened(store: opened.store, rootKeyPath: opened.rootKeyPath)
            }
            let endpoint = try self.options.endpoint(self.endpoint, of: configuration)
            guard let path = configuration.rootKeyFile else {
                StandardError.write(
                    "\(self.options.config) has no root_key, so there are no wrapping keys")
                throw ExitCode(1)
            }
            let store = try StateChange.failing { () throws(StateError) in
                try StateStore(folder: configuration.stateDirectory, rootKeyPath: path)
            }
            return Opened(
                store: store, rootKeyPath: path, customerKey: endpoint.encryption.customerKey,
                logsNothing: endpoint.durability == nil)
        }

        /// The state, and what is needed to change its wrapping keys.
        struct Opened {
            let store: StateStore
            let rootKeyPath: String
            /// The customer's key of the endpoint; nil where the embedded vault has it.
            var customerKey: CustomerKeyConfiguration?
            /// Whether the endpoint is configured and has no `data_collector`: no answer depends on the key.
            var logsNothing = false

            /// Ends the command with 1 where the key is not ours to change.
            func refuseCustomerKey(of endpoint: String, to change: String) throws {
                guard let customerKey else { return }
                throw CommandFailure(
                    code: .refused,
                    message: """
                        the wrapping key of endpoint \(endpoint) is a customer's, \(customerKey.url): its holder \
                        \(change) it there, and running gateways follow
                        """)
            }
        }

        /// Waits until the change is in force and prints it; ends with 3 if it is not everywhere.
        func report(
            _ keys: [WrappingKeyRecord], generation: Int64, _ text: String, in store: StateStore
        ) throws {
            let progress = try StateChange.wait(for: generation, in: store)
            if self.options.output == .json {
                try JSONOutput.print(
                    ChangeAnswer(
                        endpoint: self.endpoint, changed: keys.map(\.vaultID),
                        workersApplied: progress.applied, workers: progress.workers))
            } else {
                print(text)
                print(StateChange.text(of: progress))
            }
            if !progress.isComplete { throw ExitCode(3) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the versions there are, the newest first: never the keys themselves.",
            discussion: "Of a customer's key the version in use, as its vault tells it.")

        @OptionGroup var target: Target

        func run() async throws {
            let opened = try self.target.open(takesRemoved: true)
            let embedded = try StateChange.failing { () throws(StateError) in
                try opened.store.wrappingKeys(of: self.target.endpoint)
            }
            var keys = embedded.map { ListedKey($0) }
            if let key = opened.customerKey { keys.insert(try await ListedKey(asking: key), at: 0) }
            if self.target.options.output == .json {
                try JSONOutput.print(keys)
                return
            }
            if keys.isEmpty { print("no wrapping key; one is made when the endpoint first logs") }
            for key in keys {
                let version = key.version.map { "\($0)" } ?? "customer"
                let created = key.created.map { "\tcreated \($0)" } ?? ""
                print("\(version)\t\(key.id)\t\(key.state)\(created)")
            }
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new version, which seals from now on.",
            discussion: """
                What was sealed before needs the older versions still; "logs rewrap" puts it under the
                newest one. An endpoint without a data_collector seals nothing, under no version.
                """)

        @OptionGroup var target: Target

        func run() throws {
            let opened = try self.target.open()
            try opened.refuseCustomerKey(of: self.target.endpoint, to: "rotates")
            let change = try StateChange.failing { () throws(StateError) in
                try opened.store.rotateWrappingKey(
                    endpoint: self.target.endpoint, rootKey: RootKey.read(path: opened.rootKeyPath),
                    now: UnixTime.milliseconds, actor: StateChange.actor)
            }
            let version = change.keys.first?.version ?? 0
            if opened.logsNothing {
                StandardError.write(
                    "endpoint \"\(self.target.endpoint)\" has no data_collector and logs nothing: "
                        + "nothing is sealed under the new version until it does")
            }
            try self.target.report(
                change.keys, generation: change.generation,
                "version \(version) \(opened.logsNothing ? "made" : "seals from now on")",
                in: opened.store)
        }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take all versions out of use: the endpoint's log cannot be written or read.",
            discussion: """
                Requests are then refused only where they are to be logged: an endpoint without a
                data_collector goes on answering.
                """)

        @OptionGroup var target: Target

        func run() throws {
            try self.target.setEnabled(false)
        }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put all versions that are not destroyed into use again.",
            discussion: "Also undoes a shredding that was cut short before it destroyed anything.")

        @OptionGroup var target: Target

        func run() throws {
            try self.target.setEnabled(true)
        }
    }

    private struct ListedKey: Encodable {
        let id: String
        /// Of the embedded vault; a customer's is part of the id.
        let version: Int64?
        let state: String
        let created: String?

        init(_ record: WrappingKeyRecord) {
            self.id = record.vaultID
            self.version = record.version
            self.state = record.vaultState.rawValue
            self.created = UTCDate.text(of: record.createdMilliseconds / 1000)
        }

        /// A customer's key, whose vault is asked.
        init(asking key: CustomerKeyConfiguration) async throws {
            self.version = nil
            do throws(KeyVaultError) {
                let vault = try AzureKeyVault(key.vault.address, key.vault.access)
                let newest = try await vault.current(key.vaultName)
                self.id = newest.id
                self.state = WrappingKeyState.active.rawValue
                self.created = UTCDate.text(of: newest.createdMilliseconds / 1000)
            } catch {
                guard case .revoked(let state) = error else {
                    throw CommandFailure(
                        code: .environment, message: "the vault of \(key.url): \(error)")
                }
                self.id = key.url
                self.state = state.rawValue
                self.created = nil
            }
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
        let opened = try self.open(takesRemoved: true)
        let store = opened.store
        if try isEnabled && store.suspendedLogStreams().contains(self.endpoint) {
            let generation = try StateChange.failing { () throws(StateError) in
                try store.setLogStream(
                    of: self.endpoint, isSuspended: false, now: UnixTime.milliseconds,
                    actor: StateChange.actor)
            }
            return try self.report(
                [], generation: generation, "its log is not being shredded any more", in: store)
        }
        // What was disabled before the endpoint named a customer's key can be enabled still: it has the log
        // of that time.
        if try !isEnabled || store.wrappingKeys(of: self.endpoint).isEmpty {
            try opened.refuseCustomerKey(
                of: self.endpoint, to: isEnabled ? "enables" : "disables")
        }
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
        if opened.logsNothing, !isEnabled {
            StandardError.write(
                "endpoint \"\(self.endpoint)\" has no data_collector and logs nothing: no request is "
                    + "refused; what was logged of it before cannot be read")
        }
        try self.report(change.keys, generation: change.generation, text, in: store)
    }
}
