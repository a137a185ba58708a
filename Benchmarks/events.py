#!/usr/bin/env python3
"""A token stream's place: a server of server-sent events, and the client that times them.

Run as a program it is the server: events.py PORT CHAIN KEY ROOT. One thread a connection, HTTP/1.1,
a client certificate checked if one is shown. Each event is one chunk, one TLS record and one write,
EVENTS of them and INTERVAL apart; the head leaves with the first.
"""

import os
import socket
import ssl
import sys
import threading
import time

from servers import LOAD_PROCESSOR, Server, connect, client_context, free_port, read_answer

EVENTS = 10
INTERVAL = 0.005
HEAD = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
        b"transfer-encoding: chunked\r\n\r\n")
EVENT = b'data: {"token": "setosa", "padding": "' + b"." * 80 + b'"}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
LAST_CHUNK = b"0\r\n\r\n"


class EventServer:
    """The server as a process of its own, on the load's processor."""

    def __init__(self, folder, certificates):
        self.port = free_port()
        self.server = Server("events", [
            sys.executable, os.path.abspath(__file__), str(self.port),
            certificates.chain("backend"), certificates.key("backend"), certificates.root],
            LOAD_PROCESSOR, folder)

    def stop(self):
        self.server.stop()


class EventClient:
    """One connection that asks for one stream after another."""

    def __init__(self, port, root, request):
        self.connection, self.request = connect(port, client_context(root)), request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def stream(self):
        """(seconds to the first whole event, events that came in one TLS record with the one
        before). The first record may hold the head too; a `recv` returns one record at most."""
        begin = time.perf_counter()
        self.connection.sendall(self.request)
        answer, first, coalesced = b"", None, 0
        while not answer.endswith(LAST_CHUNK):
            piece = self.connection.recv(65536)
            if not piece:
                raise ConnectionError("closed before the stream's end")
            answer += piece
            if first is None and EVENT in answer:
                first = time.perf_counter() - begin
            coalesced += max(0, piece.count(EVENT) - 1)
        if not answer.startswith(b"HTTP/1.1 200") or answer.count(EVENT) != EVENTS:
            raise RuntimeError(f"{answer.count(EVENT)} whole events in {answer[:40]}")
        return first, coalesced

    def close(self):
        self.connection.close()


def serve(connection):
    """Answers requests on one connection until it is closed."""
    try:
        connection.do_handshake()
        while True:
            read_answer(connection)  # A request has the same form.
            connection.sendall(HEAD + CHUNK)
            for _ in range(EVENTS - 1):
                time.sleep(INTERVAL)
                connection.sendall(CHUNK)
            connection.sendall(LAST_CHUNK)
    except OSError:
        pass  # Closed by the gateway.
    finally:
        connection.close()


def main(port, chain, key, root):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=root)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", int(port)), backlog=64) as listener:
        while True:
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = context.wrap_socket(plain, server_side=True,
                                             do_handshake_on_connect=False)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
