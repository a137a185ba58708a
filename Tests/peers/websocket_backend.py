"""A WebSocket server that sends back what it gets. Prints its port."""
import asyncio
import sys

import websockets
from websockets.asyncio.server import serve


async def echo(connection):
    print("asked", connection.request.path, flush=True)
    try:
        async for message in connection:
            if message == "close":
                await connection.close(4000, "as asked")
                return
            await connection.send(message)
    except websockets.ConnectionClosedError:
        print("cut", flush=True)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
