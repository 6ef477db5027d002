// BullMQ: a producer of jobs, some of them delayed and some that fail at first, and two workers.
"use strict";

const { Queue, Worker } = require("bullmq");
const app = require("./app.js");

async function main() {
  const ran = new Set();
  const wrong = [];
  const workers = app.ports.map((port) => {
    const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
    const run = async (job) => {
      if (job.data.number % 7 === 0 && job.attemptsMade === 0) throw new Error("the first attempt fails");
      ran.add(job.data.number);
    };
    const worker = new Worker("jobs", run, { connection, stalledInterval: 5000, lockDuration: 5000 });
    worker.on("error", (error) => console.error(`worker: ${error}`));
    return worker;
  });
  const queue = new Queue("jobs", { connection: { host: "127.0.0.1", port: app.ports[0] } });
  queue.on("error", (error) => console.error(`queue: ${error}`));
  const { acknowledged, doubt } = await app.untilOver((number) =>
    queue.add("job", { number }, { attempts: 3, delay: number % 5 === 0 ? 500 : 0 }),
  );
  const lost = await app.left(() => acknowledged.filter((number) => !ran.has(number)));
  if (!workers.every((worker) => worker.isRunning())) wrong.push("a worker ended");
  app.finish({ acknowledged: acknowledged.length, doubt, lost, wrong });
}

main();
