// socket.io's Redis adapter: PUBLISH promises no delivery, so messages may be missed while there is no primary, and none before or after.
"use strict";

const { createAdapter } = require("@socket.io/redis-adapter");
const app = require("./app.js");
const { pair, warmUp } = require("./socketio.js");

async function main() {
  const pairs = await pair((port) => createAdapter(app.connect(port), app.connect(port)));
  await warmUp(pairs);
  const [one, other] = pairs;
  const { acknowledged } = await app.untilOver(async (number) => one.server.emit("number", number));
  await app.sleep(1000);
  const missed = acknowledged.filter((number) => !other.heard.has(number)).length;
  other.heard.clear();
  const again = Array.from({ length: 50 }, (_, nth) => -1 - nth);
  for (const number of again) one.server.emit("number", number);
  const lost = await app.left(() => again.filter((number) => !other.heard.has(number)), 10_000);
  const sockets = await one.server.fetchSockets();
  const wrong = sockets.length === 2 ? [] : [`${sockets.length} sockets are known`];
  app.finish({ acknowledged: acknowledged.length, doubt: missed, lost, wrong, note: "ok: doubt are messages missed" });
}

main();
