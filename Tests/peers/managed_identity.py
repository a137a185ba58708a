"""A machine of Azure's with an identity of its own: the metadata service that gives its tokens, a key
vault that takes them, and a gateway whose log lies under a key there.

managed_identity.py SCOREGATE FOLDER   to be run in a network namespace of its own, as root
                                       FOLDER has gateway.yaml and what it names; ports as below
Prints "CASE ok" for each case that is as it should be.
"""

import base64
import http.server
import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

scoregate, folder = sys.argv[1], sys.argv[2]
METADATA, GATEWAY, VAULT, MODEL = "169.254.169.254", 8443, 7443, 5001
configuration = f"{folder}/gateway.yaml"


class World:
    """What the servers go by, and what they saw."""

    token = "first-token"
    is_enabled = True
    asked = []
    known = []
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, value, **fields):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Metadata(Quiet):
    """Azure Instance Metadata Service, /metadata/identity/oauth2/token."""

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(target.query)
        World.asked.append((target.path, query))
        if self.headers["metadata"] != "true" or "api-version" not in query:
            return self.answer(400, {"error": "invalid_request"})
        self.answer(200, {
            "access_token": World.token, "expires_in": "3600", "token_type": "Bearer",
            "expires_on": str(int(time.time()) + 3600), "resource": query["resource"][0]})


class Vault(Quiet):
    """Of the Azure Key Vault REST API what a key's users ask."""

    kid = f"https://127.0.0.1:{VAULT}/keys/iris-log/" + "0123456789abcdef" * 2

    def do_GET(self):
        if self.is_known():
            numbers = World.key.public_key().public_numbers()
            self.answer(200, {
                "key": {"kid": self.kid, "kty": "RSA", "n": number(numbers.n),
                        "e": number(numbers.e), "key_ops": ["wrapKey", "unwrapKey"]},
                "attributes": {"enabled": World.is_enabled, "created": 1, "updated": 1}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.is_known():
            return
        if not World.is_enabled:
            return self.answer(403, {"error": {
                "code": "Forbidden", "message": "the key is disabled",
                "innererror": {"code": "KeyDisabled"}}})
        secret = World.key.decrypt(
            base64.urlsafe_b64decode(body["value"] + "=="),
            padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
        self.answer(200, {"kid": self.kid, "value": text(secret)})

    def is_known(self):
        World.known.append((self.command, self.path.split("?")[0], self.headers["authorization"]))
        if self.headers["authorization"] == f"Bearer {World.token}":
            return True
        self.answer(401, {"error": {"code": "Unauthorized", "message": "no token"}},
                    www_authenticate='Bearer authorization="https://login.microsoftonline.com/'
                    f'tenant", resource="https://127.0.0.1:{VAULT}"')
        return False


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def serve(handler, address, port, context=None):
    server = http.server.ThreadingHTTPServer((address, port), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def run(*arguments):
    return subprocess.run([scoregate, *arguments, "--config", configuration], timeout=60,
                          capture_output=True, text=True)


def score():
    request = urllib.request.Request(
        f"https://127.0.0.1:{GATEWAY}/score", json.dumps({"input_data": [[5.1, 3.5, 1.4, 0.2]]})
        .encode(), {"authorization": f"Bearer {key}", "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def wait(condition, seconds, what):
    """How long it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise SystemExit(f"never: {what}")
        time.sleep(0.05)
    return time.monotonic() - begin


def is_listening():
    try:
        return score() > 0
    except (urllib.error.URLError, ConnectionError):
        return False


def check(case, holds, *facts):
    if not holds:
        raise SystemExit(f"{case}: {facts}")
    print(f"{case} ok", flush=True)


def cases(errors):
    global key
    # Refused for its key, which can be made now that there is a state.
    wait(is_listening, 60, "a gateway")
    key = run("keys", "regenerate", "iris", "--slot", "primary").stdout.strip()
    check("scored", score() == 200)
    path, query = World.asked[0]
    check("asked for a token", path == "/metadata/identity/oauth2/token"
          and query["resource"] == [f"https://127.0.0.1:{VAULT}"]
          and query["client_id"] == ["the-app"], World.asked)
    check("showed it", World.known[0][2] is None
          and World.known[1][2] == "Bearer first-token", World.known[:3])

    read = run("logs", "cat", "--endpoint", "iris")
    check("read", read.returncode == 0 and "setosa" in read.stdout
          and any(method == "POST" for method, _, _ in World.known), read)

    World.token = "second-token"
    wait(lambda: any(shown == "Bearer second-token" for _, _, shown in World.known), 30,
         "a new token")
    check("fetched anew", score() == 200)

    World.is_enabled = False
    seconds = wait(lambda: score() == 503, 30, "a refusal")
    refused = run("logs", "cat", "--endpoint", "iris")
    # Five seconds by probe, and what a busy machine takes.
    check("revoked", seconds < 10 and refused.returncode != 0 and "setosa" not in refused.stdout,
          seconds, refused)
    World.is_enabled = True
    wait(lambda: score() == 200, 30, "a score after the key came back")
    check("restored", "setosa" in run("logs", "cat", "--endpoint", "iris").stdout)
    with open(errors) as file:
        check("kept secret", "-token" not in file.read())


trust = ssl.create_default_context(cafile=f"{folder}/root.pem")
own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
own.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
serve(Metadata, METADATA, 80)
serve(Vault, "127.0.0.1", VAULT, own)
key = None
errors = f"{folder}/gateway.err"
with open(errors, "w") as file:
    processes = [
        subprocess.Popen([scoregate, "model", "--address", f"127.0.0.1:{MODEL}"],
                         stdout=subprocess.DEVNULL),
        subprocess.Popen([scoregate, "serve", "--config", configuration], stdout=file,
                         stderr=file)]
try:
    cases(errors)
except BaseException:
    with open(errors) as file:
        sys.stderr.write(file.read())
    raise
finally:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(30)
