"""What sealing and reading the log cost, beside what OpenSSL says of the same primitives."""

import os
import re
import time

from gateways import Route, ScoregateBounded
from load import LARGE_BYTES, Load, children_processor_seconds, run
from rows import Tester
from servers import GATEWAY_PROCESSOR, SCOREGATE, client_context, connect, read_answer

# What frames of the log have, and so what OpenSSL is asked about.
FRAME_BYTES = 65536
# Seals frames from memory to memory (Benchmarks/Sealing).
SEALING = os.path.join(os.path.dirname(SCOREGATE), "Sealing")


class LogReading:
    """Sealing frames from memory to memory and `logs verify` of a whole log, bytes a CPU-second,
    beside AES-256-GCM and SHA-256 one after the other as `openssl speed` has them; and how long
    `logs cat --request-id` takes to find one request in the middle of it. On the gateways'
    processor, the start of the commands included.

    The log is made once: requests with bodies of 1 MiB, kept whole, until there are `wanted` bytes.
    """

    row, limit = "log", 900

    def __init__(self, folder, certificates, backend, key, wanted):
        self.folder, self.certificates, self.backend = folder, certificates, backend
        self.key, self.wanted = key, wanted
        self.gateways = [Tester(name, backend.server) for name in ("scoregate", "openssl speed")]
        self.written, self.middle = None, None

    def measure(self, reader):
        if reader.name == "scoregate":
            return self._read()
        series = 1 / (1 / speed("aes-256-gcm") + 1 / speed("sha256"))
        return {"sealed_bytes_per_cpu_second": series, "verified_bytes_per_cpu_second": series}

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
        return {"sealed_bytes_per_cpu_second": float(run([SEALING, "2"], 60, GATEWAY_PROCESSOR)),
                "verified_bytes_per_cpu_second": self.written / processor,
                "lookup_seconds": lookup, "log_bytes": self.written}

    def _command(self, *arguments):
        return run([SCOREGATE, "logs", *arguments, "--config", self.gateway.path], self.limit,
                   GATEWAY_PROCESSOR)

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
        with connect(self.gateway.port, client_context(self.certificates.root)) as connection:
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
    answer = run(["openssl", "speed", "-seconds", "2", "-bytes", str(FRAME_BYTES), "-evp",
                  algorithm], 60, GATEWAY_PROCESSOR)
    return float(re.search(r"([\d.]+)k\s*$", answer)[1]) * 1000
