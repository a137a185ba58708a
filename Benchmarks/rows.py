"""The rows of the report: each measures one gateway once; the caller goes round in alternation.

A row's `measure` returns {figure: value} for one round. `FIGURES` says what the figures are.
"""

import os
import re
import shutil
import signal
import statistics
import subprocess
import time

from load import BODY_BYTES, CONNECTIONS, LARGE_BYTES, Handshakes, IdleConnections, Load
from servers import LOAD_PROCESSOR

# figure: (unit, whether more is better)
FIGURES = {
    "cpu_us_per_request": ("µs", False),
    "user_cpu_us_per_request": ("µs", False),
    "system_cpu_us_per_request": ("µs", False),
    "requests_per_second": ("1/s", True),
    "processor_use_at_saturation": ("1", True),
    "added_latency_p50_us": ("µs", False),
    "added_latency_p99_us": ("µs", False),
    "added_latency_p999_us": ("µs", False),
    "system_calls_per_request": ("1", False),
    "instructions_per_request": ("1", False),
    "request_bytes_per_cpu_second": ("B/s", True),
    "answer_bytes_per_cpu_second": ("B/s", True),
    "handshakes_per_cpu_second": ("1/s", True),
    "resident_bytes_per_connection": ("B", False),
    "start_to_first_answer_ms": ("ms", False),
    "resident_bytes_at_start": ("B", False),
}


class Saturation:
    """32 connections as fast as they go: CPU a request, requests a second."""

    row = "h1-h1"

    def __init__(self, bench, load):
        self.seconds, self.load = bench.seconds, load

    def measure(self, gateway):
        server = gateway.server
        self.load[gateway.name].saturate(gateway.port, 1, CONNECTIONS)
        before, ticks = server.processor_seconds(), server.user_share()
        requests, seconds = self.load[gateway.name].saturate(gateway.port, self.seconds)
        processor = server.processor_seconds() - before
        user, system = (now - then for now, then in zip(server.user_share(), ticks))
        share = user / max(user + system, 1)
        cost = processor / requests * 1e6
        return {
            "cpu_us_per_request": cost,
            "user_cpu_us_per_request": cost * share,
            "system_cpu_us_per_request": cost * (1 - share),
            "requests_per_second": requests / seconds,
            # Well under 1: something else was the limit, and requests_per_second says little.
            "processor_use_at_saturation": processor / seconds,
        }


class AddedLatency:
    """Latency at half the slowest gateway's saturation, less that of the backend asked directly."""

    row = "h1-h1"

    def __init__(self, bench, load, rate):
        self.bench, self.load, self.rate = bench, load, rate

    def measure(self, gateway):
        load = self.load[gateway.name]
        # The same minute's direct latency: machines drift.
        direct = load.at_rate(self.bench.backend.direct_port, self.rate, self.bench.seconds)
        through = load.at_rate(gateway.port, self.rate, self.bench.seconds)
        return {
            f"added_latency_{name}_us": quantile(through, q) - quantile(direct, q)
            for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
        }


class LargeBodies:
    """1 MiB up with a small answer, and a small request with 1 MiB down."""

    row = "body-1m"

    def __init__(self, bench):
        self.seconds = bench.seconds
        self.up = bench.loads("/score", LARGE_BYTES)
        self.down = bench.loads("/large", BODY_BYTES)

    def measure(self, gateway):
        answer = {}
        for figure, loads in (("request", self.up), ("answer", self.down)):
            before = gateway.server.processor_seconds()
            # Few connections: a megabyte each in flight is plenty, and more only fills memory.
            requests, _ = loads[gateway.name].saturate(gateway.port, self.seconds, 8)
            processor = gateway.server.processor_seconds() - before
            answer[f"{figure}_bytes_per_cpu_second"] = requests * LARGE_BYTES / processor
        return answer


class HandshakeCost:
    """Connections made and closed, without a request; resumed by one ticket, or full."""

    def __init__(self, bench, resumed):
        self.row = "handshake-resumed" if resumed else "handshake-full"
        self.bench, self.resumed = bench, resumed

    def measure(self, gateway):
        driver = Handshakes(self.bench.certificates.root, gateway.request())
        before = gateway.server.processor_seconds()
        count = (driver.resumed if self.resumed else driver.full)(
            gateway.port, self.bench.seconds)
        return {"handshakes_per_cpu_second":
                count / (gateway.server.processor_seconds() - before)}


class IdleMemory:
    """A fresh process; the growth from 100 open connections to many, a connection."""

    row = "idle"
    warm = 100

    def __init__(self, bench):
        self.bench = bench
        self.count = 500 if bench.short else 2000

    def measure(self, gateway):
        gateway.stop()
        server = gateway.start()
        connections = IdleConnections(self.bench.certificates.root, gateway.request())
        try:
            connections.grow(gateway.port, self.warm)
            time.sleep(0.5)
            before = server.resident_bytes()
            connections.grow(gateway.port, self.count)
            time.sleep(1)
            connections.check()
            grown = server.resident_bytes() - before
        finally:
            connections.close()
        return {"resident_bytes_per_connection": grown / (self.count - self.warm)}


class Start:
    """A start with its state already there, to the first answer; memory right after it."""

    row = "start"

    def __init__(self, bench):
        self.bench = bench

    def measure(self, gateway):
        gateway.stop()
        begin = time.monotonic()
        server = gateway.start()
        return {"start_to_first_answer_ms": (time.monotonic() - begin) * 1e3,
                "resident_bytes_at_start": server.resident_bytes()}


class SystemCalls:
    """strace -c over a fixed number of requests; the few calls of 32 handshakes are in it.

    Slow calls make batches larger, so this is a lower bound for gateways that batch.
    """

    row = "h1-h1"

    def __init__(self, bench, load):
        self.bench, self.load = bench, load
        self.requests = 2000 if bench.short else 10000

    def measure(self, gateway):
        path = os.path.join(gateway.folder, "strace.txt")
        pids = [argument for pid in gateway.server.identifiers()
                for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(["taskset", "-c", LOAD_PROCESSOR, "strace", "-f", "-c", "-o",
                                   path, *pids], stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(len(pids) // 2):
                if "attached" not in tracer.stderr.readline():
                    raise RuntimeError("strace could not attach")
            self.load[gateway.name].count(gateway.port, self.requests)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=30)
        return {"system_calls_per_request": strace_total(path) / self.requests}


class Instructions:
    """User instructions a request under valgrind: the difference of two runs, which is exact
    to a fraction of a per cent where timings are not. Minutes long."""

    row = "h1-h1"
    few, many = 500, 2500

    def __init__(self, bench, load):
        self.bench, self.load = bench, load

    def measure(self, gateway):
        if gateway.name == "envoy":
            return {}  # Its own allocator and its size make a run of many minutes.
        return {"instructions_per_request":
                (self._run(gateway, self.many) - self._run(gateway, self.few))
                / (self.many - self.few)}

    def _run(self, gateway, requests):
        gateway.stop()
        pattern = os.path.join(gateway.folder, f"callgrind-{requests}-%p.out")
        gateway.start(wrapper=["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                               f"--callgrind-out-file={pattern}"])
        # The start waited for an unknown number of tries; both runs have about the same.
        self.load[gateway.name].count(gateway.port, requests, connections=4)
        gateway.stop()
        total = 0
        for name in os.listdir(gateway.folder):
            if name.startswith(f"callgrind-{requests}-"):
                path = os.path.join(gateway.folder, name)
                with open(path) as lines:
                    totals = [line for line in lines if line.startswith(("totals:", "summary:"))]
                total += int(totals[-1].split()[1]) if totals else 0
                os.unlink(path)
        return total


def quantile(values, q):
    """The smallest value that at least q of the (sorted) values do not exceed."""
    return values[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def strace_total(path):
    with open(path) as lines:
        for line in lines:
            found = re.match(r"\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total", line)
            if found:
                return int(found[1])
    raise RuntimeError("strace printed no total")


def median(rounds):
    """Rounds of {figure: value} into one of medians."""
    figures = {figure for one in rounds for figure in one}
    return {figure: statistics.median(one[figure] for one in rounds if figure in one)
            for figure in figures}


def have(tool):
    return shutil.which(tool) is not None
