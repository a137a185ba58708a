"""The model's place: an nginx that demands a client certificate and answers 170 bytes.

It reads the whole request body before it answers, as a model does: `mirror` reads it (the mirrored
request is answered inside the process), then comes the content phase, where POST to a file that is
there is a 405, and that leads to the answer. A `return` or `try_files` alone would answer before
the body is read: gateways would meet an early answer, after which connections must be closed.
"""

import json
import os

from servers import LOAD_PROCESSOR, Server, free_port

ANSWER_BYTES = 170
LARGE_BYTES = 1 << 20

CONFIGURATION = """
daemon off; master_process off; pid {folder}/backend.pid; error_log {folder}/backend-error.log;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on; sendfile off;
  keepalive_timeout 3600s; keepalive_requests 1000000000;
  client_max_body_size 16m; client_body_buffer_size 2m; client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  open_file_cache max=16 inactive=3600s; open_file_cache_valid 3600s; open_file_cache_errors on;
  open_file_cache_min_uses 1;
  ssl_certificate {chain}; ssl_certificate_key {key}; ssl_client_certificate {root};
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_ecdh_curve X25519; ssl_session_tickets off; ssl_session_cache off;
  server {{
    # Gateways: a client certificate is demanded.
    listen 127.0.0.1:{port} ssl backlog=4096; ssl_verify_client on;
    include {folder}/locations.conf;
  }}
  server {{
    # Gateways that speak HTTP/2 to it.
    listen 127.0.0.1:{http2_port} ssl http2 backlog=4096; ssl_verify_client on;
    include {folder}/locations.conf;
  }}
  server {{
    # Load generators, of which most have no client certificate: latency without a gateway, and
    # what the generators themselves cost.
    listen 127.0.0.1:{direct_port} ssl backlog=4096;
    include {folder}/locations.conf;
  }}
  server {{
    listen 127.0.0.1:{direct_http2_port} ssl http2 backlog=4096;
    include {folder}/locations.conf;
  }}
}}
"""

LOCATIONS = """
    root {folder}; default_type application/json;
    location = /score {{ mirror /read; mirror_request_body on; error_page 405 =200 @answer; }}
    location = /upload {{ mirror /read; mirror_request_body on; error_page 405 =200 @answer; }}
    location = /large {{ mirror /read; mirror_request_body on; error_page 405 =200 /large.bin; }}
    location = /large.bin {{ }}
    location = /read {{ internal; return 204; }}
    location @answer {{ return 200 '{answer}'; }}
"""


class Backend:
    """`port` and `http2_port` demand a client certificate; `direct_port`, HTTP/1.1, and
    `direct_http2_port` do not."""

    def __init__(self, folder, certificates):
        self.port, self.http2_port = free_port(), free_port()
        self.direct_port, self.direct_http2_port = free_port(), free_port()
        configuration = os.path.join(folder, "backend.conf")
        with open(os.path.join(folder, "large.bin"), "wb") as large:
            large.write(b"x" * LARGE_BYTES)
        for name in ("score", "upload", "large"):
            open(os.path.join(folder, name), "w").close()
        with open(os.path.join(folder, "locations.conf"), "w") as out:
            out.write(LOCATIONS.format(folder=folder, answer=answer_body()))
        with open(configuration, "w") as out:
            out.write(CONFIGURATION.format(
                folder=folder, port=self.port, http2_port=self.http2_port,
                direct_port=self.direct_port, direct_http2_port=self.direct_http2_port,
                chain=certificates.chain("backend"), key=certificates.key("backend"),
                root=certificates.root))
        self.server = Server("backend", ["nginx", "-c", configuration, "-p", folder,
                                         "-e", os.path.join(folder, "backend-error.log")],
                             LOAD_PROCESSOR, folder)

    def stop(self):
        self.server.stop()


def answer_body():
    """A classifier's answer, padded to 170 bytes."""
    answer = {"predictions": ["setosa"], "probabilities": [[0.97, 0.02, 0.01]], "padding": ""}
    answer["padding"] = "." * (ANSWER_BYTES - len(json.dumps(answer)))
    return json.dumps(answer)
