"""The gateways measured, each given the same work.

TLS 1.3 with TLS_AES_128_GCM_SHA256 and X25519 to the client, the same ECDSA P-256 certificate; the
key in `Authorization` is checked and everything else answered 401; mutual TLS to the backend, its
certificate verified; connections kept alive on both sides; one worker thread; no access log. All
send the backend `x-forwarded-for` and `x-request-id`, which ours does by its nature.
"""

import os
import re
import shutil
import subprocess

from certificates import BACKEND_IDENTITY, TRUST_DOMAIN
from servers import GATEWAY_PROCESSOR, Server, free_port


class Gateway:
    """A way to start one gateway in front of a backend. Subclasses say how."""

    name = ""

    def __init__(self, folder, certificates, backend, key):
        self.folder = os.path.join(folder, self.name)
        os.makedirs(self.folder, mode=0o700)
        self.certificates, self.backend, self.key = certificates, backend, key
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


class Nginx(Gateway):
    name = "nginx"

    CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 16384; {run_as}
events {{ worker_connections 8192; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on;
  keepalive_timeout 3600s; keepalive_requests 1000000000;
  client_max_body_size 16m; client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s; proxy_max_temp_file_size 0; proxy_buffers 16 16k;
  map_hash_bucket_size 256;
  map $http_authorization $allowed {{ default 0; "Bearer {key}" 1; }}
  upstream backend {{
    server 127.0.0.1:{backend_port};
    keepalive 128; keepalive_requests 1000000000; keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {chain}; ssl_certificate_key {chain_key};
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519; ssl_session_cache off; ssl_session_tickets on;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Request-ID $request_id;
    proxy_ssl_certificate {identity}; proxy_ssl_certificate_key {identity_key};
    proxy_ssl_trusted_certificate {root}; proxy_ssl_verify on; proxy_ssl_name localhost;
    proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    # Large bodies are collected in memory. Streaming them (proxy_request_buffering off) makes
    # nginx 1.22 close a connection now and then whose answer was quicker than its own reading.
    client_body_buffer_size 2m;
    location / {{ if ($allowed = 0) {{ return 401; }} proxy_pass https://backend; }}
  }}
}}
"""

    def prepare(self):
        certificates = self.certificates
        self.path = self.write("nginx.conf", self.CONFIGURATION.format(
            folder=self.folder, key=self.key, backend_port=self.backend.port, port=self.port,
            chain=certificates.chain("gateway"), chain_key=certificates.key("gateway"),
            identity=certificates.chain("identity"), identity_key=certificates.key("identity"),
            # The folders are this user's; root's workers would become another's.
            root=certificates.root, run_as="user root;" if os.geteuid() == 0 else ""))

    def command(self):
        return ["nginx", "-c", self.path, "-p", self.folder,
                "-e", os.path.join(self.folder, "error.log")]

    def version(self):
        return first_line(["nginx", "-v"]).removeprefix("nginx version: ")


class HAProxy(Gateway):
    name = "haproxy"

    CONFIGURATION = """
global
    nbthread 1
    maxconn 8000
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-curves X25519
    ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-server-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    http-reuse always
frontend front
    bind 127.0.0.1:{port} ssl crt {combined} alpn http/1.1 backlog 4096
    http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {key}" }}
    http-request set-header X-Request-ID %[uuid]
    option forwardfor
    default_backend back
backend back
    server backend 127.0.0.1:{backend_port} ssl verify required ca-file {root} crt {identity} \
verifyhost localhost sni str(localhost) pool-max-conn 256 pool-purge-delay 3600s
"""

    def prepare(self):
        self.path = self.write("haproxy.cfg", self.CONFIGURATION.format(
            port=self.port, key=self.key, backend_port=self.backend.port,
            combined=self.certificates.combined("gateway"), root=self.certificates.root,
            identity=self.certificates.combined("identity")))

    def command(self):
        return ["/usr/sbin/haproxy", "-db", "-f", self.path]

    def version(self):
        return first_line(["/usr/sbin/haproxy", "-v"]).split(" 20")[0]


class Envoy(Gateway):
    name = "envoy"

    CONFIGURATION = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    tcp_backlog_size: 4096
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, ecdh_curves: [X25519]}}
            alpn_protocols: [http/1.1]
            tls_certificates:
            - {{certificate_chain: {{filename: {chain}}}, private_key: {{filename: {chain_key}}}}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          use_remote_address: true
          common_http_protocol_options: {{idle_timeout: 3600s}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match:
                  prefix: /
                  headers: [{{name: authorization, string_match: {{exact: "Bearer {key}"}}}}]
                route: {{cluster: backend, timeout: 60s}}
              - match: {{prefix: /}}
                direct_response: {{status: 401}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: backend
    connect_timeout: 5s
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend_port}}}}}}}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
          tls_certificates:
          - {{certificate_chain: {{filename: {identity}}}, private_key: {{filename: {identity_key}}}}}
          validation_context:
            trusted_ca: {{filename: {root}}}
            match_typed_subject_alt_names:
            - {{san_type: URI, matcher: {{exact: "{backend_identity}"}}}}
"""

    def prepare(self):
        certificates = self.certificates
        self.path = self.write("envoy.yaml", self.CONFIGURATION.format(
            port=self.port, key=self.key, backend_port=self.backend.port,
            chain=certificates.chain("gateway"), chain_key=certificates.key("gateway"),
            identity=certificates.chain("identity"), identity_key=certificates.key("identity"),
            root=certificates.root, backend_identity=BACKEND_IDENTITY))

    def command(self):
        return [envoy_binary(), "-c", self.path, "--concurrency", "1", "--disable-hot-restart",
                "-l", "error"]

    def version(self):
        # "…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
        said = first_line([envoy_binary(), "--version"]).split("version: ")[-1].split("/")
        return f"Envoy {said[1]} ({said[-1]})"


class Scoregate(Gateway):
    """Ours: the release build, one worker, two endpoint keys, no access log, no data collector."""

    name = "scoregate"

    CONFIGURATION = """
trust_domain: {trust_domain}
service: {{kind: gateway, name: bench}}
state: {folder}/state
root_key: {{file: {folder}/root.key}}
workers: 1
limits: {{connections: 8000, idle_timeout_ms: 3600000}}
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
        protocol: http1
        request_settings: {{request_timeout_ms: 60000}}
"""

    binary = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                          ".build/release/scoregate")

    def prepare(self):
        certificates = self.certificates
        with open(os.path.join(self.folder, "root.key"), "wb", opener=private) as out:
            out.write(os.urandom(32))
        os.makedirs(os.path.join(self.folder, "state"), mode=0o700, exist_ok=True)
        self.path = self.write("gateway.yaml", self.CONFIGURATION.format(
            trust_domain=TRUST_DOMAIN, folder=self.folder, port=self.port,
            chain=certificates.chain("gateway"), chain_key=certificates.key("gateway"),
            identity=certificates.chain("identity"), identity_key=certificates.key("identity"),
            root=certificates.root, backend_port=self.backend.port,
            backend_identity=BACKEND_IDENTITY))
        self.key = self.make_key()

    def make_key(self):
        answer = subprocess.run(
            [self.binary, "keys", "regenerate", "bench", "--config", self.path],
            capture_output=True, text=True)
        found = re.search(r"sgk1[ps]_[0-9A-Za-z]{60}", answer.stdout)
        if not found:
            raise RuntimeError(f"no endpoint key: {answer.stdout}{answer.stderr}")
        return found[0]

    def command(self):
        return [self.binary, "serve", "--config", self.path]

    def version(self):
        return first_line([self.binary, "--version"]) or "scoregate"


PEERS = [Nginx, HAProxy, Envoy]


def installed_peers(wanted):
    """The peers that are here, of those `wanted` (all if empty)."""
    found = []
    for peer in PEERS:
        binary = {"nginx": shutil.which("nginx"), "haproxy": "/usr/sbin/haproxy",
                  "envoy": envoy_binary()}[peer.name]
        if binary and os.path.exists(binary) and (not wanted or peer.name in wanted):
            found.append(peer)
    return found


def envoy_binary():
    """The binary that the Python package carries; its own launcher is a script that forks."""
    cache = os.environ.get("SCOREGATE_TEST_CACHE",
                           os.path.expanduser("~/.cache/scoregate-tests"))
    library = os.path.join(cache, "envoy/lib")
    for version in sorted(os.listdir(library)) if os.path.isdir(library) else []:
        path = os.path.join(library, version, "site-packages/envoy/_bin/envoy")
        if os.path.exists(path):
            return path
    return shutil.which("envoy") or ""


def first_line(command):
    answer = subprocess.run(command, capture_output=True, text=True)
    return ([line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()]
            or [""])[0].strip()


def private(path, flags):
    return os.open(path, flags, 0o600)
