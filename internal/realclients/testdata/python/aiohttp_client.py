"""aiohttp as a client of tests: python3 aiohttp_client.py URL visit [SUBPROTOCOL], see realclients.go."""
import asyncio
import sys

import aiohttp

SAID = ["", "short", "x" * 300, "y" * 70_000]


async def visit(url, subprotocols):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, protocols=subprotocols, compress=15) as ws:
            if subprotocols and ws.protocol != subprotocols[0]:
                raise SystemExit(f"the subprotocol is {ws.protocol}")
            for text in SAID:
                await ws.send_str(text)
                if await ws.receive_str() != text:
                    raise SystemExit(f"{len(text)} characters did not come back")
            await ws.close(code=1000, message=b"bye")
            print("closed", ws.close_code)


assert sys.argv[2] == "visit"
asyncio.run(visit(sys.argv[1], sys.argv[3:]))
