"""A server process: started pinned to its processors, watched, ended by its id."""

import os
import signal
import socket
import ssl
import subprocess
import time


def processors():
    """(gateway, load): which processors each side gets; the same one where there is only one.

    Load and backend share a processor so that on two cores the gateway has one to itself, and
    saturation means that the gateway is what is saturated.
    """
    available = sorted(os.sched_getaffinity(0))
    return str(available[0]), str(available[1 % len(available)])


GATEWAY_PROCESSOR, LOAD_PROCESSOR = processors()
# The release build.
SCOREGATE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                         ".build/release/scoregate")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A command running until `stop`. Its figures are sums over it and all its descendants."""

    def __init__(self, name, command, processor, folder, environment=None):
        self.name, self.command = name, command
        self.log_path = os.path.join(folder, f"{name}.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", processor, *command], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=folder, start_new_session=True,
                env={**os.environ, **(environment or {})})

    def stop(self):
        if self.process.poll() is None:
            # SIGTERM is a fast stop to nginx, HAProxy and Envoy, and a drain to us, which ends
            # at once here: no exchange is in flight.
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def wait_until_answering(self, request, root, port, timeout=20.0):
        """Returns the first answer; raises with the log's end if there is none in time."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                answer = ask(port, request, root)
                if answer.startswith(b"HTTP/1.1 200"):
                    return answer
            except OSError:
                pass
            time.sleep(0.001)
        with open(self.log_path, errors="replace") as log:
            raise RuntimeError(f"{self.name} does not answer:\n{log.read()[-2000:]}")

    def identifiers(self):
        """Process ids of the server and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        waiting += [int(child) for child in children.read().split()]
            except OSError:
                continue
        return found

    def processor_seconds(self):
        """Time on a processor so far, user and system, in seconds.

        /proc/PID/task/*/schedstat counts in nanoseconds where /proc/PID/stat counts hundredths;
        the kernel scales the latter to the same sum.
        """
        total = 0
        for pid in self.identifiers():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as line:
                        total += int(line.read().split()[0])
            except OSError:
                continue
        return total / 1e9

    def user_share(self):
        """(user, system) ticks so far; sampled by the timer, so good for a share only."""
        user = system = 0
        for pid in self.identifiers():
            with open(f"/proc/{pid}/stat") as line:
                fields = line.read().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return user, system

    def resident_bytes(self):
        """Proportional set size: pages shared between processes count once."""
        total = 0
        for pid in self.identifiers():
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                for line in lines:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total


def wait_for_listener(port, timeout=20.0):
    """Returns once something listens; raises if nothing does in time."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5.0):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def ask(port, request, root, timeout=5.0):
    """One request over a TLS connection of its own; the answer's bytes."""
    with connect(port, client_context(root), timeout) as connection:
        connection.sendall(request)
        return read_answer(connection)


def client_context(root):
    context = ssl.create_default_context(cafile=root)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def connect(port, context, timeout=5.0, source=None):
    plain = socket.create_connection(("127.0.0.1", port), timeout, source and (source, 0))
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise


def offers_http2(port):
    """Whether a listener chooses `h2` by ALPN. Only asked: nothing is verified or sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(port, context) as connection:
        return connection.selected_alpn_protocol() == "h2"


def read_answer(connection):
    """Reads one answer with a content-length, which all the benchmark's answers have."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = 0
    for field in head.split(b"\r\n")[1:]:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection):
    piece = connection.recv(65536)
    if not piece:
        raise ConnectionError("closed before the answer was complete")
    return piece
