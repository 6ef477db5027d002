// What the programs for Node.js share; harness.py says what a program does.
"use strict";

const ports = process.env.APP_PORTS.split(",").map(Number);
const PAUSE_MS = 20;

let over = false;
process.stdin.on("data", () => {}).on("end", () => (over = true));

const isOver = () => over;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `work` with 1, 2, 3 …; returns the numbers of the calls that were fulfilled, and how many were not. */
async function untilOver(work) {
  const acknowledged = [];
  let doubt = 0;
  for (let number = 1; !over; number += 1) {
    try {
      await work(number);
      acknowledged.push(number);
    } catch (error) {
      doubt += 1;
      console.error(`${number} was not acknowledged: ${error}`);
    }
    await sleep(PAUSE_MS);
  }
  return { acknowledged, doubt };
}

/** Waits until nothing is left; returns what is left in the end. */
async function left(what, limitMs = 100_000) {
  const end = Date.now() + limitMs;
  while (what().length > 0 && Date.now() < end) await sleep(100);
  return what();
}

function finish({ acknowledged, doubt = 0, lost = [], wrong = [], note = "ok" }) {
  console.log(JSON.stringify({ acknowledged, doubt, lost, wrong, note }));
  process.exit(lost.length + wrong.length > 0 ? 1 : 0);
}

/** A client of ioredis that says its errors. */
function connect(port, options = {}) {
  const { Redis } = require("ioredis");
  const client = new Redis(port, "127.0.0.1", options);
  client.on("error", (error) => console.error(`at ${port}: ${error}`));
  return client;
}

process.on("unhandledRejection", (error) => console.error(`unhandled: ${error && error.stack}`));

module.exports = { ports, isOver, sleep, untilOver, left, finish, connect };
