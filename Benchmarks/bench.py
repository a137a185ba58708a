#!/usr/bin/env python3
"""Measures scoregate against nginx, HAProxy and Envoy doing the same work. See README.md here."""

import argparse
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time

import report
import rows
from backend import Backend
from certificates import Certificates
from counts import Instructions, SystemCalls
from events import EventServer
from gateways import Route, Scoregate, ScoregateBounded, ScoregateStrict
from load import BODY_BYTES, LARGE_BYTES, Load
from logs import LogReading
from peers import installed_peers

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = ["h1-h1", "h1-h2", "h2-h1", "h2-h2", "sse", "body-1m", "flood", "rotation",
        "handshake-full", "handshake-resumed", "start", "idle", "load", "log"]
# Answers a p99.9 needs, and a few more.
LATENCIES = 10_500
# A gateway that failed so often in a row is left alone for the rest of it.
ATTEMPTS = 2
# Requests a second at which the latency of the strict log is taken.
STRICT_RATE = 1000
# Seconds for one measurement, unless the row says otherwise: ten times what the longest takes.
LIMIT = 90


class Bench:
    """One run: a folder, certificates, backends, the gateways in front of them."""

    def __init__(self, arguments):
        self.begin = time.monotonic()
        self.short = arguments.short
        self.rounds = arguments.rounds or (1 if self.short else 5)
        self.seconds = arguments.seconds or (1 if self.short else 4)
        self.wanted = set(arguments.row or ROWS)
        self.instructions = arguments.instructions
        self.idle = arguments.connections or (500 if self.short else 2000)
        self.log_bytes = (arguments.log_gib or (1 / 16 if self.short else 1)) * 2**30
        self.folder = tempfile.mkdtemp(prefix="scoregate-bench-")
        self.certificates = Certificates(self.folder)
        self.peers = installed_peers(set(arguments.peer))
        self.kinds = [*([] if arguments.peers_only else [Scoregate]), *self.peers]
        # Of our key's form, so that every gateway compares as many bytes.
        letters = string.ascii_letters + string.digits
        self.key = "sgk1p_" + "".join(secrets.choice(letters) for _ in range(60))
        self.servers, self.gateways = [], []
        self.results, self.failures, self.versions = {}, [], {}

    def run(self):
        backend = Backend(self.folder, self.certificates)
        self.servers.append(backend)
        root = self.certificates.root
        http1 = http2 = []
        if self.wanted - {"h1-h2", "h2-h2", "sse", "load", "log"}:
            http1 = self.fleet(Route("http1", backend.port))
        if self.wanted & {"h1-h2", "h2-h2", "idle"}:
            http2 = self.fleet(Route("http2", backend.http2_port, version="http2"))
        ours = [Scoregate] if Scoregate in self.kinds else []
        logged1 = logged2 = []
        if ours and self.wanted & {"h1-h1", "rotation"}:
            logged1 = self.fleet(Route("http1", backend.port), [ScoregateBounded, ScoregateStrict])
        if ours and self.wanted & {"h2-h2"}:
            logged2 = self.fleet(Route("http2", backend.http2_port, version="http2"),
                                 [ScoregateBounded, ScoregateStrict])

        # In one alternation, because HTTP/1.1 clients' two rows are compared with each other.
        self.alternate(*(rows.Saturation(row, fleet, self.loads(fleet), self.seconds)
                         for row, fleet in (("h1-h1", http1 + logged1), ("h1-h2", http2),
                                            ("h2-h1", http1), ("h2-h2", http2 + logged2))))
        load = self.loads(http1 + logged1)
        saturation = self.results.get("h1-h1")
        if saturation:
            # Half the slowest gateway's saturation, or less where generator and backend, which
            # share a processor, would be the ones that queue.
            requests, seconds = next(iter(load.values())).saturate(backend.direct_port, 1)
            rate = min(requests / seconds / 4,
                       *(report.median(one["requests_per_second"]) / 2
                         for name, one in saturation.items()
                         if name != ScoregateStrict.name))
            self.progress(f"latency at {rate:.0f}/s")
            # What strict adds at any rate is the wait for the disk.
            for fleet, rate in ((http1 + logged1[:1], rate),
                                (logged1[1:], min(rate, STRICT_RATE))):
                seconds = self.seconds if self.short else max(self.seconds, LATENCIES / rate)
                self.alternate(rows.AddedLatency(fleet, load, rate, backend.direct_port, seconds))
            if shutil.which("strace"):
                self.alternate(SystemCalls(http1, load, self.short), rounds=1)
        if "sse" in self.wanted:
            events = EventServer(self.folder, self.certificates)
            self.servers.append(events)
            fleet = self.fleet(Route("events", events.port, events=True))
            self.alternate(rows.EventStreams(fleet, root, events.port, self.short))
        self.alternate(rows.LargeBodies(http1, self.loads(http1, LARGE_BYTES, "/upload"),
                                        self.loads(http1, path="/large"), self.seconds / 2))
        self.alternate(rows.Floods(self.folder, http1, root, self.loads(http1), self.seconds))
        self.alternate(rows.Rotation(logged1[:1], load, self.seconds))
        self.alternate(rows.HandshakeCost(http1, self.loads(http1), False, self.seconds / 2),
                       rows.HandshakeCost(http1, self.loads(http1), True, self.seconds / 2))
        self.alternate(rows.Start(http1))
        self.alternate(rows.IdleMemory(http1, root, self.idle), rows.StreamMemory(http2, root),
                       rounds=min(3, self.rounds))
        tested = Load(self.folder, root, self.key)
        self.alternate(rows.LoadTesters(self.folder, backend, tested, self.seconds))
        if ours:
            self.alternate(LogReading(self.folder, self.certificates, backend, self.key,
                                      self.log_bytes), rounds=min(3, self.rounds))
        if self.instructions:
            self.alternate(Instructions(http1, load), rounds=1)

    def fleet(self, route, kinds=None):
        """Every gateway that can, started before one backend. They stay until the run's end."""
        fleet = []
        for kind in kinds or self.kinds:
            if route.version not in kind.backend_versions:
                continue
            with self.failing(f"{route.name} backend, {kind.name}"):
                gateway = kind(self.folder, self.certificates, route, self.key)
                self.gateways.append(gateway)
                gateway.start()
                fleet.append(gateway)
                self.versions[kind.name] = gateway.version()
        return fleet

    def alternate(self, *series, rounds=None):
        """A B C A B C …: what drifts in the machine drifts for all."""
        series = [row for row in series if row.row in self.wanted]
        taken, failed = {}, {}
        for turn in range(rounds or self.rounds):
            for row in series:
                for gateway in row.gateways:
                    where = row.row, gateway.name
                    if failed.get(where, 0) == ATTEMPTS:
                        continue
                    name = f"{row.row}, {type(row).__name__}, {gateway.name}"
                    self.progress(f"round {turn + 1}: {name}")
                    with self.failing(name, getattr(row, "limit", LIMIT)) as failure:
                        if gateway.server is None or gateway.server.process.poll() is not None:
                            gateway.stop()
                            gateway.start()
                        taken.setdefault(where, []).append(row.measure(gateway))
                    failed[where] = failed.get(where, 0) + len(failure)
        for (row, name), measured in taken.items():
            self.results.setdefault(row, {}).setdefault(name, {}).update(rows.by_figure(measured))

    @contextlib.contextmanager
    def failing(self, name, limit=LIMIT):
        """What fails or takes more than `limit` seconds in it is reported, and the run goes on:
        others' figures are worth having."""
        failure = []
        signal.alarm(limit)
        try:
            yield failure
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failure.append(error)
            reason = f"{name}: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
            if reason not in self.failures:
                self.failures.append(reason)
                self.progress("")
                print(f"{name}: {error}", file=sys.stderr, flush=True)
        finally:
            signal.alarm(0)

    def loads(self, gateways, body_bytes=BODY_BYTES, path="/score"):
        """A load for each gateway: keys differ, because ours makes its own."""
        return {gateway.name: Load(gateway.folder, self.certificates.root, gateway.key, path,
                                   body_bytes)
                for gateway in gateways}

    def progress(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text:
            print(f"{time.monotonic() - self.begin:6.1f} s {text}", file=sys.stderr, flush=True)

    def close(self):
        for server in [*self.gateways, *reversed(self.servers)]:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def expire(*_):
    raise TimeoutError("took too long")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of each row (5)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (4)")
    parser.add_argument("--connections", type=int, help="idle connections opened (2000)")
    parser.add_argument("--log-gib", type=float,
                        help="size of the log that is read (1), in the folder for temporary files")
    parser.add_argument("--short", action="store_true",
                        help="one round of a second: shows that it works, measures nothing")
    parser.add_argument("--row", action="append", default=[],
                        choices=ROWS, help="only this row; may be repeated")
    parser.add_argument("--peer", action="append", default=[],
                        choices=["nginx", "haproxy", "envoy"],
                        help="only this peer; may be repeated")
    parser.add_argument("--peers-only", action="store_true", help="without scoregate")
    parser.add_argument("--instructions", action="store_true",
                        help="also count user instructions under valgrind (minutes)")
    parser.add_argument("--output", default=os.path.join(REPOSITORY, ".build/bench"),
                        help="folder of report.json and report.md")
    arguments = parser.parse_args()

    # Killed or interrupted, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, expire)
    bench = Bench(arguments)
    try:
        bench.run()
        command = shlex.join(["Benchmarks/bench.py", *sys.argv[1:]])
        bench.progress("")
        print(report.write(arguments.output, bench.results, bench.versions, command,
                           bench.rounds, bench.seconds, bench.failures))
    finally:
        bench.close()
    sys.exit(1 if bench.failures else 0)


if __name__ == "__main__":
    main()
