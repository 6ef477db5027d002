// What programs do with ioredis, against the server on the port given, asserted step by step.

const assert = require("node:assert/strict");
const Redis = require("ioredis");

const port = Number(process.argv[2]);

async function values(redis) {
  assert.equal(await redis.set("str", "v", "EX", 100), "OK");
  assert.equal(await redis.get("str"), "v");
  assert.deepEqual(await redis.getBuffer("str"), Buffer.from("v"));
  assert.equal(await redis.hset("hash", { f: "1", g: "2" }), 2);
  assert.deepEqual(await redis.hgetall("hash"), { f: "1", g: "2" });
  assert.equal(await redis.rpush("list", "a", "b"), 2);
  assert.deepEqual(await redis.lrange("list", 0, -1), ["a", "b"]);
  assert.equal(await redis.zadd("zset", 1, "a", 2, "b"), 2);
  assert.deepEqual(await redis.zrange("zset", 0, -1, "WITHSCORES"), ["a", "1", "b", "2"]);
  await assert.rejects(redis.incr("str"), /value is not an integer/);
}

async function pipelines(redis) {
  const results = await redis.pipeline().set("p", 1).incr("p").lpush("p", "x").get("p").exec();
  assert.deepEqual([results[0], results[1], results[3]], [[null, "OK"], [null, 2], [null, "2"]]);
  assert.match(results[2][0].message, /WRONGTYPE/);
  assert.deepEqual(await redis.multi().set("{t}a", 1).incr("{t}a").exec(), [[null, "OK"], [null, 2]]);
  const many = await Promise.all(Array.from({ length: 5000 }, () => redis.incr("counter")));
  assert.deepEqual(many, Array.from({ length: 5000 }, (_, n) => n + 1));
}

async function scans(redis) {
  const keys = Array.from({ length: 1000 }, (_, n) => [`scan:${n}`, n]).flat();
  await redis.mset(...keys);
  const found = new Set();
  for await (const batch of redis.scanStream({ match: "scan:*", count: 100 })) batch.forEach((key) => found.add(key));
  assert.equal(found.size, 1000);
}

async function blocking(redis) {
  const other = redis.duplicate();
  setTimeout(() => redis.rpush("queue", "job"), 100);
  assert.deepEqual(await other.blpop("queue", 10), ["queue", "job"]);
  assert.equal(await other.blpop("queue", 0.05), null);
  other.disconnect();
}

async function messages(redis) {
  const subscriber = redis.duplicate();
  const received = new Promise((resolve) => subscriber.on("message", (...message) => resolve(message)));
  assert.equal(await subscriber.subscribe("news"), 1);
  await redis.publish("news", "hello");
  assert.deepEqual(await received, ["news", "hello"]);
  subscriber.disconnect();
}

async function main() {
  const redis = new Redis({ port, maxRetriesPerRequest: 1, db: 2 });
  await redis.flushall();
  for (const story of [values, pipelines, scans, blocking, messages]) await story(redis);
  const piped = new Redis({ port, enableAutoPipelining: true, keyPrefix: "prefix:" });
  await Promise.all(Array.from({ length: 100 }, (_, n) => piped.set(`{x}${n}`, n)));
  assert.equal(await redis.select(0), "OK");
  assert.equal(await redis.get("prefix:{x}99"), "99");
  redis.disconnect();
  piped.disconnect();
  console.log("ioredis is content");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
