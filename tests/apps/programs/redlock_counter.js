// redlock: clients count up under a lock, read and write apart. The count must be that of the acknowledged rounds.
"use strict";

const Redlock = require("redlock");
const app = require("./app.js");

async function main() {
  let rounds = 0;
  let doubted = 0;
  const clients = [...app.ports, ...app.ports].map((port) => app.connect(port, { maxRetriesPerRequest: 0 }));
  const count = async (client) => {
    const redlock = new Redlock([client], { retryCount: 100, retryDelay: 20, retryJitter: 20 });
    redlock.on("clientError", (error) => console.error(`redlock: ${error}`));
    while (!app.isOver()) {
      let written = false;
      try {
        const lock = await redlock.lock("lock", 20_000);
        const value = Number(await client.get("count"));
        written = true;
        await client.set("count", value + 1);
        rounds += 1;
        written = false;
        await lock.unlock();
      } catch (error) {
        console.error(`${error}`);
        doubted += Number(written);
        await app.sleep(50);
      }
    }
  };
  await Promise.all(clients.map(count));
  const found = Number(await clients[0].get("count"));
  const isRight = rounds <= found && found <= rounds + doubted;
  app.finish({ acknowledged: rounds, doubt: doubted, wrong: isRight ? [] : [`the count is ${found}`] });
}

main();
