// express-session over connect-redis and node-redis: visitors whose sessions count their visits.
"use strict";

const { RedisStore } = require("connect-redis");
const express = require("express");
const session = require("express-session");
const { createClient } = require("redis");
const app = require("./app.js");

async function main() {
  const client = createClient({ socket: { host: "127.0.0.1", port: app.ports[0] } });
  client.on("error", (error) => console.error(`client: ${error}`));
  await client.connect();
  const server = express();
  const store = new RedisStore({ client });
  server.use(session({ store, secret: "of a test", resave: false, saveUninitialized: false }));
  server.get("/", (request, response) => {
    request.session.visits = (request.session.visits || 0) + 1;
    response.json({ visits: request.session.visits });
  });
  const listening = server.listen(0, "127.0.0.1");
  await new Promise((resolve) => listening.once("listening", resolve));
  const url = `http://127.0.0.1:${listening.address().port}/`;

  const visitors = Array.from({ length: 5 }, () => ({ seen: 0, cookie: "" }));
  const lost = [];
  const { acknowledged, doubt } = await app.untilOver(async (number) => {
    const visitor = visitors[number % visitors.length];
    const response = await fetch(url, { headers: { cookie: visitor.cookie } });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const cookie = response.headers.get("set-cookie");
    if (cookie) visitor.cookie = cookie.split(";")[0];
    const { visits } = await response.json();
    if (visits <= visitor.seen) lost.push(`a visitor was at ${visitor.seen} visits and is at ${visits}`);
    visitor.seen = visits;
  });
  app.finish({ acknowledged: acknowledged.length, doubt, lost });
}

main();
