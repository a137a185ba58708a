#!/usr/bin/env python3
"""Writes what libFuzzer begins with: seeds.py TARGET FOLDER."""

import os
import struct
import sys


def frame(kind, flags, stream, payload=b""):
    """One HTTP/2 frame (RFC 9113 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field, literal, not indexed, not Huffman coded (RFC 7541 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
REQUEST = (b"\x83\x87" + literal(b":path", b"/score") + literal(b":authority", b"a")
           + literal(b"te", b"trailers"))
RESPONSE = b"\x88" + literal(b"content-type", b"application/json")
TRAILERS = literal(b"grpc-status", b"0")
OPENING = frame(SETTINGS, 0, 0)
ACKNOWLEDGED = frame(SETTINGS, 1, 0)

HEAD = b"POST /score?x=1 HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer x\r\n"


def record(kind, content):
    """One record for the peer to seal: Fuzz/Records.swift."""
    return bytes([kind]) + struct.pack(">H", len(content)) + content


UPDATE = b"\x18\x00\x00\x01"
SEEDS = {
    "records": [
        b"\x00" + record(23, b"data") + record(21, b"\x01\x00"),
        b"\x00" + record(22, UPDATE + b"\x01") + record(23, b"data") + record(21, b"\x02\x50"),
        b"\x00" + record(22, UPDATE[:2]) + record(22, UPDATE[2:] + b"\x00") + record(23, b"x"),
        b"\x01" + record(22, b"\x04\x00\x00\x03abc" * 2) + record(23, b"\x00" * 9),
        b"\x01" + record(0, b"x\x17\x00") + record(23, b"") + record(21, b"\x01\x5a"),
    ],
    "request": [
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://a.example/%2e/b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    ],
    "response": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 204\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    "http2-server": [b"\xff" + OPENING + ACKNOWLEDGED + rest for rest in (
        frame(HEADERS, 5, 1, REQUEST),
        frame(HEADERS, 4, 1, REQUEST) + frame(DATA, 1, 1, b"{}"),
        frame(HEADERS, 0, 1, REQUEST[:9]) + frame(CONTINUATION, 4, 1, REQUEST[9:]) + frame(DATA, 1, 1),
        frame(HEADERS, 4, 1, REQUEST) + frame(DATA, 0, 1, b"x") + frame(HEADERS, 5, 1, TRAILERS),
        frame(HEADERS, 4, 1, REQUEST) + frame(RESET, 0, 1, struct.pack(">I", 8)),
        frame(PING, 0, 0, b"12345678") + frame(WINDOW, 0, 0, struct.pack(">I", 1000)),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + frame(HEADERS, 5, 1, REQUEST)
        + frame(HEADERS, 5, 3, REQUEST) + frame(WINDOW, 0, 1, struct.pack(">I", 70000)),
        frame(HEADERS, 0x2d, 1, b"\x02" + struct.pack(">IB", 0, 15) + REQUEST + b"\0\0"),
        frame(PRIORITY, 0, 5, struct.pack(">IB", 3, 1)) + frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)),
    )],
    "http2-client": [b"\xff" + OPENING + ACKNOWLEDGED + rest for rest in (
        frame(HEADERS, 4, 1, RESPONSE) + frame(DATA, 1, 1, b"{}"),
        frame(HEADERS, 5, 3, RESPONSE),
        frame(HEADERS, 4, 1, b"\x08\x03100") + frame(HEADERS, 4, 1, RESPONSE)
        + frame(DATA, 0, 1, b"x") + frame(HEADERS, 5, 1, TRAILERS),
        frame(RESET, 0, 1, struct.pack(">I", 7)) + frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0)),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 1)) + frame(PING, 0, 0, b"12345678"),
        frame(PUSH, 4, 1, struct.pack(">I", 2) + REQUEST),
        frame(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)),
    )],
}


def main():
    target, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        with open(os.path.join(folder, f"seed-{number}"), "wb") as out:
            out.write(seed)


if __name__ == "__main__":
    main()
