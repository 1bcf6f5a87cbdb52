# Python's websockets as a client of tests: websockets_client.py URL TASK…, see realclients.go.
import asyncio
import os
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


async def echo(ws, said):
    await ws.send(said)
    if await ws.recv() != said:
        raise ValueError(f"the echo of {len(said)} is another")


async def main(url, task, size=0, count=1):
    options = {"max_size": None, "max_queue": None}
    if task == "visit" and size:
        options["subprotocols"] = [size]
    if task == "send":
        options["compression"] = None
    elif "SERVER_MAX_WINDOW_BITS" in os.environ:
        bits = int(os.environ["SERVER_MAX_WINDOW_BITS"])
        options["compression"] = None  # Or it adds an offer of its own.
        options["extensions"] = [ClientPerMessageDeflateFactory(server_max_window_bits=bits)]
    try:
        async with websockets.connect(url, **options) as ws:
            if task == "visit":
                if size and ws.subprotocol != size:
                    raise ValueError(f"the subprotocol is {ws.subprotocol}")
                for said in ["", "short", "x" * 300, "y" * 70_000]:
                    await echo(ws, said)
            elif task == "echo":
                await echo(ws, os.urandom(int(size)))
            else:
                message = os.urandom(int(size))
                for _ in range(int(count)):
                    await ws.send(message)
                await ws.wait_closed()
            if not ws.closed:
                await ws.close(1000, "bye")
    except websockets.ConnectionClosed:
        pass  # Its code is printed below.
    except Exception as err:
        print(f"error {type(err).__name__} {err}")
        return
    print(f"closed {ws.close_code} {ws.close_reason}")


asyncio.run(main(*sys.argv[1:]))
