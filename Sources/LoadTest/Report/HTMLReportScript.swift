/// The script of the page: it draws what the report in the page says.
enum HTMLReportScript {
    /// All of it, where `parts` draws what one kind of report has.
    ///
    /// Text from the report goes into the page as text, never as HTML.
    static func text(_ parts: String) -> String {
        "(() => {" + Self.values + Self.charts + Self.blocks + parts + Self.environment + "})();\n"
    }

    /// Elements, and numbers as people read them.
    private static let values = #"""

        "use strict";
        const report = JSON.parse(document.getElementById("report").textContent);
        const main = document.getElementById("main");
        const SVG = "http://www.w3.org/2000/svg";
        function element(name, attributes, ...children) {
          const isDrawn = ["svg", "path", "line", "text", "rect", "circle", "g", "title"].includes(name);
          const node = isDrawn ? document.createElementNS(SVG, name) : document.createElement(name);
          for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
          for (const child of children.flat()) {
            if (child === null || child === undefined) continue;
            node.append(child.nodeType ? child : document.createTextNode(String(child)));
          }
          return node;
        }
        function digits(number) {
          const size = Math.abs(number);
          const places = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2;
          return number.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
        }
        // For scales: no zeros that say nothing.
        function short(number) { return Number(number.toPrecision(3)).toLocaleString("en"); }
        function time(seconds) {
          if (seconds === undefined || seconds === null) return "–";
          if (seconds < 1e-6) return digits(seconds * 1e9) + " ns";
          if (seconds < 1e-3) return digits(seconds * 1e6) + " µs";
          if (seconds < 1) return digits(seconds * 1e3) + " ms";
          return digits(seconds) + " s";
        }
        function scale(seconds) {
          for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]])
            if (seconds >= size * 0.999) return short(seconds / size) + " " + unit;
          return short(seconds * 1e9) + " ns";
        }
        function whole(number) { return Math.round(number).toLocaleString("en"); }
        function bytes(number) {
          for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]])
            if (number >= size) return digits(number / size) + " " + unit;
          return number + " B";
        }
        function ending(mark) {
          if (mark.wasEnded) return "ended, for it went on after the run";
          return mark.exitCode === undefined ? "could not be started" : `exit ${mark.exitCode}`;
        }
        function percentile(distribution, wanted) {
          const found = distribution && distribution.percentiles.find(p => p.percentile === wanted);
          return found ? found.value : undefined;
        }

        """#

    /// Line charts with linear or logarithmic scales.
    private static let charts = #"""

        const width = 540, height = 230, left = 58, right = 12, top = 12, bottom = 26;
        function steps(maximum) {
          const rough = maximum / 4, power = 10 ** Math.floor(Math.log10(rough || 1));
          const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough) || power;
          const ticks = [];
          for (let value = 0; value <= maximum * 1.0001; value += step) ticks.push(value);
          return ticks;
        }
        // series: [{ name, color, points: [[x, y], …], area }]; scales: { x, y: { low, high, map, ticks, text } }
        function chart(series, x, y, marks) {
          const drawing = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
          const place = (value, scale, from, to) => {
            const span = scale.map(scale.high) - scale.map(scale.low) || 1;
            return from + (scale.map(value) - scale.map(scale.low)) / span * (to - from);
          };
          const px = value => place(value, x, left, width - right);
          const py = value => place(value, y, height - bottom, top);
          for (const tick of y.ticks) {
            drawing.append(element("line", { x1: left, x2: width - right, y1: py(tick), y2: py(tick), stroke: "var(--line)" }));
            drawing.append(element("text", { x: left - 7, y: py(tick) + 4, "text-anchor": "end" }, y.text(tick)));
          }
          for (const tick of x.ticks)
            drawing.append(element("text", { x: px(tick), y: height - 8, "text-anchor": "middle" }, x.text(tick)));
          for (const mark of marks || []) {
            const title = element("title", {}, `${mark.command} (${ending(mark)})`);
            const end = Math.max(px(mark.end), px(mark.begin) + 1.5);
            drawing.append(element("rect", { x: px(mark.begin), y: top, width: end - px(mark.begin),
              height: height - top - bottom, fill: "var(--violet)", opacity: 0.28 }, title));
          }
          for (const line of series) {
            const points = line.points.filter(point => point[1] !== undefined && point[1] !== null);
            if (!points.length) continue;
            const path = points.map((p, i) => `${i ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("");
            if (line.area) {
              const base = height - bottom;
              drawing.append(element("path", { d: `${path}L${px(points.at(-1)[0])} ${base}L${px(points[0][0])} ${base}Z`,
                fill: line.color, opacity: 0.12 }));
            }
            drawing.append(element("path", { d: path, fill: "none", stroke: line.color, "stroke-width": 1.8,
              "stroke-linejoin": "round", "stroke-dasharray": line.dash || "none" }));
            if (points.length === 1)
              drawing.append(element("circle", { cx: px(points[0][0]), cy: py(points[0][1]), r: 2.5, fill: line.color }));
          }
          const legend = series.filter(line => line.points.some(point => point[1] !== undefined && point[1] !== null)).map(line =>
            element("span", {}, element("i", { style: `background:${line.color}` }), line.name));
          if (marks && marks.length)
            legend.push(element("span", {}, element("i", { style: "background:var(--violet)" }), "command run"));
          return [drawing, element("div", { class: "legend" }, legend)];
        }
        function linear(high, text) {
          return { low: 0, high: high || 1, map: v => v, ticks: steps(high || 1), text };
        }
        function logarithmic(low, high, text) {
          const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
          const ticks = [];
          for (let power = from; power <= to; power += 1) ticks.push(10 ** power);
          while (ticks.length > 6) ticks.splice(0, ticks.length, ...ticks.filter((tick, i) => i % 2 === 0));
          return { low: 10 ** from, high: 10 ** Math.max(to, from + 1), map: Math.log10, ticks, text };
        }
        function panel(title, content, note) {
          return element("section", {}, element("h2", {}, title), content, note ? element("p", { class: "note" }, note) : null);
        }

        """#

    /// What the pages of several kinds of reports have.
    private static let blocks = #"""

        function capacity(plan) {
          return `${plan.workers} workers, at most ${plan.connections} connections` + (plan.streams > 1 ? ` of ${plan.streams} streams` : "");
        }
        function traffic(plan) {
          const model = plan.model + (plan.rates.length
            ? ": " + plan.rates.map(r => (r.from === r.to ? digits(r.from) : `${digits(r.from)} to ${digits(r.to)}`) + ` a second for ${digits(r.seconds)} s`).join(", ")
            : ` for ${digits(plan.seconds)} s`);
          return `${plan.http}, ${model}; ${capacity(plan)}`;
        }
        function tile(value, name, bad) { return element("div", { class: bad ? "tile bad" : "tile" }, element("b", {}, value), element("span", {}, name)); }
        function verdict(isKept, text) {
          return element("div", { class: isKept ? "verdict" : "verdict broken" }, element("i", {}, isKept ? "kept" : "not kept"), element("span", {}, text));
        }
        // A cell is what is to be read in it, or an element of its own.
        function table(titles, rows) {
          const line = (name, cells) => element("tr", {}, cells.map(cell => cell?.nodeType ? cell : element(name, {}, cell)));
          return element("div", { class: "scroll" }, element("table", {}, line("th", titles), rows.map(row => line("td", row))));
        }
        // Of the last panel.
        const rows = [];
        const add = (name, value) => { if (value !== undefined && value !== null && value !== "") rows.push(element("tr", {}, element("td", {}, name), element("td", { class: "wide" }, value))); };

        """#

    /// What is on the page of one run, from top to bottom.
    static let run = #"""

        const plan = report.plan, counts = report.counts, latency = report.latency;
        main.append(element("h1", {}, plan.url));
        main.append(element("p", { class: "lead" }, traffic(plan) + (report.isInterrupted ? "; ended before its time" : "")));
        const failedShare = counts.failed / Math.max(1, counts.completed + counts.failed);
        main.append(element("div", { class: "tiles" },
          tile(digits(report.throughput), "good answers a second"),
          tile(time(percentile(latency, 50)), "latency p50"),
          tile(time(percentile(latency, 99) ?? (latency || {}).maximum), percentile(latency, 99) === undefined ? "latency, greatest" : "latency p99"),
          tile(digits(100 * failedShare) + " %", `${whole(counts.failed)} of ${whole(counts.completed + counts.failed)} failed`, counts.failed > 0),
          tile(time(percentile(report.scheduleLag, 99) ?? (report.scheduleLag || {}).maximum), "the tester's own lag"),
          tile(digits(report.connections.handshakesPerSecond), "handshakes a second")));
        if (report.verdicts.length) main.append(panel("What was asked of the run", report.verdicts.map(v => verdict(v.isKept, `${v.asked}: ${v.found}`))));

        const seconds = report.seconds, end = Math.max(1, seconds.length);
        const overTime = linear(end, v => short(v) + " s");
        const line = name => seconds.map(s => [s.second + 0.5, s[name]]);
        const highest = Math.max(1, ...seconds.map(s => Math.max(s.offered, s.completed, s.failed)));
        const times = seconds.flatMap(s => [s.p50, s.p90, s.p99, s.p999, s.maximum]).filter(v => v > 0);
        const rateChart = chart([
          { name: "due", color: "var(--soft)", points: line("offered"), dash: "4 3" },
          { name: "good answers", color: "var(--blue)", points: line("completed"), area: true },
          { name: "failed", color: "var(--red)", points: counts.failed ? line("failed") : [] },
          { name: "cancelled", color: "var(--amber)", points: counts.cancelled ? line("cancelled") : [] },
        ], overTime, linear(highest * 1.08, v => whole(v)), report.marks);
        const timeChart = times.length ? chart([
          { name: "p50", color: "var(--teal)", points: line("p50") },
          { name: "p90", color: "var(--blue)", points: line("p90") },
          { name: "p99", color: "var(--amber)", points: line("p99") },
          { name: "p99.9", color: "var(--violet)", points: line("p999") },
          { name: "greatest", color: "var(--red)", points: line("maximum"), dash: "3 3" },
        ], overTime, logarithmic(Math.min(...times), Math.max(...times), scale), report.marks) : ["no answers"];
        main.append(element("div", { class: "grid" }, panel("Requests a second", rateChart), panel("Latency, second by second", timeChart,
          "From the time each request was due. A percentile is drawn where ten samples of that second lie beyond it.")));

        const spectrum = report.spectrum.map(p => [1 / (1 - p.percentile / 100), p.value]).filter(p => p[1] > 0);
        const reach = spectrum.length ? Math.max(10, spectrum.at(-1)[0]) : 10;
        const nines = { low: 1, high: reach, map: Math.log10, ticks: [1, 2, 10, 100, 1000, 10000, 100000].filter(v => v <= reach * 1.01),
          text: v => v === 1 ? "0 %" : (100 - 100 / v).toFixed(Math.max(0, Math.round(Math.log10(v)) - 2)) + " %" };
        const spectrumChart = spectrum.length ? chart([{ name: "latency", color: "var(--blue)", points: spectrum, area: true }],
          nines, logarithmic(Math.min(...spectrum.map(p => p[1])), Math.max(...spectrum.map(p => p[1])), scale)) : ["too few answers"];
        const connections = report.connections;
        const handshakes = [["TCP connect", connections.connect], ["full handshake", connections.fullHandshake], ["resumed handshake", connections.resumedHandshake]].filter(row => row[1]);
        const agreed = connections.negotiated.reduce((sum, row) => sum + row.count, 0);
        const handshakePanel = [table(["", "p50", "p90", "p99", "max", "count"], handshakes.map(([name, d]) =>
          [name, ...[percentile(d, 50), percentile(d, 90), percentile(d, 99), d.maximum].map(time), whole(d.count)]))];
        if (agreed) handshakePanel.push(element("div", { class: "scroll", style: "margin-top:12px" }, element("table", {},
          element("tr", {}, ["negotiated", "", "share", ""].map(t => element("th", { class: "left" }, t))),
          connections.negotiated.map(row => element("tr", {},
            element("td", { class: "wide" }, element("code", {}, row.cipher), ` ${row.version}${row.group ? ", " + row.group : ""}${row.alpn ? ", " + row.alpn : ""}`),
            element("td", { class: "left" }, row.isResumed ? "resumed" : "full"),
            element("td", {}, element("div", { class: "bar" }, element("i", { style: `width:${100 * row.count / agreed}%` }))),
            element("td", {}, whole(row.count)))))));
        for (const [reason, count] of Object.entries(connections.failed)) handshakePanel.push(element("p", { class: "note" }, `${whole(count)} × ${reason}`));
        main.append(element("div", { class: "grid" }, panel("Latency spectrum", spectrumChart, "How many of a hundred requests were not slower; drawn as far as there are samples to say so."),
          panel("Connections and handshakes", handshakePanel)));

        const columns = [50, 75, 90, 95, 99, 99.9, 99.99];
        function distributions(named) {
          return table(["", "mean", ...columns.map(p => "p" + p), "max", "samples"], named.filter(([name, d]) => d).map(([name, d]) =>
            [name, time(d.mean), ...columns.map(p => time(percentile(d, p))), time(d.maximum), whole(d.count)]));
        }
        main.append(panel("Times", distributions([["latency", latency], ["service time", report.service], ["schedule lag", report.scheduleLag], ["wait for a connection", report.connectionWait], ["first byte", report.firstByte], ["latency of errors", report.failedLatency]]),
          "Latency = end − intended start. Service time = end − start. Schedule lag = start − intended start, the tester's own delay. – : too few samples to say."));
        const inference = report.inference;
        if (inference) {
          const content = [distributions([["time to first token", inference.timeToFirstToken], ["inter-token latency", inference.interTokenLatency], ["time per output token", inference.timePerOutputToken], ["age of events", inference.eventAge]])];
          content.push(element("p", {}, `${whole(inference.outputTokens)} output tokens, ${digits(inference.outputTokensPerSecond)} a second` + (plan.serviceLevel ? `; goodput ${digits(inference.goodput)} answers a second, ${digits(100 * inference.goodShare)} % of all, with ${plan.serviceLevel}` : "")));
          main.append(panel("Inference", content, "First token from the intended start; time per output token = (end − first token) / (tokens − 1), one value an answer; tokens as the server's usage says, else events with text; age = received − stamped by the model on this machine."));
        }
        add("statuses", Object.entries(report.statuses).map(([s, n]) => `${s}: ${whole(n)}`).join(", "));
        add("errors", Object.entries(report.failures).map(([s, n]) => `${s}: ${whole(n)}`).join(", "));
        for (const mark of report.marks) add(`at ${digits(mark.begin)} s`, element("code", {}, `${mark.command} (${ending(mark)}, at ${digits(mark.end)} s)`));
        add("bodies", `${bytes(report.bytes.bodiesSent)} out, ${bytes(report.bytes.bodiesReceived)} in`);
        if (report.bytes.wireSent) add("on the wire", `${bytes(report.bytes.wireSent)} out, ${bytes(report.bytes.wireReceived)} in`);
        add("tester", `${digits(report.generator.processorSeconds)} s of processor time, ${whole(report.generator.requestsPerProcessorSecond)} requests a processor-second`);

        """#

    /// The last panel.
    private static let environment = #"""

        const environment = report.environment;
        if (environment) {
          add("command", element("code", {}, environment.command));
          add("begun", environment.started);
          add("machine", `${environment.system}, ${environment.processors} processors`);
          add("program", `scoregate ${environment.version}, ${environment.openSSL}`);
          if (environment.floor) {
            add("tester's floor", `p50 ${time(percentile(environment.floor, 50))}, p99 ${time(percentile(environment.floor, 99))}: `
              + "latency of a model in the tester itself, without TLS");
          }
        }
        main.append(panel("Run and environment", element("table", {}, rows)));

        """#
}
