// Makes a client of npm centrifuge that does what it is told, and tells what becomes of it: shared
// by node (centrifuge.js) and a page; see internal/sdktest.
"use strict";
function drive(Centrifuge, options, more, emit) {
  const next = (list) => list.length > 1 ? list.shift() : list[0] ?? ""; // The last one again and again.
  const delays = { minReconnectDelay: 10, maxReconnectDelay: 60, timeout: 30_000 };
  const client = new Centrifuge(options.url, { ...delays, ...more, ...(options.tokens && { getToken: async () => next(options.tokens) }) });
  const subs = new Map();
  const info = (i) => i && { client: i.client, user: i.user, connInfo: i.connInfo };
  const publication = (p) => ({ offset: p.offset, data: p.data, tags: p.tags, info: info(p.info) });
  const subscribed = (c) => ({ room: c.channel, recoverable: c.recoverable, wasRecovering: c.wasRecovering, recovered: c.recovered, position: c.streamPosition });

  for (const kind of ["connecting", "connected", "disconnected"]) {
    client.on(kind, (c) => emit({ kind, code: c.code, reason: c.reason, client: c.client }));
  }
  client.on("error", (c) => emit({ kind: "error", code: c.error.code, reason: c.error.message }));
  listen(client, "server "); // Subscriptions that the server has made.

  function listen(from, prefix = "") {
    for (const kind of ["subscribing", "unsubscribed"]) {
      from.on(kind, (c) => emit({ kind: prefix + kind, room: c.channel, code: c.code, reason: c.reason }));
    }
    from.on("subscribed", (c) => emit({ kind: prefix + "subscribed", ...subscribed(c) }));
    from.on("publication", (c) => emit({ kind: prefix + "publication", room: c.channel, ...publication(c) }));
    for (const kind of ["join", "leave"]) {
      from.on(kind, (c) => emit({ kind: prefix + kind, room: c.channel, info: info(c.info) }));
    }
  }

  const can = {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    subscribe({ room, tokens }) {
      const sub = client.newSubscription(room, {
        minResubscribeDelay: 10, maxResubscribeDelay: 60, joinLeave: true, ...(tokens && { getToken: async () => next(tokens) }),
      });
      subs.set(room, sub);
      listen(sub);
      sub.on("error", (c) => emit({ kind: "error", room, code: c.error.code, reason: c.error.message }));
      sub.subscribe();
    },
    unsubscribe: ({ room }) => subs.get(room).unsubscribe(),
    publish: ({ room, data }) => client.publish(room, data),
    history: ({ room, limit, since, reverse }) => client.history(room, { limit, since, reverse })
      .then((h) => ({ publications: h.publications.map(publication), offset: h.offset, epoch: h.epoch })),
    presence: ({ room }) => client.presence(room).then((p) => Object.values(p.clients).map(info)),
    presenceStats: ({ room }) => client.presenceStats(room),
    rpc: ({ room }) => client.rpc(room, {}),
  };
  return async (command) => {
    try {
      return { result: (await can[command.do](command)) ?? null };
    } catch (err) {
      return { error: { code: err.code ?? 0, message: String(err.message ?? err) } };
    }
  };
}
if (typeof module !== "undefined") module.exports = { drive };
