"""What reading the sealed log costs, beside what OpenSSL says of the same primitives."""

import os
import re
import ssl
import subprocess
import time

from gateways import Route, ScoregateBounded
from load import LARGE_BYTES, Load, children_processor_seconds
from servers import GATEWAY_PROCESSOR, SCOREGATE, connect, read_answer

# What frames of the log have, and so what OpenSSL is asked about.
FRAME_BYTES = 65536


class Primitives:
    """`openssl speed`, in the place of a gateway."""

    name, server = "openssl speed", None

    def stop(self):
        pass

    def start(self):
        self.server = Here()


class Here:
    """A process that is there whenever it is asked for."""

    class process:
        poll = staticmethod(lambda: None)


class LogReader(Primitives):
    """`scoregate logs`, in the place of a gateway."""

    name = "scoregate"


class LogReading:
    """`logs verify` of a whole log, bytes a CPU-second, beside AES-256-GCM and SHA-256 one after
    the other as `openssl speed` has them; and how long `logs cat --request-id` takes to find one
    request in the middle of it. On the gateways' processor, the start of the commands included.

    The log is made once: requests with bodies of 1 MiB, kept whole, until there are `wanted` bytes.
    """

    row, limit = "log", 900

    def __init__(self, folder, certificates, backend, key, wanted):
        self.folder, self.certificates, self.backend = folder, certificates, backend
        self.key, self.wanted = key, wanted
        self.gateways = [LogReader(), Primitives()]
        self.written, self.middle = None, None

    def measure(self, reader):
        if isinstance(reader, LogReader):
            return self._read()
        return {"verified_bytes_per_cpu_second":
                1 / (1 / speed("aes-256-gcm") + 1 / speed("sha256"))}

    def _read(self):
        if self.written is None:
            self._write()
        before = children_processor_seconds()
        self._command("verify")
        processor = children_processor_seconds() - before
        begin = time.monotonic()
        found = self._command("cat", "--request-id", self.middle)
        lookup = time.monotonic() - begin
        if found.count("\n") != 2:
            raise RuntimeError(f"not the two entries of a request: {found[:200]}")
        return {"verified_bytes_per_cpu_second": self.written / processor,
                "lookup_seconds": lookup, "log_bytes": self.written}

    def _command(self, *arguments):
        answer = subprocess.run(
            ["taskset", "-c", GATEWAY_PROCESSOR, SCOREGATE, "logs", *arguments, "--config",
             self.gateway.path], capture_output=True, text=True, timeout=self.limit)
        if answer.returncode != 0:
            raise RuntimeError(f"logs {arguments[0]}: {answer.stderr or answer.stdout}")
        return answer.stdout

    def _write(self):
        self.gateway = ScoregateBounded(
            self.folder, self.certificates, Route("log", self.backend.port), self.key)
        self.gateway.start()
        try:
            load = Load(self.gateway.folder, self.certificates.root, self.gateway.key, "/upload",
                        LARGE_BYTES)
            while log_bytes(self.gateway.folder) < self.wanted:
                load.count(self.gateway.port, 200, connections=8, timeout=120)
                if self.middle is None and log_bytes(self.gateway.folder) >= self.wanted / 2:
                    self.middle = self._one_request()
        finally:
            self.gateway.stop()
        self.written = log_bytes(self.gateway.folder)

    def _one_request(self):
        context = ssl.create_default_context(cafile=self.certificates.root)
        with connect(self.gateway.port, context) as connection:
            connection.sendall(self.gateway.request())
            answer = read_answer(connection)
        return re.search(rb"(?i)\r\nx-request-id: ([^\r]+)", answer)[1].decode()


def log_bytes(folder):
    """What the segments have; room that is reserved behind an open one's end is not counted."""
    return sum(os.path.getsize(os.path.join(place, name))
               for place, _, names in os.walk(os.path.join(folder, "log"))
               for name in names if name.endswith(".sgl"))


def speed(algorithm):
    """Bytes a second on one core."""
    answer = subprocess.run(
        ["taskset", "-c", GATEWAY_PROCESSOR, "openssl", "speed", "-seconds", "2", "-bytes",
         str(FRAME_BYTES), "-evp", algorithm], capture_output=True, text=True, timeout=60,
        check=True).stdout
    return float(re.search(r"([\d.]+)k\s*$", answer)[1]) * 1000
