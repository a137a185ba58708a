/// Which certificates cover which server names (RFC 6125, 6.4: one wildcard, as the whole left label).
struct ServerNames {
    private var exact: [String: Int] = [:]
    private var wildcard: [String: Int] = [:]

    /// Covers nothing.
    init() {}

    /// Maps each name to an index given by `choose`, which gets the positions of the certificates
    /// that cover it, in order.
    init<Failure: Error>(
        names: [[String]], choose: ([Int]) throws(Failure) -> Int
    ) throws(Failure) {
        for name in Set(names.joined()) {
            var covering: [Int] = []
            for (position, own) in names.enumerated() where Self.covers(own, name) {
                covering.append(position)
            }
            let index = try choose(covering)
            if name.hasPrefix("*.") {
                self.wildcard[String(name.dropFirst(2))] = index
            } else {
                self.exact[name] = index
            }
        }
    }

    /// The index for a name in lower case without a trailing dot; nil if nothing covers it.
    func index(of name: String) -> Int? {
        if let index = self.exact[name] { return index }
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        return self.wildcard[String(name[name.index(after: dot)...])]
    }

    /// Whether one of `patterns` covers `name`, itself perhaps a wildcard.
    static func covers(_ patterns: [String], _ name: String) -> Bool {
        if patterns.contains(name) { return true }
        guard !name.hasPrefix("*."), let dot = name.firstIndex(of: "."), dot != name.startIndex
        else { return false }
        return patterns.contains("*" + name[dot...])
    }
}
