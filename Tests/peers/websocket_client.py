"""Speaks WebSocket with websocket_backend.py through a gateway.

    websocket_client.py PORT ROOTS KEYFILE CASE…     prints `CASE ok`, or what was wrong, for each
"""
import asyncio
import ssl
import sys

import websockets
from websockets.asyncio.client import connect

port, roots, key_file, *cases = sys.argv[1:]
key = open(key_file).read().strip()
trust = ssl.create_default_context(cafile=roots)


def opened(path="/chat", token=key):
    return connect(
        f"wss://localhost:{port}{path}", ssl=trust, max_size=None, ping_interval=None,
        compression=None,
        additional_headers={"Authorization": f"Bearer {token}"})


async def echo():
    async with opened() as connection:
        for message in ["text", b"\0\xff", "", "x" * 100_000]:
            await connection.send(message)
            assert await connection.recv() == message
        await (await connection.ping())


async def large():
    """More than any buffer holds, unread for a while, both ways at once."""
    body = bytes(1 << 20)
    async with opened() as connection:
        async def send():
            for _ in range(32):
                await connection.send(body)
        sending = asyncio.create_task(send())
        for _ in range(32):
            assert await connection.recv() == body
        await sending


async def closing():
    async with opened() as connection:
        await connection.send("close")
        try:
            await connection.recv()
            raise AssertionError("answered")
        except websockets.ConnectionClosedError as error:
            assert (error.rcvd.code, error.rcvd.reason) == (4000, "as asked"), error


async def refused(status, **arguments):
    try:
        async with opened(**arguments):
            raise AssertionError("let in")
    except websockets.InvalidStatus as error:
        assert error.response.status_code == status, error


async def wrong_key():
    await refused(401, token="wrong")


async def not_allowed():
    # The model gets an ordinary request, and says that it wants another.
    await refused(424)


async def idle():
    async with opened() as connection:
        try:
            await connection.recv()
            raise AssertionError("answered")
        except websockets.ConnectionClosedError as error:
            assert error.rcvd is None, error


def main():
    failed = False
    for name in cases:
        try:
            asyncio.run(asyncio.wait_for(globals()[name](), 30))
            print(name, "ok", flush=True)
        except Exception as error:  # Whatever it is, it belongs to this case.
            failed = True
            print(name, type(error).__name__, error, flush=True)
    sys.exit(failed)


main()
