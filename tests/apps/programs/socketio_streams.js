// socket.io's streams adapter: a message whose XADD was acknowledged reaches the clients of the other server.
"use strict";

const { createAdapter } = require("@socket.io/redis-streams-adapter");
const app = require("./app.js");
const { pair, warmUp } = require("./socketio.js");

async function main() {
  const added = new Set();
  const client = (port) => {
    const made = app.connect(port);
    const xadd = made.xadd.bind(made);
    made.xadd = async (args) => {
      const id = await xadd(args);
      const sent = /"data":\["number",(\d+)\]/.exec(String(args));
      if (sent && sent[1] !== "0") added.add(Number(sent[1]));
      return id;
    };
    return made;
  };
  const pairs = await pair((port) => createAdapter(client(port), { maxLen: 1_000_000, blockTimeInMs: 1000 }));
  await warmUp(pairs);
  const [one, other] = pairs;
  const { acknowledged } = await app.untilOver(async (number) => one.server.emit("number", number));
  await app.sleep(1000);
  const lost = await app.left(() => [...added].filter((number) => !other.heard.has(number)), 20_000);
  const wrong = added.size > acknowledged.length / 2 ? [] : [`${added.size} of ${acknowledged.length} were added`];
  app.finish({ acknowledged: added.size, doubt: acknowledged.length - added.size, lost, wrong });
}

main();
