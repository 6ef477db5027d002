"""redis-py's client-side cache, against the server on the port given: what another client writes leaves the cache."""

import sys
import time

import redis
from redis.cache import CacheConfig


def cached(r, key):
    return [k for k in r.get_cache().collection if key in k.redis_keys]


def reads(r):
    """GETs that the node has run; a replica runs none that it sends to the primary."""
    return r.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]


def main(port):
    reader = redis.Redis(port=port, protocol=3, cache_config=CacheConfig())
    writer = redis.Redis(port=port)
    for n in range(20):
        writer.set("k", n)
        deadline = time.monotonic() + 10
        while reader.get("k") != str(n).encode():
            assert time.monotonic() < deadline, (n, reader.get("k"))
    assert cached(reader, "k")
    before = reads(writer)
    for _ in range(50):
        assert reader.get("k") == b"19"
    assert reads(writer) <= before + 1
    writer.flushall()
    deadline = time.monotonic() + 10
    while reader.get("k") is not None:
        assert time.monotonic() < deadline, "FLUSHALL leaves the value in the cache"
    print("the cache is content")


main(int(sys.argv[1]))
