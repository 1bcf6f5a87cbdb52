// undici, the client behind node's own fetch, as a client of tests: node undici.js URL visit
// [SUBPROTOCOL], see realclients.go.
"use strict";
const { WebSocket } = require("undici");

const [url, task, subprotocol] = process.argv.slice(2);
if (task !== "visit") throw new Error(`cannot ${task}`);
const ws = new WebSocket(url, subprotocol ? [subprotocol] : []);
const said = ["", "short", "x".repeat(300), "y".repeat(70_000)];
let echoed = 0;

ws.onopen = () => ws.send(said[0]);
ws.onmessage = ({ data }) => {
  if (data !== said[echoed]) throw new Error(`echo ${echoed} is ${data.length} long`);
  if (++echoed === said.length) ws.close(1000, "bye");
  else ws.send(said[echoed]);
};
ws.onerror = (event) => console.log(`error ${event.error?.message ?? event.message}`);
ws.onclose = ({ code, reason }) => console.log(`closed ${code} ${reason}`);
