/// Text of the Prometheus exposition format, version 0.0.4.
struct PrometheusText {
    private(set) var text = ""

    typealias Labels = [(name: String, value: String)]

    mutating func counter(_ name: String, _ help: String, _ samples: [(Labels, Int)]) {
        self.family(name, "counter", help, samples.map { ($0, "\($1)") })
    }

    mutating func gauge(_ name: String, _ help: String, _ samples: [(Labels, Double)]) {
        self.family(name, "gauge", help, samples.map { ($0, Self.number($1)) })
    }

    /// Appends a histogram.
    ///
    /// - Parameters:
    ///   - name: The family's name.
    ///   - help: One line of text.
    ///   - bounds: The upper bounds of all buckets but the last, which is +Inf.
    ///   - samples: Plain counts a bucket; the cumulative ones are made of them.
    mutating func histogram(
        _ name: String, _ help: String, bounds: [Double],
        _ samples: [(labels: Labels, buckets: [Int], sum: Double)]
    ) {
        self.head(name, "histogram", help)
        for sample in samples {
            var count = 0
            for (index, bucket) in sample.buckets.enumerated() {
                count += bucket
                let bound = index < bounds.count ? Self.number(bounds[index]) : "+Inf"
                self.line("\(name)_bucket", sample.labels + [("le", bound)], "\(count)")
            }
            self.line("\(name)_sum", sample.labels, Self.number(sample.sum))
            self.line("\(name)_count", sample.labels, "\(count)")
        }
    }

    private mutating func family(
        _ name: String, _ kind: String, _ help: String, _ samples: [(Labels, String)]
    ) {
        self.head(name, kind, help)
        for (labels, value) in samples { self.line(name, labels, value) }
    }

    private mutating func head(_ name: String, _ kind: String, _ help: String) {
        self.text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }

    private mutating func line(_ name: String, _ labels: Labels, _ value: String) {
        self.text += name
        if !labels.isEmpty {
            let list = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
            self.text += "{\(list.joined(separator: ","))}"
        }
        self.text += " \(value)\n"
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        for character in value {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.append(character)
            }
        }
        return text
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    }
}
