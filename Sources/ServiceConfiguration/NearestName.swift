/// Finds the known name a mistyped one was probably meant to be.
package enum NearestName {
    /// The name nearest to `name`, if it is near enough to be a slip of the fingers.
    ///
    /// Near enough is one edit for each three letters, at least one.
    package static func of(_ name: String, among known: [String]) -> String? {
        let limit = max(1, name.count / 3)
        let nearest = known.map { (name: $0, distance: self.distance(name, $0)) }
            .min { $0.distance < $1.distance }
        guard let nearest, nearest.distance <= limit else { return nil }
        return nearest.name
    }

    /// How many letters were left out, added, replaced or swapped with their neighbour.
    ///
    /// Optimal string alignment distance: three rows of the usual table.
    private static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.lowercased())
        let right = Array(right.lowercased())
        var beforeLast = [Int](repeating: 0, count: right.count + 1)
        var last = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                let replaced = last[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(replaced, last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1],
                    left[row - 1] == right[column]
                {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                current.append(best)
            }
            (beforeLast, last) = (last, current)
        }
        return last[right.count]
    }
}
