// npm ws as a client of tests: node ws.js URL TASK…, see realclients.go.
"use strict";
const WebSocket = require("ws");
const { randomBytes } = require("node:crypto");

const [url, task, size, count] = process.argv.slice(2);
const subprotocols = task === "visit" && size ? [size] : []; // ws fails the connection if none of them is answered.
const ws = new WebSocket(url, subprotocols, { perMessageDeflate: task !== "send" });

function echo(all, at = 0) {
  if (at === all.length) return ws.close(1000, "bye");
  ws.once("message", (data) => {
    if (!data.equals(Buffer.from(all[at]))) throw new Error(`echo ${at} is ${data.length} bytes`);
    echo(all, at + 1);
  });
  ws.send(all[at]);
}

const tasks = {
  visit: () => echo(["", "short", "x".repeat(300), "y".repeat(70_000)]),
  echo: () => echo([randomBytes(Number(size))]),
  send: () => {
    const message = randomBytes(Number(size));
    for (let i = 0; i < Number(count); i++) ws.send(message);
  },
};

ws.on("open", tasks[task]);
ws.on("error", (err) => console.log(`error ${err.message}`));
ws.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
