// npm ws as a client of tests: node ws.js URL TASK…, see realclients.go.
"use strict";
const WebSocket = require("ws");
const { randomBytes } = require("node:crypto");

const [url, task, size, count] = process.argv.slice(2);
const ws = new WebSocket(url, { perMessageDeflate: task !== "send" });
const said = ["", "short", "x".repeat(300), "y".repeat(70_000)];

function visit(echoed) {
  if (echoed === said.length) return ws.close(1000, "bye");
  ws.once("message", (data) => {
    if (data.toString() !== said[echoed]) throw new Error(`echo ${echoed} is ${data.length} bytes`);
    visit(echoed + 1);
  });
  ws.send(said[echoed]);
}

function send() {
  const message = randomBytes(Number(size));
  for (let i = 0; i < Number(count); i++) ws.send(message);
}

ws.on("open", () => (task === "visit" ? visit(0) : send()));
ws.on("error", (err) => console.log(`error ${err.message}`));
ws.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
