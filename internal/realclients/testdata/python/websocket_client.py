"""websocket-client as a client of tests: python3 websocket_client.py URL visit [SUBPROTOCOL], see realclients.go."""
import sys

import websocket

SAID = ["", "short", "x" * 300, "y" * 70_000]

assert sys.argv[2] == "visit"
ws = websocket.create_connection(sys.argv[1], timeout=20, subprotocols=sys.argv[3:] or None)
for text in SAID:
    ws.send(text)
    if ws.recv() != text:
        raise SystemExit(f"{len(text)} characters did not come back")
ws.send_close(1000, b"bye")
opcode, frame = ws.recv_data_frame()
assert opcode == websocket.ABNF.OPCODE_CLOSE, opcode
print("closed", int.from_bytes(frame.data[:2], "big"), frame.data[2:].decode())
ws.shutdown()
