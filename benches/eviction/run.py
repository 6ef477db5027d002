#!/usr/bin/env python3
"""Hit ratios of Perdura and redis-server as caches that hold equally many keys, on the same traces.

Each operation reads a key and, where it is missing, writes it. Three traces: Zipf with exponent 0.99; a hot set that a scan over many keys
interrupts again and again; a hot set that moves. Each server's `maxmemory` is adjusted first until it holds --keys keys.

    benches/eviction/run.py --perdura target/release/perdura
    benches/eviction/run.py --perdura target/release/perdura --policies allkeys-lru --keys 100000 --ops 5000000

It uses nothing but Python and starts its own servers, in a temporary folder and on free ports.
"""

import argparse
import bisect
import itertools
import random
import socket
import subprocess
import tempfile
import time

VALUE = b"v" * 1000
BATCH = 100
POLICIES = "allkeys-lru,allkeys-lfu,allkeys-random,volatile-lru,volatile-lfu,volatile-random,volatile-ttl"


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.replies = self.socket.makefile("rb")

    def call_all(self, commands):
        parts = []
        for command in commands:
            parts.append(b"*%d\r\n" % len(command))
            parts.extend(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
        self.socket.sendall(b"".join(parts))
        return [self.read() for _ in commands]

    def call(self, *words):
        reply = self.call_all([[str(word).encode() for word in words]])[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def read(self):
        line = self.replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind != b"+":
            raise RuntimeError(f"no reply: {line!r}")
        return rest

    def info(self, field):
        for line in self.call("INFO").split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == field.encode():
                return int(value)
        return 0


class Server:
    def __init__(self, name, command, port):
        self.name = name
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                self.client = Client(port)
                if self.client.call("PING") == b"PONG":
                    return
            except (OSError, RuntimeError, ValueError):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{name} does not answer")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def write(self, policy, keys):
        commands = []
        for key in keys:
            command = [b"SET", b"key:%d" % key, VALUE]
            if policy.startswith("volatile"):
                command += [b"EX", b"%d" % (100_000 + key * 7919 % 100_000)]
            commands.append(command)
        for reply in self.client.call_all(commands) if commands else []:
            if isinstance(reply, Exception):
                raise SystemExit(f"{self.name}, {policy}: {reply}")

    def hold(self, policy, keys):
        """Adjusts maxmemory until so many keys are held by it."""
        client = self.client
        client.call("CONFIG", "SET", "maxmemory", 0)
        client.call("FLUSHALL")
        time.sleep(0.5)
        empty = client.info("used_memory")
        for first in range(0, keys, BATCH):
            self.write(policy, range(first, first + BATCH))
        each = max(1, (client.info("used_memory") - empty) // keys)
        limit = client.info("used_memory")
        client.call("CONFIG", "SET", "maxmemory-policy", policy)
        for attempt in range(6):
            client.call("CONFIG", "SET", "maxmemory", limit)
            for first in range(keys, 2 * keys, BATCH):
                self.write(policy, range(first, first + BATCH))
            held = client.call("DBSIZE")
            if abs(held - keys) <= keys // 200:
                break
            limit += (keys - held) * each
        client.call("FLUSHALL")

    def hits(self, policy, trace, warm):
        """The share of operations after the first `warm` that found their key."""
        hits = seen = done = 0
        for batch in iter(lambda: list(itertools.islice(trace, BATCH)), []):
            replies = self.client.call_all([[b"GET", b"key:%d" % key] for key in batch])
            missing = {key for key, reply in zip(batch, replies) if reply is None}
            self.write(policy, missing)
            done += len(batch)
            if done > warm:
                seen += len(batch)
                hits += sum(reply is not None for reply in replies)
        return hits / seen


def zipf(keys, ops, dice):
    span = 10 * keys
    sums = list(itertools.accumulate(1 / rank**0.99 for rank in range(1, span + 1)))
    for _ in range(ops):
        yield bisect.bisect_left(sums, dice.random() * sums[-1])


def scan_and_hot(keys, ops, dice):
    hot, scanned = keys * 6 // 10, 0
    for number in range(ops):
        if number % 10 < 7:
            yield dice.randrange(hot)
        else:
            scanned += 1
            yield hot + scanned % (20 * keys)


def shifting(keys, ops, dice):
    hot = keys * 6 // 10
    for number in range(ops):
        first = number * 8 // ops * hot // 2
        yield first + dice.randrange(hot) if dice.random() < 0.9 else 10 * keys + dice.randrange(10 * keys)


TRACES = {"zipf 0.99": zipf, "scan + hot set": scan_and_hot, "shifting hot set": shifting}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perdura", required=True, help="the program")
    parser.add_argument("--redis", default="redis-server", help="the program to compare with")
    parser.add_argument("--policies", default=POLICIES)
    parser.add_argument("--keys", type=int, default=20_000, help="keys that a server holds")
    parser.add_argument("--ops", type=int, default=300_000, help="operations of a trace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ports = free_port(), free_port()
        ours = [options.perdura, "serve", "--port", str(ports[0]), "--dir", f"{folder}/data"]
        theirs = [options.redis, "--port", str(ports[1]), "--save", "", "--dir", folder]
        servers = [Server("perdura", ours, ports[0]), Server("redis", theirs, ports[1])]
        try:
            print(f"{'policy':16} {'trace':17} {'perdura':>8} {'redis':>8} {'ratio':>6}   keys held")
            for policy in options.policies.split(","):
                for server in servers:
                    server.hold(policy, options.keys)
                for name, trace in TRACES.items():
                    found, held = [], []
                    for server in servers:
                        server.client.call("FLUSHALL")
                        steps = trace(options.keys, options.ops, random.Random(1))
                        found.append(server.hits(policy, steps, options.ops // 4))
                        held.append(server.client.call("DBSIZE"))
                    ratio = found[0] / found[1]
                    shown = f"{found[0]:8.4f} {found[1]:8.4f} {ratio:6.3f}"
                    print(f"{policy:16} {name:17} {shown}   {held[0]} {held[1]}", flush=True)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
