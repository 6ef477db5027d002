#!/usr/bin/env python3
"""A group at `maxmemory`: what its nodes take, how long writers wait, and whether all nodes hold the same afterwards.

The group is filled first. Then writers set keys of 100 to 1,900 bytes, over four times as many keys as fit, each write after the answer to
the last one and no faster than --rate; each node's resident memory and each writer's waits are measured. What is promised is `maxmemory`
and what an empty node takes.

    benches/eviction/at_the_limit.py --perdura target/release/perdura
    benches/eviction/at_the_limit.py --perdura target/debug/perdura --minutes 1 --maxmemory 33554432

Exits with 1 where a node takes more than 1.1 times what is promised, where a wait of one in a thousand passes --wait, where a write
fails, or where nodes differ. It uses nothing but Python and starts its own nodes, in a temporary folder and on free ports.
"""

import argparse
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time

from run import Client, free_port

MEAN_BYTES = 1000
KEYS_PER_FIT = 4
BATCH = 200


def drawn(dice, options):
    key = dice.randrange(KEYS_PER_FIT * options.maxmemory // MEAN_BYTES)
    return [b"SET", b"key:%d" % key, b"v" * dice.randrange(100, 2 * MEAN_BYTES - 100)]


def write(port, number, options, results):
    """One writer; puts its waits, in ms, and the errors that it was answered."""
    client, dice = Client(port), random.Random(number)
    due = time.monotonic()
    end = due + options.minutes * 60
    waits, errors = [], []
    while (now := time.monotonic()) < end:
        if now < due:
            time.sleep(due - now)
        due = max(due, now) + 1 / options.rate
        command = drawn(dice, options)
        sent = time.monotonic()
        reply = client.call_all([command])[0]
        waits.append((time.monotonic() - sent) * 1000)
        if isinstance(reply, Exception):
            errors.append(str(reply))
    results.put((waits, errors))


def fill(client, options):
    """Writes until keys are evicted."""
    dice = random.Random(0)
    while client.info("evicted_keys") == 0:
        for reply in client.call_all([drawn(dice, options) for _ in range(BATCH)]):
            if isinstance(reply, Exception):
                raise SystemExit(f"a write was refused: {reply}")


class Group:
    def __init__(self, perdura, folder, nodes):
        self.ports = [free_port() for _ in range(nodes)]
        peers = [free_port() for _ in range(nodes)]
        members = ",".join(f"{id}=127.0.0.1:{port}" for id, port in enumerate(peers, 1))
        self.processes = []
        for id, port in enumerate(self.ports, 1):
            command = [perdura, "serve", "--port", str(port), "--dir", f"{folder}/{id}"]
            if nodes > 1:
                command += ["--node-id", str(id), "--initial-cluster", members]
            output = open(f"{folder}/{id}.log", "wb")
            self.processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        self.clients = [self.connect(port) for port in self.ports]
        self.primary = self.find_primary()

    @staticmethod
    def connect(port):
        end = time.monotonic() + 60
        while True:
            try:
                client = Client(port)
                if client.call("PING") == b"PONG":
                    return client
            except (OSError, RuntimeError, ValueError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def find_primary(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for place, client in enumerate(self.clients):
                if client.call("ROLE")[0] == b"master":
                    return place
            time.sleep(0.05)
        raise SystemExit("no node became the primary")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def share(waits, part):
    return waits[min(len(waits) - 1, int(len(waits) * part))]


def run(options, folder):
    group = Group(options.perdura, folder, options.nodes)
    try:
        empty = [client.info("used_memory_rss") for client in group.clients]
        client = group.clients[group.primary]
        client.call("CONFIG", "SET", "maxmemory", options.maxmemory, "maxmemory-policy", options.policy)
        fill(client, options)
        before = client.info("evicted_keys")
        results = multiprocessing.Queue()
        port = group.ports[group.primary]
        writers = [
            multiprocessing.Process(target=write, args=(port, number, options, results)) for number in range(options.writers)
        ]
        begin = time.monotonic()
        for writer in writers:
            writer.start()
        most, most_data = [0] * options.nodes, 0
        while time.monotonic() < begin + options.minutes * 60:
            time.sleep(1)
            for place, one in enumerate(group.clients):
                most[place] = max(most[place], one.info("used_memory_rss"))
            data = client.info("used_memory") - client.info("mem_not_counted_for_evict")
            most_data = max(most_data, data)
        parts = [results.get() for _ in writers]
        for writer in writers:
            writer.join()
        waits = sorted(wait for part, _ in parts for wait in part)
        errors = [error for _, part in parts for error in part]
        evicted, keys = client.info("evicted_keys") - before, client.call("DBSIZE")
        addrs = [word for port in group.ports for word in ("--addr", f"127.0.0.1:{port}")]
        digest = subprocess.run([options.perdura, "digest", *addrs], capture_output=True, text=True)
    finally:
        group.stop()
    ratios = [rss / (options.maxmemory + start) for rss, start in zip(most, empty)]
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"{len(waits)} writes measured, {evicted} keys evicted, {keys} held, {len(errors)} errors {errors[:1]}")
    print(f"data at most {most_data / options.maxmemory:.3f} of maxmemory; resident at most {shown} of what is promised")
    print(f"waits in ms: half {share(waits, 0.5):.2f}, 99% {share(waits, 0.99):.2f}, 99.9% {share(waits, 0.999):.2f}, most {waits[-1]:.1f}")
    print(f"digest: {digest.stdout.strip() or digest.stderr.strip()}")
    is_good = not errors and evicted > 0 and max(ratios) <= 1.1 and digest.returncode == 0
    return is_good and share(waits, 0.999) <= options.wait


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perdura", required=True, help="the program")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=250, help="writes of each writer per second")
    parser.add_argument("--maxmemory", type=int, default=256 << 20, help="bytes")
    parser.add_argument("--policy", default="allkeys-lru")
    parser.add_argument("--wait", type=float, default=10, help="ms that one write in a thousand may wait")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if run(options, folder) else 1)


if __name__ == "__main__":
    main()
