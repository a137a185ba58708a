internal import Yams

/// A place in the YAML tree: reads values of one type there, or reports what stands there instead.
///
/// Every reader answers nil after reporting, so that reading goes on and finds the next problem.
/// Anchors, aliases and tags are refused: with them a value is not what stands at its place.
package struct ConfigurationCursor {
    private let node: Node
    private let problems: ConfigurationProblems

    init(_ node: Node, problems: ConfigurationProblems) {
        self.node = node
        self.problems = problems
    }

    /// Reports a problem at this place.
    package func report(_ message: String) {
        self.problems.add(message, line: self.node.mark?.line, column: self.node.mark?.column)
    }

    /// The mapping that stands here.
    ///
    /// - Parameters:
    ///   - keys: The keys that are read from it.
    ///   - later: Keys of the format that this version does not act on.
    /// - Returns: The values by key; nil if something else stands here.
    package func mapping(keys: [String], later: [String] = []) -> ConfigurationMapping? {
        guard let entries = self.entries() else { return nil }
        var values: [String: ConfigurationCursor] = [:]
        for (key, name, value) in entries {
            if later.contains(name) {
                key.report("not supported yet: \(name)")
            } else if keys.contains(name) {
                values[name] = value
            } else if let nearest = NearestName.of(name, among: keys + later) {
                key.report("unknown key \"\(name)\"; did you mean \"\(nearest)\"?")
            } else {
                key.report("unknown key \"\(name)\"; known are \(keys.joined(separator: ", "))")
            }
        }
        return ConfigurationMapping(place: self, values: values)
    }

    /// The entries of the mapping that stands here, whose keys are names chosen by the writer.
    package func entries() -> [(
        key: ConfigurationCursor, name: String, value: ConfigurationCursor
    )]? {
        guard self.isPlain else { return nil }
        guard case .mapping(let mapping) = self.node else {
            self.reportType("a mapping")
            return nil
        }
        var names: Set<String> = []
        return mapping.compactMap { entry in
            let key = ConfigurationCursor(entry.key, problems: self.problems)
            guard let name = key.string() else { return nil }
            guard names.insert(name).inserted else {
                key.report("key \"\(name)\" stands here more than once")
                return nil
            }
            return (key, name, ConfigurationCursor(entry.value, problems: self.problems))
        }
    }

    /// The elements of the sequence that stands here.
    package func elements() -> [ConfigurationCursor]? {
        guard self.isPlain else { return nil }
        guard case .sequence(let sequence) = self.node else {
            self.reportType("a list")
            return nil
        }
        return sequence.map { ConfigurationCursor($0, problems: self.problems) }
    }

    /// The text that stands here; never empty.
    package func string() -> String? {
        guard self.isPlain else { return nil }
        guard case .scalar(let scalar) = self.node, !self.isNothing else {
            self.reportType("text")
            return nil
        }
        guard !scalar.string.isEmpty else {
            self.report("the text must not be empty")
            return nil
        }
        return scalar.string
    }

    /// Whether just this word stands here; reports nothing.
    package func isWord(_ word: String) -> Bool {
        guard case .scalar(let scalar) = self.node, scalar.style == .plain else { return false }
        return scalar.string == word && self.node.anchor == nil
    }

    /// The whole number that stands here, within `range`.
    package func integer(in range: ClosedRange<Int64>) -> Int64? {
        guard self.isPlain else { return nil }
        guard case .scalar(let scalar) = self.node, scalar.style == .plain,
            let value = Int64(scalar.string)
        else {
            self.reportType("a whole number")
            return nil
        }
        guard range.contains(value) else {
            self.report("\(value) is out of range: \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
    }

    /// The share of one that stands here, 0 to 1, in millionths.
    package func millionths() -> Int64? {
        guard self.isPlain else { return nil }
        guard case .scalar(let scalar) = self.node, scalar.style == .plain,
            let value = Double(scalar.string), value.isFinite
        else {
            self.reportType("a number from 0 to 1")
            return nil
        }
        guard 0...1 ~= value else {
            self.report("\(scalar.string) is out of range: 0 to 1")
            return nil
        }
        return Int64((value * 1_000_000).rounded())
    }

    /// The truth value that stands here: `true` or `false`, not YAML 1.1's `yes`, `no`, `on`, `off`.
    package func boolean() -> Bool? {
        guard self.isPlain else { return nil }
        guard case .scalar(let scalar) = self.node, scalar.style == .plain,
            let value = Bool(scalar.string)
        else {
            self.reportType("true or false")
            return nil
        }
        return value
    }

    /// The one of `Choice`'s cases whose raw value stands here.
    package func choice<Choice: CaseIterable & RawRepresentable>(_: Choice.Type = Choice.self)
        -> Choice?
    where Choice.RawValue == String {
        guard let text = self.string() else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        let names = Choice.allCases.map(\.rawValue)
        self.report("\"\(text)\" is not one of \(names.joined(separator: ", "))")
        return nil
    }

    /// Whether the node carries neither anchor nor tag; reports if it does.
    private var isPlain: Bool {
        if self.node.anchor != nil {
            self.report("anchors and aliases are not allowed: write the value out")
            return false
        }
        // Yams gives quoted text the tag it would have by itself, and nothing else an empty one.
        let tag: Tag
        let natural: Tag.Name
        switch self.node {
        case .scalar(let scalar): (tag, natural) = (scalar.tag, .str)
        case .mapping(let mapping): (tag, natural) = (mapping.tag, .map)
        case .sequence(let sequence): (tag, natural) = (sequence.tag, .seq)
        case .alias:
            self.report("anchors and aliases are not allowed: write the value out")
            return false
        }
        guard tag == Tag(.implicit) || tag == Tag(natural) else {
            self.report("tags are not allowed: \(tag)")
            return false
        }
        return true
    }

    private var isNothing: Bool {
        guard case .scalar(let scalar) = self.node, scalar.style == .plain else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }

    /// Says what kind of value was found, never the value: it may be a secret that was written where
    /// its file's name belongs, and what is reported is logged.
    private func reportType(_ expected: String) {
        let found =
            switch self.node {
            case .mapping: "a mapping"
            case .sequence: "a list"
            case .scalar(let scalar): self.isNothing ? "nothing" : Self.kind(of: scalar)
            case .alias: "an alias"
            }
        self.report("expected \(expected), found \(found)")
    }

    private static func kind(of scalar: Node.Scalar) -> String {
        switch scalar.style {
        case .singleQuoted, .doubleQuoted: "text in quotes"
        case .plain where Bool(scalar.string) != nil: "a truth value"
        case .plain where Double(scalar.string)?.isFinite == true: "a number"
        default: "text"
        }
    }
}

/// A mapping whose keys were checked, for reading its values by name.
package struct ConfigurationMapping {
    /// Where the mapping begins.
    package let place: ConfigurationCursor
    let values: [String: ConfigurationCursor]

    /// The value of `key`, if it is given.
    package subscript(key: String) -> ConfigurationCursor? { self.values[key] }

    /// The value of `key`; reports at the mapping's place if it is not given.
    package func required(_ key: String) -> ConfigurationCursor? {
        if let value = self.values[key] { return value }
        self.place.report("missing key \"\(key)\"")
        return nil
    }

    /// The whole number of `key` within `range`, or `fallback` if it is not given.
    package func integer(
        _ key: String, in range: ClosedRange<Int64>, otherwise fallback: Int64
    ) -> Int64? {
        guard let value = self.values[key] else { return fallback }
        return value.integer(in: range)
    }

    /// The choice of `key`, or `fallback` if it is not given.
    package func choice<Choice: CaseIterable & RawRepresentable>(
        _ key: String, otherwise fallback: Choice
    ) -> Choice? where Choice.RawValue == String {
        guard let value = self.values[key] else { return fallback }
        return value.choice()
    }
}
