"""Reads events of events_backend.py through a gateway, each asked for once the one before is there.

An event that is held back for the next one never comes, since the next one is not asked for.

    events_client.py PORT ROOTS KEYFILE CASE…     prints `CASE ok`, or what was wrong, for each
"""
import os
import ssl
import subprocess
import sys
import tempfile

import httpx

port, roots, key_file, *cases = sys.argv[1:]
key = open(key_file).read().strip()
url = f"https://localhost:{port}"
trust = ssl.create_default_context(cafile=roots)
COUNT = 20


def client(http2):
    return httpx.Client(
        http1=not http2, http2=http2, verify=trust, timeout=20,
        headers={"authorization": f"Bearer {key}"})


def ask(sender, name, what=b""):
    assert sender.post(f"{url}/next/{name}", content=what).status_code == 204


def read_with_httpx(http2):
    name = f"httpx{http2}"
    with client(http2) as reader, client(http2) as sender:
        with reader.stream("GET", f"{url}/events/{name}") as answer:
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            pieces = answer.iter_raw()
            for number in range(COUNT):
                ask(sender, name)
                assert next(pieces) == b"data: %d\n\n" % number
            ask(sender, name, b"end")
            assert b"".join(pieces) == b""


def read_with_curl(flag):
    name = f"curl{flag}"
    curl = subprocess.Popen(
        ["curl", "--silent", "--no-buffer", flag, "--cacert", roots, "--header", "@-",
         f"{url}/events/{name}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    curl.stdin.write(f"Authorization: Bearer {key}\n".encode())
    curl.stdin.close()
    with client(True) as sender:
        for number in range(COUNT):
            ask(sender, name)
            assert os.read(curl.stdout.fileno(), 65536) == b"data: %d\n\n" % number
        ask(sender, name, b"end")
        assert os.read(curl.stdout.fileno(), 65536) == b""
    assert curl.wait() == 0


def httpx2():
    read_with_httpx(True)


def httpx1():
    read_with_httpx(False)


def curl2():
    read_with_curl("--http2")


def curl1():
    read_with_curl("--http1.1")


def duplex():
    """An answer streams down while its request still streams up."""
    for flag in ("--http2", "--http1.1"):
        with tempfile.NamedTemporaryFile() as fields:
            fields.write(f"Authorization: Bearer {key}\n".encode())
            fields.flush()
            curl = subprocess.Popen(
                ["curl", "--silent", "--no-buffer", flag, "--cacert", roots, "--header",
                 f"@{fields.name}", "--header", "Expect:", "--request", "POST", "--upload-file",
                 ".", f"{url}/echo"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for number in range(COUNT):
                os.write(curl.stdin.fileno(), b"piece %d" % number)
                assert os.read(curl.stdout.fileno(), 65536) == b"piece %d" % number
            curl.stdin.close()
            assert os.read(curl.stdout.fileno(), 65536) == b""
            assert curl.wait() == 0


def leave():
    """Goes away in the middle of a stream."""
    for http2 in (True, False):
        name = f"leave{http2}"
        with client(http2) as reader, client(http2) as sender:
            with reader.stream("GET", f"{url}/events/{name}") as answer:
                ask(sender, name)
                assert next(answer.iter_raw()) == b"data: 0\n\n"


def main():
    failed = False
    for name in cases:
        try:
            globals()[name]()
            print(name, "ok", flush=True)
        except Exception as error:  # Whatever it is, it belongs to this case.
            failed = True
            print(name, type(error).__name__, error, flush=True)
    sys.exit(failed)


main()
