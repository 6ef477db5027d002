"""redis-py's Lock: clients count up under it, read and write apart. The count must be that of the acknowledged rounds."""

import threading

import app
import redis


def count(port, rounds, doubted):
    client = redis.Redis(port=port, socket_timeout=10)
    while not app.is_over():
        written = False
        try:
            with client.lock("lock", timeout=30, blocking_timeout=20):
                value = int(client.get("count") or 0)
                written = True
                client.set("count", value + 1)
                rounds.append(1)
                written = False
        except redis.RedisError:
            doubted.extend([1] * written)


def main():
    app.begin()
    rounds, doubted = [], []
    threads = [threading.Thread(target=count, args=(port, rounds, doubted)) for port in app.PORTS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = int(redis.Redis(port=app.PORTS[0]).get("count"))
    is_right = len(rounds) <= found <= len(rounds) + len(doubted)
    app.finish(len(rounds), len(doubted), wrong=[] if is_right else [f"the count is {found}"])


if __name__ == "__main__":
    main()
