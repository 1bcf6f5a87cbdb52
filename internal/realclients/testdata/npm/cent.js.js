// npm cent.js, Centrifugo's server library, as a publisher of tests: node cent.js.js URL KEY, see
// realclients.go.
"use strict";
const { CentClient } = require("cent.js");

const [url, apiKey] = process.argv.slice(2);
const client = new CentClient({ url, apiKey });
const say = (what, value) => console.log(what, typeof value === "string" ? value : JSON.stringify(value));
const refused = (what) => () => say(what, "refused"); // It does not tell more of an error.

async function main() {
  say("publish", await client.publish({ channel: "a", data: { price: 1 } }));
  say("broadcast", await client.broadcast({ channels: ["a", "b"], data: "to both" }));
  say("presence stats", await client.getPresenceStats({ channel: "a" }));
  say("channels", await client.getChannels());
  const { nodes } = await client.getInfo();
  say("info", `${nodes.length} node, ${nodes[0].num_clients} clients`);
  say("disconnect", await client.disconnect({ user: "nobody" }));
  say("pipeline", await client.pipeline([
    { method: "publish", params: { channel: "a", data: { price: 2 } } },
    { method: "presence_stats", params: { channel: "b" } },
  ]));
  await client.getHistory({ channel: "a" }).catch(refused("history"));
  const { epoch, offset } = await client.publish({ channel: "kept", data: { price: 3 } });
  await client.publish({ channel: "kept", data: "text" });
  const history = (params) => client.getHistory({ channel: "kept", ...params }).then((h) => [h.publications, h.offset, h.epoch === epoch]);
  say("kept", await history({ limit: 10 }));
  say("kept since", await history({ limit: 10, since: { epoch, offset } }));
  await history({ limit: 10, since: { epoch: "another", offset } }).catch(refused("kept since another epoch"));
  say("remove", await client.removeHistory({ channel: "kept" }));
  say("removed", await history({ limit: 10 }));
  await new CentClient({ url, apiKey: "another-key-than-that" }).publish({ channel: "a", data: 3 }).catch(refused("a wrong key"));
}

main().catch((err) => { console.log("error", err); process.exitCode = 1; });
