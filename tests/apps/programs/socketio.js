// Two socket.io servers that share an adapter, each with a client.
"use strict";

const { createServer } = require("http");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const app = require("./app.js");

async function pair(adapterOf) {
  return Promise.all(
    app.ports.map(async (port) => {
      const http = createServer();
      const server = new Server(http, { adapter: adapterOf(port) });
      http.listen(0, "127.0.0.1");
      await new Promise((resolve) => http.once("listening", resolve));
      const client = io(`http://127.0.0.1:${http.address().port}`);
      const heard = new Set();
      client.on("number", (number) => heard.add(number));
      await new Promise((resolve) => client.once("connect", resolve));
      return { server, client, heard };
    }),
  );
}

/** Emits at one server until the client of the other hears something. */
async function warmUp([one, other]) {
  while (other.heard.size === 0) {
    one.server.emit("number", 0);
    await app.sleep(100);
  }
}

module.exports = { pair, warmUp };
