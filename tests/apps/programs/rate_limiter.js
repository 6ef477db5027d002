// rate-limiter-flexible: points that were granted are consumed, whatever happens to the primary.
"use strict";

const { RateLimiterRedis } = require("rate-limiter-flexible");
const app = require("./app.js");

async function main() {
  const limiters = app.ports.map((port) => {
    const storeClient = app.connect(port, { enableOfflineQueue: false, maxRetriesPerRequest: 1 });
    return new RateLimiterRedis({ storeClient, points: 1_000_000, duration: 3600 });
  });
  await app.sleep(500);
  const { acknowledged, doubt } = await app.untilOver((number) => limiters[number % 2].consume("visitor"));
  const { consumedPoints } = await limiters[0].get("visitor");
  const isRight = acknowledged.length <= consumedPoints && consumedPoints <= acknowledged.length + doubt;
  const wrong = isRight ? [] : [`${consumedPoints} points are consumed`];
  app.finish({ acknowledged: acknowledged.length, doubt, wrong });
}

main();
