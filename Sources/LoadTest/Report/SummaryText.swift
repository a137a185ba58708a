/// A report as text for a terminal.
package struct SummaryText {
    private let report: LoadReport

    /// The text of `report`.
    package init(_ report: LoadReport) {
        self.report = report
    }

    /// Some twenty lines, each with its line feed.
    package var text: String {
        var lines = self.head
        lines += self.requests
        lines.append("")
        lines += self.times
        lines += self.inference
        lines += self.errors
        lines += self.connections
        lines += self.cost
        lines += self.verdicts
        return lines.map { $0 + "\n" }.joined()
    }

    private var head: [String] {
        let plan = self.report.plan
        let rates = plan.rates.map { row -> String in
            let rate =
                row.from == row.to
                ? "\(Quantity.short(row.from))"
                : "\(Quantity.short(row.from))..\(Quantity.short(row.to))"
            return "\(rate)/s for \(Quantity.short(row.seconds)) s"
        }
        var model = plan.model
        if rates.isEmpty { model += " for \(Quantity.short(plan.seconds)) s" }
        if !rates.isEmpty { model += ", " + rates.joined(separator: ", ") }
        let each = plan.streams > 1 ? " × \(plan.streams) streams" : ""
        return [
            "\(plan.url) (\(plan.http)" + (plan.api == "raw" ? ")" : ", \(plan.api))"),
            "\(model); \(Self.count(plan.workers, "worker")), "
                + "at most \(Self.count(plan.connections, "connection"))\(each)",
            "",
        ]
    }

    private var requests: [String] {
        let counts = self.report.counts
        var line =
            "requests    offered \(Self.whole(counts.offered)), sent \(Self.whole(counts.sent)), "
            + "completed \(Self.whole(counts.completed)), failed \(Self.whole(counts.failed))"
        if counts.cancelled > 0 { line += ", cancelled \(Self.whole(counts.cancelled))" }
        var lines = [line]
        if self.report.isInterrupted { lines.append("            ended before its time") }
        lines.append("throughput  \(Quantity.text(self.report.throughput)) good answers a second")
        return lines
    }

    private var times: [String] {
        let report = self.report
        let rows: [(String, LoadReport.Distribution?)] = [
            ("latency", report.latency), ("service time", report.service),
            ("schedule lag", report.scheduleLag), ("wait for connection", report.connectionWait),
            ("first byte", report.firstByte), ("latency of errors", report.failedLatency),
            ("connect", report.connections.connect),
            ("handshake, full", report.connections.fullHandshake),
            ("handshake, resumed", report.connections.resumedHandshake),
        ]
        return Self.table(rows)
            + [
                "latency = end − intended start; service time = end − start; – too few samples to say"
            ] + self.windows
    }

    private var windows: [String] {
        guard let windows = self.report.windows else { return [] }
        let medians = [("p50", windows.p50), ("p90", windows.p90), ("p99", windows.p99)]
            .map { name, value in "\(name) \(value.map(Self.time) ?? "–")" }
        return [
            "windows     \(windows.count) of \(Self.time(windows.seconds)); medians of their latency: "
                + medians.joined(separator: ", ")
        ]
    }

    private var inference: [String] {
        guard let inference = self.report.inference else { return [] }
        var lines = [""]
        let rows: [(String, LoadReport.Distribution?)] = [
            ("time to first token", inference.timeToFirstToken),
            ("inter-token latency", inference.interTokenLatency),
            ("time per output token", inference.timePerOutputToken),
            ("age of events", inference.eventAge),
        ]
        if inference.timeToFirstToken != nil {
            lines += Self.table(rows)
            lines.append(
                "first token from the intended start; time per output token = (end − first token) / "
                    + "(tokens − 1);")
            lines.append(
                "tokens as the server's usage says, else events with text; age = received − stamped"
            )
            lines.append(
                "tokens      \(Self.whole(inference.outputTokens)), "
                    + "\(Quantity.text(inference.outputTokensPerSecond)) a second")
        }
        if inference.withoutDone > 0 {
            lines.append("            \(inference.withoutDone) streams ended without [DONE]")
        }
        if let level = self.report.plan.serviceLevel {
            lines.append(
                "goodput     \(Quantity.text(inference.goodput)) answers a second, "
                    + "\(Quantity.text(inference.goodShare * 100)) % of all, with \(level)")
        }
        return lines
    }

    private var errors: [String] {
        guard self.report.counts.failed > 0 || !self.report.connections.failed.isEmpty else {
            return []
        }
        var lines = [""]
        for (kind, count) in self.report.failures.sorted(by: { $0.value > $1.value }) {
            lines.append("error       \(Self.whole(count)) × \(kind)")
        }
        for (status, count) in self.report.statuses.sorted(by: { $0.key < $1.key }) {
            lines.append("status      \(status): \(Self.whole(count))")
        }
        for (reason, count) in self.report.connections.failed.sorted(by: { $0.value > $1.value }) {
            lines.append("connection  \(Self.whole(count)) × \(reason)")
        }
        return lines
    }

    private var connections: [String] {
        let connections = self.report.connections
        var lines = ["", "connections \(Self.whole(connections.made)) made"]
        if !connections.negotiated.isEmpty {
            lines[1] += ", \(Quantity.text(connections.handshakesPerSecond)) handshakes a second"
        }
        for row in connections.negotiated {
            let group = row.group.map { ", \($0)" } ?? ""
            let alpn = row.alpn.map { ", \($0)" } ?? ""
            let kind = row.isResumed ? "resumed" : "full"
            lines.append(
                "  \(Self.whole(row.count)) × \(row.version), \(row.cipher)\(group)\(alpn), \(kind)"
            )
        }
        let bytes = self.report.bytes
        var line =
            "bytes       bodies \(Quantity.text(bytes: bytes.bodiesSent)) out, "
            + "\(Quantity.text(bytes: bytes.bodiesReceived)) in"
        if bytes.wireSent > 0 {
            line +=
                "; on the wire \(Quantity.text(bytes: bytes.wireSent)) out, "
                + "\(Quantity.text(bytes: bytes.wireReceived)) in"
        }
        return lines + [line]
    }

    private var cost: [String] {
        let generator = self.report.generator
        var lines = [
            "tester      \(Quantity.text(generator.processorSeconds)) s of processor time, "
                + "\(Quantity.text(generator.requestsPerProcessorSecond)) requests a processor-second"
        ]
        if let floor = self.report.environment?.floorText { lines.append(floor) }
        for mark in self.report.marks {
            let end =
                mark.wasEnded
                ? "ended, for it went on after the run,"
                : mark.exitCode.map { "exit \($0)" } ?? "could not be started"
            lines.append(
                "at \(Quantity.text(mark.begin, digits: 2)) s  \(mark.command): \(end) "
                    + "at \(Quantity.text(mark.end, digits: 2)) s")
        }
        for mark in self.report.missedMarks {
            lines.append(
                "at \(Quantity.short(mark.at)) s  \(mark.command): NOT RUN, it was over before")
        }
        return lines
    }

    private var verdicts: [String] {
        guard !self.report.verdicts.isEmpty else { return [] }
        return [""]
            + self.report.verdicts.map {
                "\($0.isKept ? "kept       " : "NOT KEPT   ") \($0.asked): \($0.found)"
            }
    }

    private static func table(_ rows: [(String, LoadReport.Distribution?)]) -> [String] {
        let percentiles = LoadReport.Distribution.percentiles
        let titles =
            ["", "mean"] + percentiles.map { "p" + Assertion.plain($0) } + ["max", "samples"]
        var cells = [titles]
        for case (let name, let distribution?) in rows {
            var row = [name, Self.time(distribution.mean)]
            row += percentiles.map { distribution.value(at: $0).map(Self.time) ?? "–" }
            row += [Self.time(distribution.maximum), Self.whole(distribution.count)]
            cells.append(row)
        }
        let widths = titles.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + space : space + cell
            }.joined(separator: "  ")
        }
    }

    private static func time(_ seconds: Double) -> String {
        Quantity.text(nanoseconds: seconds * 1e9)
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }

    private static func whole(_ number: Int) -> String { Quantity.text(Double(number), digits: 0) }
}
