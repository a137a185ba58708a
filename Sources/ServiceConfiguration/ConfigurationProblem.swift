/// One thing that is wrong in a configuration, and where.
package struct ConfigurationProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file as the caller named it.
    package let file: String
    /// Line from 1; nil if the problem is the file itself or the environment.
    package let line: Int?
    /// Column from 1, in Unicode scalars; nil with ``line``.
    package let column: Int?
    /// What is wrong, and what would be right.
    package let message: String

    /// As compilers write it: `file:line:column: message`.
    package var description: String {
        guard let line, let column else { return "\(self.file): \(self.message)" }
        return "\(self.file):\(line):\(column): \(self.message)"
    }
}

/// All that is wrong in a configuration, in the order of the file; never empty.
package struct InvalidConfiguration: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, sorted by position.
    package let problems: [ConfigurationProblem]

    /// One line a problem.
    package var description: String {
        self.problems.map(\.description).joined(separator: "\n")
    }
}

/// Collects the problems of one file while it is read.
///
/// A class because every cursor into the file reports to the same one.
final class ConfigurationProblems {
    private let file: String
    private var problems: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    var isEmpty: Bool { self.problems.isEmpty }

    func add(_ message: String, line: Int? = nil, column: Int? = nil) {
        let problem = ConfigurationProblem(
            file: self.file, line: line, column: column, message: message)
        // A file named twice is wrong once at each place, not twice at one.
        if !self.problems.contains(problem) { self.problems.append(problem) }
    }

    var sorted: [ConfigurationProblem] {
        self.problems.sorted { left, right in
            (left.line ?? 0, left.column ?? 0, left.message)
                < (right.line ?? 0, right.column ?? 0, right.message)
        }
    }
}
