package import Cryptography
internal import Foundation
internal import Yams

/// Reads configuration files.
package enum ConfigurationFile {
    /// Reads and checks a configuration, and the files it names.
    ///
    /// Blocks on files; for starting, reloading and the command line.
    ///
    /// - Parameters:
    ///   - path: The file; problems name it as given here.
    ///   - environment: Environment variables of the process.
    ///   - body: Turns the root of the file into a value; nil after it has reported why not.
    /// - Returns: A configuration that can be acted on as it is.
    /// - Throws: Everything that is wrong, not only the first.
    package static func read<Value>(
        path: String, environment: [String: String],
        _ body: (ConfigurationCursor, ConfigurationFiles) -> Value?
    ) throws(InvalidConfiguration) -> Value {
        let problems = ConfigurationProblems(file: path)
        for refusal in SecretEnvironment.refusals(in: environment) { problems.add(refusal) }
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        var configuration: Value?
        if let text = self.text(path: absolute, problems: problems) {
            let files = ConfigurationFiles(file: absolute, environment: environment)
            configuration = self.parse(text, problems: problems) { body($0, files) }
        }
        guard problems.isEmpty, let configuration else {
            precondition(!problems.isEmpty, "an unread configuration has a reported problem")
            throw InvalidConfiguration(problems: problems.sorted)
        }
        return configuration
    }

    /// What kind of service the configuration at `path` is of, as far as it says so; problems are left
    /// to ``read(path:environment:_:)``.
    package static func kind(path: String) -> SPIFFEID.Kind? {
        let problems = ConfigurationProblems(file: path)
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        guard let text = self.text(path: absolute, problems: problems) else { return nil }
        return self.parse(text, problems: problems) { root in
            let service = root.entries()?.first { $0.name == "service" }?.value
            return service?.entries()?.first { $0.name == "kind" }?.value.choice()
        }
    }

    private static func text(path: String, problems: ConfigurationProblems) -> String? {
        do throws(CryptographyError) {
            let bytes = try WholeFile.read(path, maximum: self.maximumBytes)
            if let text = String(validating: bytes, as: UTF8.self) { return text }
            problems.add("the file is not UTF-8 text")
        } catch {
            problems.add("the configuration cannot be read: \(error)")
        }
        return nil
    }

    private static func parse<Value>(
        _ text: String, problems: ConfigurationProblems, _ body: (ConfigurationCursor) -> Value?
    ) -> Value? {
        do {
            // The encoding is given because the default would be read from the environment.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            // Nodes hold their anchors weakly: the parser must outlive the walk.
            return try withExtendedLifetime(parser) {
                guard let root = try parser.singleRoot() else {
                    problems.add("the file is empty")
                    return nil
                }
                return body(ConfigurationCursor(root, problems: problems))
            }
        } catch let error as YamlError {
            self.report(error, to: problems)
        } catch {
            problems.add("the file cannot be read as YAML")
        }
        return nil
    }

    private static func report(_ error: YamlError, to problems: ConfigurationProblems) {
        switch error {
        case .duplicatedKeysInMapping(let keys, let context):
            for key in keys {
                problems.add(
                    "key \"\(key)\" stands here more than once", line: context.mark.line,
                    column: context.mark.column)
            }
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            problems.add("not YAML: \(problem)", line: mark.line, column: mark.column)
        case .reader(let problem, _, _, _):
            problems.add("not YAML: \(problem)")
        default:
            problems.add("the file cannot be read as YAML")
        }
    }

    /// 1 MiB: a hundred times the largest configuration that makes sense.
    private static let maximumBytes = 1 << 20
}
