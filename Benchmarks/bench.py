#!/usr/bin/env python3
"""Measures scoregate against nginx, HAProxy and Envoy doing the same work. See README.md here."""

import argparse
import os
import secrets
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile

import report
import rows
from backend import Backend
from certificates import Certificates
from gateways import Scoregate, installed_peers
from load import BODY_BYTES, Load

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Bench:
    """One run: a folder, certificates, a backend, the gateways in front of it."""

    def __init__(self, arguments):
        self.short = arguments.short
        self.rounds = arguments.rounds or (1 if self.short else 5)
        self.seconds = arguments.seconds or (1 if self.short else 4)
        self.wanted = set(arguments.row)
        self.instructions = arguments.instructions
        self.folder = tempfile.mkdtemp(prefix="scoregate-bench-")
        self.certificates = Certificates(self.folder)
        self.backend, self.gateways = None, []
        self.results, self.failures = {}, []
        self.ours = [] if arguments.peers_only else [Scoregate]
        self.peers = installed_peers(set(arguments.peer))

    def run(self):
        self.backend = Backend(self.folder, self.certificates)
        # Of our key's form, so that every gateway compares as many bytes.
        letters = string.ascii_letters + string.digits
        key = "sgk1p_" + "".join(secrets.choice(letters) for _ in range(60))
        for kind in [*self.ours, *self.peers]:
            gateway = kind(self.folder, self.certificates, self.backend, key)
            self.gateways.append(gateway)
            gateway.start()
        load = self.loads("/score", BODY_BYTES)

        self.alternate(rows.Saturation(self, load))
        self.alternate(rows.LargeBodies(self))
        self.alternate(rows.HandshakeCost(self, resumed=False))
        self.alternate(rows.HandshakeCost(self, resumed=True))
        saturation = self.results.get("h1-h1")
        if saturation:
            slowest = min(one["requests_per_second"] for one in saturation.values())
            self.alternate(rows.AddedLatency(self, load, slowest / 2))
            if rows.have("strace"):
                self.alternate(rows.SystemCalls(self, load), rounds=1)
        self.alternate(rows.Start(self))
        self.alternate(rows.IdleMemory(self), rounds=min(3, self.rounds))
        if self.instructions:
            self.alternate(rows.Instructions(self, load), rounds=1)

    def alternate(self, row, rounds=None):
        """A B C A B C …: what drifts in the machine drifts for all."""
        if self.wanted and row.row not in self.wanted:
            return
        if not sys.stderr.isatty():
            print(f"{row.row}: {type(row).__name__}", file=sys.stderr, flush=True)
        taken = {gateway.name: [] for gateway in self.gateways}
        for turn in range(rounds or self.rounds):
            for gateway in self.gateways:
                self.progress(f"{row.row} {type(row).__name__} round {turn + 1} {gateway.name}")
                try:
                    taken[gateway.name].append(row.measure(gateway))
                except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                    # Others' figures are worth having, but the run has failed.
                    self.failures.append(f"{row.row}, {type(row).__name__}, {gateway.name}:"
                                         f" {str(error).strip().splitlines()[0]}")
                    print(f"{gateway.name}: {error}", file=sys.stderr)
                if gateway.server is None or gateway.server.process.poll() is not None:
                    gateway.stop()
                    gateway.start()
        for name, measured in taken.items():
            if measured:
                self.results.setdefault(row.row, {}).setdefault(name, {}).update(
                    rows.median(measured))

    def loads(self, path, body_bytes):
        """A load for each gateway: keys differ, because ours makes its own."""
        return {gateway.name: Load(gateway.folder, self.certificates.root, gateway.key, path,
                                   body_bytes)
                for gateway in self.gateways}

    def progress(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def close(self):
        for gateway in self.gateways:
            gateway.stop()
        if self.backend is not None:
            self.backend.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of each row (5)")
    parser.add_argument("--seconds", type=int, help="seconds of each measurement (4)")
    parser.add_argument("--short", action="store_true",
                        help="one round of a second: shows that it works, measures nothing")
    parser.add_argument("--row", action="append", default=[],
                        choices=["h1-h1", "body-1m", "handshake-full", "handshake-resumed",
                                 "start", "idle"], help="only this row; may be repeated")
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
    bench = Bench(arguments)
    try:
        bench.run()
        versions = {gateway.name: gateway.version() for gateway in bench.gateways}
        command = shlex.join(["Benchmarks/bench.py", *sys.argv[1:]])
        bench.progress("")
        print(report.write(arguments.output, bench.results, versions, command, bench.rounds,
                           bench.seconds, bench.failures))
    finally:
        bench.close()
    sys.exit(1 if bench.failures else 0)


if __name__ == "__main__":
    main()
