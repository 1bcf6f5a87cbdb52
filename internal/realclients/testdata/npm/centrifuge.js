// npm centrifuge on node: takes options as JSON in its argument and commands as JSON lines, and
// prints what happens as JSON lines.
"use strict";
const readline = require("node:readline");
const { Centrifuge } = require("centrifuge");
const { drive } = require("./centrifuge.drive.js");

const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const act = drive(Centrifuge, JSON.parse(process.argv[2]), { websocket: require("ws") }, print);
readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    act(command).then((answer) => print({ kind: "answer", to: command.id, ...answer }));
  })
  .on("close", () => process.exit(0));
