extension HTMLReportScript {
    /// What is on the page of the search for the highest rate: a ``FindMaximum``.
    static let maximum = #"""

        const { plan, trials, maximum, latencyLimits } = report;
        const best = trials.find(trial => trial.rate === maximum);
        const share = trial => digits(100 * trial.failedShare) + " %";
        main.append(element("h1", {}, plan ? plan.url : "Not one rate was tried to its end"));
        main.append(element("p", { class: "lead" }, plan
          ? `${plan.http}, ${plan.model}; a rate for ${digits(plan.seconds)} s; ${capacity(plan)}`
          : ""));
        main.append(element("div", { class: "tiles" },
          tile(best ? digits(maximum) : "none", "the highest rate that keeps it, a second", !best),
          best ? [
            tile(digits(best.throughput), "good answers a second at it"),
            tile(time(best.p50), "latency p50 at it"),
            tile(time(best.p99), "latency p99 at it"),
            tile(share(best), "failed at it", best.failedShare > 0),
          ] : [],
          tile(whole(trials.length), "rates tried")));
        if (report.asked.length) main.append(panel("What a rate had to keep",
          report.asked.map(text => element("div", { class: "verdict" }, text)),
          best && report.isLimitedByTester
            ? "Beyond the highest rate, it is the tester that falls behind, not the server."
            : null));

        const sorted = [...trials].sort((one, other) => one.rate - other.rate);
        const line = name => sorted.map(trial => [trial.rate, trial[name]]);
        if (trials.length) {
          // Rates are doubled or halved first, which a scale of doublings shows at even distances.
          const low = sorted[0].rate, high = sorted.at(-1).rate, doublings = [];
          for (let rate = low; rate < high * 1.001; rate *= 2) doublings.push(rate);
          const step = Math.ceil(doublings.length / 8);
          const overRates = { low: low / 1.1, high: high * 1.1, map: Math.log10,
            ticks: doublings.filter((rate, i) => i % step === 0), text: short };
          const limits = latencyLimits.filter(limit => limit.value > 0).map(limit => (
            { name: `limit of p${limit.percentile}`, color: "var(--red)", dash: "4 3",
              points: [[overRates.low, limit.value], [overRates.high, limit.value]] }));
          const answer = over => (
            { name: "highest rate that keeps it", color: "var(--violet)", dash: "2 3",
              points: best ? [[maximum, over.low], [maximum, over.high]] : [] });
          const percentiles = [
            { name: "p50", color: "var(--teal)", points: line("p50") },
            { name: "p99", color: "var(--amber)", points: line("p99") },
          ];
          const times = [...percentiles, ...limits].flatMap(series => series.points)
            .map(point => point[1]).filter(value => value > 0);
          const overTimes = logarithmic(Math.min(...times), Math.max(...times), scale);
          const answers = trials.map(trial => trial.throughput);
          const overAnswers = linear(Math.max(high, ...answers) * 1.08, short);
          main.append(element("div", { class: "grid" },
            panel("Latency by rate", times.length
              ? chart([...percentiles, ...limits, answer(overTimes)], overRates, overTimes)
              : ["too few answers"],
              "From the time each request was due, over the requests a second that were due. "
                + "A percentile is drawn where ten samples lie beyond it."),
            panel("Good answers a second by rate", chart([
              { name: "due", color: "var(--soft)", points: line("rate"), dash: "4 3" },
              { name: "good answers", color: "var(--blue)", points: line("throughput") },
              answer(overAnswers),
            ], overAnswers, overAnswers))));
        }
        const titles = ["rate a second", "good answers a second", "p50", "p99", "failed", ""];
        main.append(panel("Rates tried", table(titles, trials.map(trial => [
          digits(trial.rate), digits(trial.throughput), time(trial.p50), time(trial.p99),
          share(trial),
          element("td", { class: "wide" }, trial.isKept ? "kept" : `not kept: ${trial.found}`),
        ])), "In the order they were tried. – : too few samples to say."));

        """#
}
