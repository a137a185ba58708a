internal import ArgumentParser
internal import Foundation
internal import Gateway
internal import ServiceConfiguration
internal import State
internal import Vault

/// The options of every command that reads a configuration.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: .shortAndLong, help: "The configuration file.",
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String

    @Option(help: "text for people, json for programs.")
    var output: OutputFormat = .text

    /// The configuration; prints what is wrong with it and ends with 1 if it is not right.
    func read() throws -> GatewayConfiguration {
        do throws(InvalidConfiguration) {
            return try GatewayConfiguration.read(
                path: self.config, environment: ProcessInfo.processInfo.environment)
        } catch {
            StandardError.write(error.description)
            throw ExitCode(1)
        }
    }

    /// The configuration of a vault; prints what is wrong with it and ends with 1 if it is not right.
    func readVault() throws -> VaultConfiguration {
        do throws(InvalidConfiguration) {
            return try VaultConfiguration.read(
                path: self.config, environment: ProcessInfo.processInfo.environment)
        } catch {
            StandardError.write(error.description)
            throw ExitCode(1)
        }
    }

    /// The endpoint of that name; says which there are and ends with 1 if there is none.
    func endpoint(
        _ name: String, of configuration: GatewayConfiguration
    ) throws -> EndpointConfiguration {
        if let endpoint = configuration.endpoints.first(where: { $0.name == name }) {
            return endpoint
        }
        let names = configuration.endpoints.map(\.name).joined(separator: ", ")
        StandardError.write(
            "there is no endpoint \"\(name)\" in \(self.config); there are: \(names)")
        throw ExitCode(1)
    }
}

extension ConfigurationOptions {
    /// The state, where it still has something of an endpoint that is not in the configuration any more;
    /// says so on standard error.
    ///
    /// nil if the configuration has the endpoint, or the state nothing of it, which `isKnown` tells.
    func removedEndpoint(
        _ name: String, of configuration: GatewayConfiguration,
        isKnown: (StateStore) throws(StateError) -> Bool
    ) throws -> (store: StateStore, rootKeyPath: String)? {
        guard !configuration.endpoints.contains(where: { $0.name == name }),
            let path = configuration.rootKeyFile
        else { return nil }
        let store = try StateChange.failing { () throws(StateError) in
            try StateStore(folder: configuration.stateDirectory, rootKeyPath: path)
        }
        let isKnown = try StateChange.failing { () throws(StateError) in try isKnown(store) }
        guard isKnown else { return nil }
        StandardError.write(
            "endpoint \"\(name)\" is not in \(self.config); the state has its keys still, "
                + "and they are good again once it is back")
        return (store, path)
    }
}

/// Prints answers for programs.
enum JSONOutput {
    /// Prints `answer` as one line with sorted keys.
    static func print(_ answer: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        Swift.print(String(decoding: try encoder.encode(answer), as: UTF8.self))
    }
}

/// What is not part of a command's answer.
enum StandardError {
    /// Writes one line.
    static func write(_ line: String) {
        FileHandle.standardError.write(Data("\(line)\n".utf8))
    }
}
