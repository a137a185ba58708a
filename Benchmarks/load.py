"""What drives the gateways: wrk and h2load at saturation, h2load at a fixed rate, Python for
handshakes and idle connections."""

import json
import os
import re
import socket
import ssl
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from servers import LOAD_PROCESSOR, client_context, connect, read_answer

BODY_BYTES = 650
LARGE_BYTES = 1 << 20
CONNECTIONS = 32
HTTP2_CONNECTIONS, HTTP2_STREAMS = 16, 20
# Of the time in which latency is taken, in seconds; see `at_rate`.
WINDOW = 0.25

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
        self.log_path = os.path.join(folder, f"{name}.tsv")
        with open(self.body_path, "wb") as out:
            out.write(request_body(body_bytes))
        with open(self.script_path, "w") as out:
            out.write(SCRIPT.format(path=path, key=key, body=self.body_path))

    def saturate(self, port, seconds, connections=CONNECTIONS):
        """(requests, seconds) as fast as the connections go. Any error at all is raised."""
        answer = run(["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
                      "-s", self.script_path, f"https://127.0.0.1:{port}"], seconds + 30)
        found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", answer)
        if not found:
            raise RuntimeError(f"wrk said:\n{answer}")
        requests, microseconds, failed, refused = (int(number) for number in found.groups())
        if failed or refused or not requests:
            raise RuntimeError(f"{failed} failed and {refused} refused of {requests} requests")
        return requests, microseconds / 1e6

    def saturate_http2(self, port, seconds):
        """The same over HTTP/2: (requests, seconds)."""
        answer = self._h2load(port, ["-D", str(seconds), "-c", str(HTTP2_CONNECTIONS),
                                     "-m", str(HTTP2_STREAMS)], seconds + 30, http2=True)
        if "Application protocol: h2\n" not in answer:
            raise RuntimeError(f"not HTTP/2:\n{answer}")
        return int(re.search(r"(\d+) succeeded", answer)[1]), seconds

    def count(self, port, requests, connections=CONNECTIONS, timeout=30):
        """Sends exactly so many requests."""
        self._h2load(port, ["-n", str(requests), "-c", str(connections)], timeout)

    def at_rate(self, port, rate, seconds):
        """{quantile: latency in µs} of requests sent at a fixed rate whatever the answers do.

        Each quantile is taken in every window of a quarter second, and the median of the windows
        is the answer: a virtual machine loses its processor for 50 ms now and then, and one such
        stall would be the p99 of a whole measurement of 4 s, whichever gateway it hit. The p99.9
        is that of the whole time, stalls included.

        Each of h2load's connections sends at its own clock. All opened at once, they would send
        in step: one burst of as many requests as there are connections. So one is opened every
        P ms, and their number is chosen so that P is one phase more than a connection's interval:
        connections = rate * P - 1. Only the time when all are sending counts.

        h2load times a request from when it was written. One that had to wait for its connection's
        answer before is written late and the wait not counted; the interval of P ms makes that
        rare, and a rate that was not reached is raised as an error. Its clock ticks in
        milliseconds, so that requests come in small bursts: the same ones for all.
        """
        period = max(13, round(64e3 / rate))
        connections = max(1, round(rate * period / 1e3) - 1)
        interval = connections / rate
        ramp = connections * period / 1e3
        each = round((ramp + seconds) / interval)
        if os.path.exists(self.log_path):
            os.unlink(self.log_path)
        self._h2load(port, ["-n", str(each * connections), "-c", str(connections), "-r", "1",
                            f"--rate-period={period}ms", "--rps", f"{1 / interval:.4f}",
                            "--log-file", self.log_path], timeout=30 + 2 * (ramp + seconds))
        answers = []
        with open(self.log_path) as lines:
            for line in lines:
                begin, status, microseconds = line.split()
                if status != "200":
                    raise RuntimeError(f"status {status}")
                answers.append((int(begin), int(microseconds)))
        begin = min(answers)[0] + ramp * 1e6
        windows = [[] for _ in range(max(1, int(seconds / WINDOW)))]
        for sent, latency in answers:
            window = int((sent - begin) / 1e6 // WINDOW)
            if 0 <= window < len(windows):
                windows[window].append(latency)
        latencies = sorted(latency for window in windows for latency in window)
        reached = len(latencies) / (len(windows) * WINDOW)
        if reached < 0.95 * rate or not all(windows):
            raise RuntimeError(f"{reached:.0f}/s sent, not {rate:.0f}/s")
        return {
            "p50": statistics.median(quantile(sorted(window), 0.5) for window in windows),
            "p99": statistics.median(quantile(sorted(window), 0.99) for window in windows),
            "p999": quantile(latencies, 0.999),
        }

    def _h2load(self, port, arguments, timeout, http2=False):
        version = [] if http2 else ["--h1"]
        answer = run(["h2load", *version, "-t1", *arguments, "-d", self.body_path,
                      "-H", f"authorization: Bearer {self.key}",
                      "-H", "content-type: application/json",
                      f"https://127.0.0.1:{port}{self.path}"], timeout)
        found = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", answer)
        if not found or any(int(number) for number in found.groups()):
            raise RuntimeError(f"h2load said:\n{answer}")
        return answer


class Handshakes:
    """Connections made and closed by close_notify, eight at a time.

    Eight because Envoy takes 40 ms to close; the processor time a handshake is what counts.
    """

    threads = 8

    def __init__(self, root, request):
        self.request = request
        self.context = client_context(root)

    def full(self, port, seconds):
        return self._repeat(port, seconds, None)

    def resumed(self, port, seconds):
        # A ticket comes after the handshake in TLS 1.3: one answer is read to have it.
        with connect(port, self.context) as connection:
            connection.sendall(self.request)
            read_answer(connection)
            session = connection.session
        return self._repeat(port, seconds, session)

    def _repeat(self, port, seconds, session):
        """Handshakes done; raises if one was resumed that should not be, or was not."""
        end = time.monotonic() + seconds

        def work(_):
            count = 0
            while time.monotonic() < end:
                self._once(port, session)
                count += 1
            return count

        with ThreadPoolExecutor(self.threads) as pool:
            return sum(pool.map(work, range(self.threads)))

    def _once(self, port, session):
        connection = connect(port, self.context, session=session)
        reused = connection.session_reused
        try:
            connection.unwrap()
        except OSError:
            pass  # Tickets that are still unread, or an end without close_notify.
        # Closed only after the other side: closing first, over unread tickets, would reset it.
        with socket.socket(fileno=connection.detach()) as plain:
            plain.settimeout(5)
            while plain.recv(65536):
                pass
        if reused != (session is not None):
            raise RuntimeError(f"session_reused is {reused}")


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


def quantile(values, q):
    """The smallest value that at least q of the (sorted) values do not exceed."""
    return values[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def request_body(count):
    """A scoring request of so many bytes."""
    text = json.dumps({"input_data": [[5.1, 3.5, 1.4, 0.2]], "padding": ""})
    return text.replace('""', '"' + "." * (count - len(text)) + '"').encode()


def run(command, timeout):
    """Output of a command on the load's processor; raises if it failed."""
    answer = subprocess.run(["taskset", "-c", LOAD_PROCESSOR, *command], capture_output=True,
                            text=True, timeout=timeout)
    if answer.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{answer.stdout}{answer.stderr}")
    return answer.stdout
