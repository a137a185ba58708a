"""What drives the gateways: wrk and h2load at saturation, `scoregate load` at a fixed rate and for
handshakes, Python for idle connections."""

import json
import os
import re
import resource
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

from servers import LOAD_PROCESSOR, SCOREGATE, client_context, connect, read_answer

BODY_BYTES = 650
LARGE_BYTES = 1 << 20
CONNECTIONS = 32
HTTP2_CONNECTIONS, HTTP2_STREAMS = 16, 20
# Seconds of a window in which latency is taken, and answers there must be in it; see `at_rate`.
WINDOW, WINDOW_ANSWERS = 0.25, 1100
# At most so many connections are open at a fixed rate; fewer, if answers come quickly.
RATE_CONNECTIONS = 64
# Handshakes at once.
HANDSHAKES = 8
# How late the load tester may be with one request in twenty, in seconds. With one in a hundred it
# is whenever a virtual machine loses its processor.
MAXIMUM_LAG = 0.01
# For runs of `scoregate load` whose lateness does not matter, or is looked at here.
UNHURRIED = ["--maximum-lag", "1h"]

# `done` runs once, after the threads ended; one line that is easy to read back.
SCRIPT = """
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


class Load:
    """Requests of one kind, to any port; the files it needs are below `folder`."""

    def __init__(self, folder, root, key, path="/score", body_bytes=BODY_BYTES):
        self.root, self.key, self.path = root, key, path
        name = f"{path.strip('/')}-{body_bytes}-{key[-6:]}"
        self.body_path = os.path.join(folder, f"{name}.json")
        self.script_path = os.path.join(folder, f"{name}.lua")
        self.key_path = os.path.join(folder, f"{name}.key")
        self.session_path = os.path.join(folder, f"{name}.sessions")
        self._resuming = ["--handshake", "resume", "--session-file", self.session_path]
        self.tester = LoadTester(folder, root)
        with open(self.body_path, "wb") as out:
            out.write(request_body(body_bytes))
        with open(self.key_path, "w", opener=private) as out:
            out.write(key)
        with open(self.script_path, "w") as out:
            out.write(SCRIPT.format(path=path, key=key, body=self.body_path))

    def saturate(self, port, seconds, connections=CONNECTIONS, processor=LOAD_PROCESSOR):
        """(requests, seconds) as fast as the connections go. Any error at all is raised."""
        answer = run(["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s",
                      "--timeout", "10s", "-s", self.script_path, f"https://127.0.0.1:{port}"],
                     seconds + 30, processor)
        found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", answer)
        if not found:
            raise RuntimeError(f"wrk said:\n{answer}")
        requests, microseconds, failed, refused = (int(number) for number in found.groups())
        if failed or refused or not requests:
            raise RuntimeError(f"{failed} failed and {refused} refused of {requests} requests")
        return requests, microseconds / 1e6

    def saturate_http2(self, port, seconds, processor=LOAD_PROCESSOR):
        """The same over HTTP/2: (requests, seconds)."""
        answer = self._h2load(port, ["-D", str(seconds), "-c", str(HTTP2_CONNECTIONS),
                                     "-m", str(HTTP2_STREAMS)], seconds + 30, processor, http2=True)
        if "Application protocol: h2\n" not in answer:
            raise RuntimeError(f"not HTTP/2:\n{answer}")
        return int(re.search(r"(\d+) succeeded", answer)[1]), seconds

    def saturate_ours(self, port, seconds, processor, http2=False):
        """What `saturate` and `saturate_http2` do, by `scoregate load`: (requests, seconds)."""
        shape = (["--http", "2", "--connections", str(HTTP2_CONNECTIONS),
                  "--streams", str(HTTP2_STREAMS)] if http2 else
                 ["--http", "1.1", "--connections", str(CONNECTIONS)])
        report = self._ours(port, ["--closed", *shape], seconds, processor)
        return report["counts"]["completed"], seconds

    def count(self, port, requests, connections=CONNECTIONS, timeout=30):
        """Sends exactly so many requests."""
        self._h2load(port, ["-n", str(requests), "-c", str(connections)], timeout)

    def at_rate(self, port, rate, seconds, processor=LOAD_PROCESSOR, arguments=()):
        """Figures in µs of requests started at a fixed rate whatever the answers do.

        Latency counts from when a request was due, so that one that is kept waiting has waited.
        Its p50 and p99 are taken in short windows, and the median of the windows is the answer: a
        virtual machine loses its processor for 50 ms now and then, and one such stall would be
        the p99 of a whole measurement of 4 s, whichever gateway it hit. The p99.9 is that of the
        whole time, stalls included, and is there where 10,000 answers are. A window is as long as
        a p99 needs. Service time counts from when a request was really started, and schedule lag
        is the tester's own delay: where that is large, so is the doubt.

        An error, a rate that was not reached and a tester that was late with one request in
        twenty are raised.
        """
        window = max(WINDOW, WINDOW_ANSWERS / rate)
        seconds = max(seconds, 4 * window)
        report = self._ours(
            port, ["--http", "1.1", "--connections", str(RATE_CONNECTIONS), "--rate", f"{rate:.2f}",
                   "--warm-up", "1s", "--window", f"{window * 1e3:.0f}ms", *UNHURRIED, *arguments],
            seconds, processor)
        failed = [mark for mark in report["marks"] if mark.get("exitCode") != 0]
        if failed:
            raise RuntimeError(f"a command of the run failed: {failed[0]}")
        if report["throughput"] < 0.95 * rate:
            raise RuntimeError(f"{report['throughput']:.0f}/s answered, not {rate:.0f}/s")
        windows = report["windows"]
        if "p99" not in windows:
            raise RuntimeError(f"too few answers in most windows of {window:.2f} s")
        whole, service, lag = (percentiles(report[name])
                               for name in ("latency", "service", "scheduleLag"))
        if lag[95] > MAXIMUM_LAG:
            raise RuntimeError(f"the load tester was {lag[95] * 1e3:.1f} ms late and more")
        figures = {"latency_p50": windows["p50"], "latency_p99": windows["p99"],
                   "latency_p999": whole.get(99.9),
                   "service_time_p50": service[50], "service_time_p99": service[99],
                   "schedule_lag_p99": lag[99]}
        return {name: value * 1e6 for name, value in figures.items() if value is not None}

    def grant_sessions(self, port):
        """Fills the session file with tickets of connections that had a request answered each:
        there are servers that grant none before."""
        if os.path.exists(self.session_path):
            os.unlink(self.session_path)
        self._ours(port, ["--http", "1.1", "--requests-per-connection", "1", "--rate", "20",
                          *UNHURRIED, *self._resuming], 1, LOAD_PROCESSOR)

    def handshakes(self, port, seconds, resumed):
        """How many connections were made, and closed by close_notify, without a request.

        Raises if more than one in fifty was resumed that should not be, or was not.
        """
        report = self.tester.run(
            f"https://127.0.0.1:{port}/",
            ["--handshakes-only", "--closed", "--connections", str(HANDSHAKES),
             "--tls-version", "1.3", *UNHURRIED, *(self._resuming if resumed else [])], seconds)
        counts = [report["connections"].get(kind, {}).get("count", 0)
                  for kind in ("fullHandshake", "resumedHandshake")]
        if counts[not resumed] * 50 > sum(counts):
            raise RuntimeError("{} full and {} resumed handshakes".format(*counts))
        return sum(counts)

    def _ours(self, port, arguments, seconds, processor):
        return self.tester.run(
            f"https://127.0.0.1:{port}{self.path}",
            ["--data-file", self.body_path, "--key-file", self.key_path, *arguments], seconds,
            processor)

    def _h2load(self, port, arguments, timeout, processor=LOAD_PROCESSOR, http2=False):
        version = [] if http2 else ["--h1"]
        answer = run(["h2load", *version, "-t1", *arguments, "-d", self.body_path,
                      "-H", f"authorization: Bearer {self.key}",
                      "-H", "content-type: application/json",
                      f"https://127.0.0.1:{port}{self.path}"], timeout, processor)
        found = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", answer)
        if not found or any(int(number) for number in found.groups()):
            raise RuntimeError(f"h2load said:\n{answer}")
        return answer


class LoadTester:
    """`scoregate load` with one worker; its reports go to a file below `folder`."""

    def __init__(self, folder, root):
        self.root, self.path = root, os.path.join(folder, "load.json")

    def run(self, url, arguments, seconds, processor=LOAD_PROCESSOR):
        """The report of a run; raises unless all was answered and the tester kept up."""
        roots = ["--ca", self.root] if url.startswith("https:") else []
        run([SCOREGATE, "load", url, *roots, "--workers", "1", "--expect-no-errors",
             "--duration", f"{seconds * 1e3:.0f}ms", "--json", self.path, *arguments],
            30 + 2 * seconds, processor)
        with open(self.path) as report:
            return json.load(report)


class IdleConnections:
    """Connections that had one request answered each and then stay open, unused."""

    def __init__(self, root, request):
        self.request, self.context, self.open = request, client_context(root), []

    def grow(self, port, count):
        """Opens more until there are `count`; sixteen at a time, for Envoy's 40 ms."""
        def another(_):
            connection = connect(port, self.context, timeout=20.0)
            connection.sendall(self.request)
            read_answer(connection)
            return connection

        pool = ThreadPoolExecutor(16)
        try:
            for connection in pool.map(another, range(count - len(self.open))):
                self.open.append(connection)
        finally:
            # After a failure the thousands that wait are not tried one by one.
            pool.shutdown(cancel_futures=True)

    def check(self):
        """Raises if a connection was closed under us: it would not have been idle memory."""
        for connection in self.open:
            connection.setblocking(False)
            try:
                if not connection.recv(1):
                    raise RuntimeError("an idle connection was closed")
            except ssl.SSLWantReadError:
                pass

    def close(self):
        for connection in self.open:
            connection.close()
        self.open = []


class OpenStreams:
    """HTTP/2 connections with requests whose bodies never come, so that their streams stay open."""

    def __init__(self, root, key, path, connections):
        self.context = client_context(root)
        self.context.set_alpn_protocols(["h2"])
        self.block = head_block(key, path)
        self.connections, self.open, self.streams = connections, [], 0

    def grow(self, port, streams):
        """Opens more until each connection has `streams`; the connections first."""
        while len(self.open) < self.connections:
            connection = connect(port, self.context)
            connection.sendall(HTTP2_PREFACE)
            self.open.append(connection)
        for connection in self.open:
            connection.sendall(b"".join(frame(1, 4, 2 * number + 1, self.block)
                                        for number in range(self.streams, streams)))
        self.streams = streams

    def check(self):
        """Raises if a stream or connection was ended, or answered."""
        for connection in self.open:
            connection.setblocking(False)
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
                raise RuntimeError("a connection with streams was closed")
            except ssl.SSLWantReadError:
                pass
            while len(received) >= 9:
                if received[3] in (0, 1, 3, 7):
                    raise RuntimeError(f"frame {received[3]} came")
                received = received[9 + int.from_bytes(received[:3]):]
            connection.setblocking(True)

    def close(self):
        for connection in self.open:
            connection.close()
        self.open = []


def frame(kind, flags, stream, payload):
    """One HTTP/2 frame (RFC 9113, 4.1)."""
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")


def head_block(key, path):
    """The fields of a scoring request, as HEADERS has them."""
    fields = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path,
              "authorization": f"Bearer {key}", "content-type": "application/json"}
    # Literals that enter no table (RFC 7541, 6.2.2), all shorter than 127 bytes.
    return b"".join(bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
                    for name, value in fields.items())


def quantile(values, q):
    """The smallest value that at least q of the (sorted) values do not exceed."""
    return values[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def request_body(count):
    """A scoring request of so many bytes."""
    text = json.dumps({"input_data": [[5.1, 3.5, 1.4, 0.2]], "padding": ""})
    return text.replace('""', '"' + "." * (count - len(text)) + '"').encode()


def percentiles(distribution):
    """{percentile: seconds} of a distribution in a report of `scoregate load`."""
    return {one["percentile"]: one["value"] for one in distribution["percentiles"]}


def children_processor_seconds():
    """User and system time of all commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def private(path, flags):
    return os.open(path, flags, 0o600)


def run(command, timeout, processor=LOAD_PROCESSOR):
    """Output of a command on one processor, the load's; raises if it failed."""
    answer = subprocess.run(["taskset", "-c", processor, *command], capture_output=True,
                            text=True, timeout=timeout)
    if answer.returncode:
        said = answer.stderr.strip() or "nothing"
        raise RuntimeError(f"{os.path.basename(command[0])} said {said}\n{answer.stdout}")
    return answer.stdout
