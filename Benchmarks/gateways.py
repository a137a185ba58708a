"""The gateways measured, each given the same work.

TLS 1.3 with TLS_AES_128_GCM_SHA256 and X25519 to the client, the same ECDSA P-256 certificate; the
key in `Authorization` is checked and everything else answered 401; mutual TLS to the backend, its
certificate verified; HTTP/2 and HTTP/1.1 offered to clients, one of them spoken to the backend;
bodies streamed; connections kept alive on both sides; one worker thread; no access log. All send
the backend `x-forwarded-for` and `x-request-id`, which ours does by its nature.
"""

import os
import re
import subprocess
from typing import NamedTuple

from certificates import BACKEND_IDENTITY, TRUST_DOMAIN
from load import private
from servers import GATEWAY_PROCESSOR, SCOREGATE, Server, free_port


class Route(NamedTuple):
    """What a gateway stands before: a port of the backend and the version spoken to it."""

    name: str
    port: int
    version: str = "http1"
    events: bool = False


class Gateway:
    """A way to start one gateway in front of a backend. Subclasses say how."""

    name = ""
    backend_versions = ("http1", "http2")

    def __init__(self, folder, certificates, route, key):
        self.folder = os.path.join(folder, f"{self.name}-{route.name}".replace(", ", "-"))
        os.makedirs(self.folder, mode=0o700)
        self.certificates, self.route, self.key = certificates, route, key
        self.port = free_port()
        self.server = None
        self.prepare()

    def prepare(self):
        """Writes the configuration; our own also makes its key."""
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self, wrapper=()):
        """Starts it, under `wrapper` (valgrind) if given, and waits for its first answer."""
        self.server = Server(self.name, [*wrapper, *self.command()], GATEWAY_PROCESSOR,
                             self.folder, self.environment())
        self.server.wait_until_answering(self.request(), self.certificates.root, self.port,
                                         timeout=60.0 if wrapper else 20.0)
        return self.server

    def stop(self):
        if self.server is not None:
            self.server.stop()
            self.server = None

    def request(self, path="/score", body=b"{}"):
        return (f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                ).encode() + body

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text)
        return path


class Scoregate(Gateway):
    """Ours: the release build, one worker, two endpoint keys, no access log, no data collector."""

    name = "scoregate"

    CONFIGURATION = """
trust_domain: {trust_domain}
service: {{kind: gateway, name: bench}}
state: {folder}/state
root_key: {{file: {folder}/root.key}}
workers: 1
limits: {{connections: 12000, idle_timeout_ms: 3600000}}
listeners:
  - address: 127.0.0.1:{port}
    tls:
      certificates: [{{chain: {chain}, key: {chain_key}}}]
      minimum_version: "1.3"
admin: {{address: unix:{folder}/admin.sock}}
identity: {{chain: {identity}, key: {identity_key}, trust_roots: {root}}}
endpoints:
  bench:
    auth_mode: key
    traffic: {{blue: 100}}
    deployments:
      blue:
        backends: [https://127.0.0.1:{backend_port}]
        backend_identity: {backend_identity}
        protocol: {version}
        request_settings: {{request_timeout_ms: 60000}}
"""

    def prepare(self):
        certificates = self.certificates
        with open(os.path.join(self.folder, "root.key"), "wb", opener=private) as out:
            out.write(os.urandom(32))
        os.makedirs(os.path.join(self.folder, "state"), mode=0o700, exist_ok=True)
        self.path = self.write("gateway.yaml", self.CONFIGURATION.format(
            trust_domain=TRUST_DOMAIN, folder=self.folder, port=self.port,
            chain=certificates.chain("gateway"), chain_key=certificates.key("gateway"),
            identity=certificates.chain("identity"), identity_key=certificates.key("identity"),
            root=certificates.root, backend_port=self.route.port,
            version=self.route.version,
            backend_identity=BACKEND_IDENTITY))
        self.key = self.make_key()

    def make_key(self):
        answer = subprocess.run(
            [SCOREGATE, "keys", "regenerate", "bench", "--config", self.path],
            capture_output=True, text=True, timeout=30)
        found = re.search(r"sgk1[ps]_[0-9A-Za-z]{60}", answer.stdout)
        if not found:
            raise RuntimeError(f"no endpoint key: {answer.stdout}{answer.stderr}")
        return found[0]

    def command(self):
        return [SCOREGATE, "serve", "--config", self.path]

    def version(self):
        return first_line([SCOREGATE, "--version"]) or "scoregate"


class ScoregateBounded(Scoregate):
    """Ours with heads and bodies of both directions in the sealed log."""

    name = "scoregate, bounded"
    DURABILITY = "bounded"

    CONFIGURATION = Scoregate.CONFIGURATION.replace(
        "workers: 1", "workers: 1\nlog: {{directory: {folder}/log}}") + """\
        data_collector:
          durability: DURABILITY
          collections: {{request: {{enabled: true}}, response: {{enabled: true}}}}
"""

    def prepare(self):
        self.CONFIGURATION = self.CONFIGURATION.replace("DURABILITY", self.DURABILITY)
        super().prepare()


class ScoregateStrict(ScoregateBounded):
    """The same, and no answer ends before its entry is durable."""

    name = "scoregate, strict"
    DURABILITY = "strict"


def first_line(command):
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return ([line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()]
            or [""])[0].strip()
