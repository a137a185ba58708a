extension HTMLReportScript {
    /// What is on the page of two targets asked in turn: a ``Comparison``.
    static let comparison = #"""

        const { a, b, rounds, differences } = report;
        main.append(element("h1", {}, a ? `${a.url} and ${b.url}` : "Not one round was completed"));
        const lead = `${whole(rounds.length)} rounds, A and B in turn`;
        main.append(element("p", { class: "lead" }, lead));
        function signed(value, metric) {
          const text = metric.startsWith("latency") ? time : digits;
          return (value < 0 ? "−" : "") + text(Math.abs(value));
        }
        main.append(element("div", { class: "tiles" },
          differences.map(d => tile(signed(d.median, d.metric), `B − A: ${d.metric}`))));
        if (report.broken.length)
          main.append(panel("What was not kept", report.broken.map(text => verdict(false, text))));
        const target = (name, plan) => element("tr", {}, element("td", {}, name),
          element("td", { class: "wide" },
            element("code", {}, plan.url), `, at ${plan.address}: ${traffic(plan)}`));
        if (a) main.append(panel("Targets", element("table", {}, target("A", a), target("B", b))));

        const range = (low, high, text) => `${text(low)} to ${text(high)}`;
        const titles = ["", "A", "B", "B − A", "range", "B / A", "range"];
        main.append(panel("Differences", table(titles, differences.map(d => {
          const text = value => signed(value, d.metric);
          const ratio = d.ratio === undefined
            ? ["–", "–"] : [digits(d.ratio), range(d.lowRatio, d.highRatio, digits)];
          return [d.metric, text(d.medianOfA), text(d.medianOfB), text(d.median),
            range(d.low, d.high, text), ...ratio];
        })), "Taken within each round; median and range over the rounds. Throughput in good answers "
          + "a second; latency = end − intended start. Only what every round has enough samples for."));

        const step = Math.ceil(rounds.length / 10);
        const numbers = rounds.map((round, i) => i + 1);
        const overRounds = { low: 0.5, high: Math.max(1, rounds.length) + 0.5, map: v => v,
          ticks: numbers.filter((number, i) => i % step === 0), text: whole };
        function versus(title, name, text) {
          const points = target => rounds.map((round, i) => [i + 1, round[target][name]]);
          const values = rounds.flatMap(({ a, b }) => [a[name], b[name]]).filter(v => v > 0);
          return panel(title, values.length ? chart([
            { name: "A", color: "var(--blue)", points: points("a") },
            { name: "B", color: "var(--amber)", points: points("b") },
          ], overRounds, linear(Math.max(...values) * 1.08, value => value ? text(value) : "0"))
            : ["too few answers"]);
        }
        main.append(element("div", { class: "grid" },
          versus("Good answers a second, round by round", "throughput", short),
          ["p50", "p90", "p99"].map(name =>
            versus(`Latency ${name}, round by round`, name, scale))));
        const row = (name, leg) => [name, digits(leg.throughput), time(leg.mean), time(leg.p50),
          time(leg.p90), time(leg.p99), digits(100 * leg.failedShare) + " %"];
        main.append(panel("Rounds", table(
          ["round", "good answers a second", "mean", "p50", "p90", "p99", "failed"],
          rounds.flatMap(({ a, b }, i) => [row(`${i + 1} A`, a), row(`${i + 1} B`, b)])),
          "– : too few samples to say."));

        """#
}
