"""report.json for machines, report.md for people."""

import json
import os
import platform
import statistics

from gateways import first_line
from rows import FIGURES

OURS = "scoregate"
# Ours with its log on; nobody else has one like it, so they are compared with ours without.
LOGGED = {"bounded": "scoregate, bounded", "strict": "scoregate, strict"}
# HTTP/1.1 clients do not see which version the backend is spoken to: whatever a peer does better
# for them is what the figures of one row are compared with.
ALSO_COMPARED_WITH = {"h1-h2": "h1-h1"}


def entries(results):
    """`results` is {row: {gateway: {figure: [value in each round]}}}; a flat list in the order of
    FIGURES."""
    flat = []
    for row, gateways in results.items():
        for figure, (unit, more_is_better) in FIGURES.items():
            rounds = {name: figures[figure] for name, figures in gateways.items()
                      if figure in figures}
            if not rounds:
                continue
            values = {name: median(taken) for name, taken in rounds.items()}
            ours = values.pop(OURS, None)
            logged = {log: (values.pop(name), rounds[name])
                      for log, name in LOGGED.items() if name in values}
            also = results.get(ALSO_COMPARED_WITH.get(row), {})
            rivals = [*(rounds[name] for name in values),
                      *(figures[figure] for name, figures in also.items()
                        if name != OURS and name not in LOGGED.values() and figure in figures)]
            ratios = [ratio for rival in rivals if OURS in rounds
                      if (ratio := paired(rounds[OURS], rival)) is not None]
            if ours is not None or values:
                flat.append({"row": row, "log": "off", "figure": figure, "unit": unit,
                             "gateway": ours, "peers": values, "ratio_to_best_peer":
                             (min if more_is_better else max)(ratios) if ratios else None})
            flat += [{"row": row, "log": log, "figure": figure, "unit": unit, "gateway": value,
                      "peers": {} if ours is None else {f"{OURS}, log off": ours},
                      "ratio_to_best_peer":
                      None if ours is None else paired(taken, rounds[OURS])}
                     for log, (value, taken) in logged.items()]
    return flat


def median(taken):
    return statistics.median(value for value in taken if value is not None)


def paired(ours, theirs):
    """The median of the ratios of each round, whose measurements were minutes nearer to each other
    than the run is long. None where there is no round of both, or a difference of latencies came
    out at or below nothing."""
    ratios = [one / other for one, other in zip(ours, theirs)
              if one is not None and other is not None and other > 0]
    return statistics.median(ratios) if ratios else None


def write(folder, results, versions, command, rounds, seconds, failures):
    os.makedirs(folder, exist_ok=True)
    flat = entries(results)
    with open(os.path.join(folder, "report.json"), "w") as out:
        json.dump(flat, out, indent=1, ensure_ascii=False)
        out.write("\n")
    text = markdown(flat, versions, command, rounds, seconds, failures)
    with open(os.path.join(folder, "report.md"), "w") as out:
        out.write(text)
    return text


def markdown(flat, versions, command, rounds, seconds, failures):
    names = [name for name in versions if name != OURS and name not in LOGGED.values()]
    lines = [
        f"Medians of {rounds} rounds of {seconds} s in alternation; a ratio is the median of the"
        f" rounds' own. `{command}`",
        "",
        f"- machine: {machine()}",
        f"- versions: {', '.join(versions[name] for name in [OURS, *names] if name in versions)}; {first_line(['openssl', 'version'])};"
        f" {first_line(['wrk', '-v']).split(' [')[0]}; {first_line(['h2load', '--version'])}",
        "- to the client TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256; key checked;"
        " mutual TLS to the backend; 650 bytes in, 170 out; one worker thread",
        "- `h1-h2` is HTTP/1.1 from the client and HTTP/2 to the backend, and so on",
        "",
    ]
    gateways = [entry for entry in flat if entry["row"] != "load"]
    testers = [entry for entry in flat if entry["row"] == "load"]
    if gateways:
        lines += table(gateways, names)
    if testers:
        lines += ["", *table(testers, ["wrk", "h2load"])]
    if any(entry["log"] != "off" for entry in flat):
        lines += ["", "Rows with a log have both heads and bodies sealed; their ratio is to the same"
                  " row without a log, for no peer has one."]
    if any(entry["row"] in ALSO_COMPARED_WITH for entry in flat):
        lines += ["", "The best peer of `h1-h2` is the best of `h1-h1` and `h1-h2`."]
    if failures:
        lines += ["", "Not measured:", ""] + [f"- {failure}" for failure in failures]
    return "\n".join(lines) + "\n"


def table(entries, names):
    """Lines of a table with a column a peer."""
    lines = [
        "| row | log | figure | unit | " + " | ".join([OURS, *names]) + " | ratio to best peer |",
        "|---|---|---|---|" + "---:|" * (len(names) + 2),
    ]
    for entry in entries:
        cells = [entry["row"], entry["log"], entry["figure"].replace("_", " "), entry["unit"],
                 number(entry["gateway"]),
                 *(number(entry["peers"].get(name)) for name in names),
                 number(entry["ratio_to_best_peer"])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    debian = first_line(["cat", "/etc/debian_version"])
    return (f"{model}, {os.cpu_count()} processors, Debian {debian},"
            f" Linux {platform.release()}")
