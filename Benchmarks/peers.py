"""nginx, HAProxy and Envoy, configured to do the work that gateways.py describes."""

import os
import shutil

from certificates import BACKEND_IDENTITY
from gateways import Gateway, first_line


class Nginx(Gateway):
    name = "nginx"
    backend_versions = ("http1",)

    CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 32768; {run_as}
events {{ worker_connections 16384; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on;
  keepalive_timeout 3600s; keepalive_requests 1000000000;
  client_max_body_size 16m; client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s; proxy_max_temp_file_size 0; proxy_buffers 16 16k;
  proxy_buffering {buffering};
  map_hash_bucket_size 256;
  map $http_authorization $allowed {{ default 0; "Bearer {key}" 1; }}
  upstream backend {{
    server 127.0.0.1:{backend_port};
    keepalive 512; keepalive_requests 1000000000; keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {chain}; ssl_certificate_key {chain_key};
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519; ssl_session_cache off; ssl_session_tickets on;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Request-ID $request_id;
    proxy_ssl_certificate {identity}; proxy_ssl_certificate_key {identity_key};
    proxy_ssl_trusted_certificate {root}; proxy_ssl_verify on; proxy_ssl_name localhost;
    proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    if ($allowed = 0) {{ return 401; }}
    location / {{ proxy_pass https://backend; }}
    # Large bodies are streamed, as by the others; small ones cost nginx less when they are not.
    location = /upload {{ proxy_request_buffering off; proxy_pass https://backend; }}
  }}
}}
"""

    def prepare(self):
        certificates = self.certificates
        self.path = self.write("nginx.conf", self.CONFIGURATION.format(
            folder=self.folder, key=self.key, backend_port=self.route.port, port=self.port,
            chain=certificates.chain("gateway"), chain_key=certificates.key("gateway"),
            identity=certificates.chain("identity"), identity_key=certificates.key("identity"),
            # Otherwise it keeps events back until a buffer is full.
            buffering="off" if self.route.events else "on",
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
    maxconn 9950
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
    bind 127.0.0.1:{port} ssl crt {combined} alpn h2,http/1.1 backlog 4096
    http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {key}" }}
    http-request set-header X-Request-ID %[uuid]
    option forwardfor
    default_backend back
backend back
    server backend 127.0.0.1:{backend_port} ssl verify required ca-file {root} crt {identity} \
verifyhost localhost sni str(localhost) pool-max-conn 512 pool-purge-delay 3600s alpn {alpn}
"""

    def prepare(self):
        self.path = self.write("haproxy.cfg", self.CONFIGURATION.format(
            port=self.port, key=self.key, backend_port=self.route.port,
            alpn={"http1": "http/1.1", "http2": "h2"}[self.route.version],
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
            alpn_protocols: [h2, http/1.1]
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
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{{backend_options}: {{}}}}
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
            port=self.port, key=self.key, backend_port=self.route.port,
            backend_options={"http1": "http_protocol_options",
                             "http2": "http2_protocol_options"}[self.route.version],
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
