"""Rows that count instead of timing: system calls by strace, instructions by valgrind.

Both are differences of two runs of different length, so that handshakes and the start drop out.
"""

import os
import re
import signal
import subprocess

from servers import LOAD_PROCESSOR


class SystemCalls:
    """strace -c. It slows calls down twentyfold, which makes batches larger: a lower bound for
    gateways that batch. On a busy machine 10,000 requests take minutes: hence few, and a limit."""

    row = "h1-h1"
    few, limit = 200, 60

    def __init__(self, gateways, loads, short):
        self.gateways, self.loads = gateways, loads
        self.many = self.few + (400 if short else 2000)

    def measure(self, gateway):
        return {"system_calls_per_request":
                (self._run(gateway, self.many) - self._run(gateway, self.few))
                / (self.many - self.few)}

    def _run(self, gateway, requests):
        path = os.path.join(gateway.folder, "strace.txt")
        pids = [argument for pid in gateway.server.identifiers()
                for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(["taskset", "-c", LOAD_PROCESSOR, "strace", "-f", "-c", "-o",
                                   path, *pids], stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(len(pids) // 2):
                if "attached" not in tracer.stderr.readline():
                    raise RuntimeError("strace could not attach")
            self.loads[gateway.name].count(gateway.port, requests)
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=20)
        finally:
            # Killed, it leaves what it traced running.
            tracer.kill()
            tracer.communicate()
        return strace_total(path)


class Instructions:
    """User instructions a request under callgrind, which repeat to a fraction of a per cent where
    timings do not. Minutes long."""

    row = "h1-h1"
    few, many, limit = 500, 2500, 900

    def __init__(self, gateways, loads):
        # Envoy has an allocator of its own, and its size makes a run of many minutes.
        self.gateways = [gateway for gateway in gateways if gateway.name != "envoy"]
        self.loads = loads

    def measure(self, gateway):
        return {"instructions_per_request":
                (self._run(gateway, self.many) - self._run(gateway, self.few))
                / (self.many - self.few)}

    def _run(self, gateway, requests):
        gateway.stop()
        pattern = os.path.join(gateway.folder, f"callgrind-{requests}-%p.out")
        gateway.start(wrapper=["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                               f"--callgrind-out-file={pattern}"])
        # The start waited for an unknown number of tries; both runs have about the same.
        self.loads[gateway.name].count(gateway.port, requests, connections=4, timeout=300)
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


def strace_total(path):
    with open(path) as lines:
        for line in lines:
            found = re.match(r"\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total", line)
            if found:
                return int(found[1])
    raise RuntimeError("strace printed no total")
