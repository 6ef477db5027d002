"""What programs do with redis-py, against the server on the port given: both protocols, asserted step by step."""

import sys
import threading

import redis


def values(r):
    assert r.set("str", "v", ex=100) is True
    assert r.get("str") == b"v" and 0 < r.ttl("str") <= 100
    assert r.set("str", "w", nx=True) is None
    assert r.set("bin", bytes(range(256))) and r.get("bin") == bytes(range(256))
    assert r.mset({"{m}a": 1, "{m}b": 2}) and r.mget("{m}a", "{m}b", "{m}c") == [b"1", b"2", None]
    assert r.incr("n", 5) == 5 and r.incrbyfloat("n", 0.5) == 5.5
    assert r.hset("hash", mapping={"f": "1", "g": "2"}) == 2
    assert r.hgetall("hash") == {b"f": b"1", b"g": b"2"}
    assert r.rpush("list", "a", "b", "c") == 3 and r.lrange("list", 0, -1) == [b"a", b"b", b"c"]
    assert r.sadd("set", "a", "b") == 2 and r.smembers("set") == {b"a", b"b"}
    assert r.zadd("zset", {"a": 1.5, "b": 2}) == 2
    assert [(m, s) for m, s in r.zrange("zset", 0, -1, withscores=True)] == [(b"a", 1.5), (b"b", 2.0)]
    assert r.zscore("zset", "a") == 1.5 and r.zrank("zset", "b") == 1
    assert r.type("zset") == b"zset" and r.delete("set") == 1 and r.exists("set") == 0


def scans(r):
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"scan:{n}", n)
        assert pipe.execute() == [True] * 1000
    assert len(set(r.scan_iter("scan:*", count=100))) == 1000
    r.hset("big", mapping={f"f{n}": n for n in range(1000)})
    assert len(dict(r.hscan_iter("big"))) == 1000


def transactions(r):
    with r.pipeline() as pipe:
        pipe.set("{t}a", 1).incr("{t}a").get("{t}a")
        assert pipe.execute() == [True, 2, b"2"]
    with r.pipeline() as pipe:
        pipe.watch("{t}a")
        seen = int(pipe.get("{t}a"))
        r.set("{t}a", 10)
        pipe.multi()
        pipe.set("{t}a", seen + 1)
        try:
            pipe.execute()
            raise AssertionError("the watched key was changed")
        except redis.WatchError:
            pass
    assert r.transaction(lambda pipe: pipe.multi() or pipe.incr("{t}a"), "{t}a") == [11]


def errors(r):
    for call, text in [
        (lambda: r.incr("str"), "value is not an integer or out of range"),
        (lambda: r.lpush("str", "x"), "WRONGTYPE"),
        (lambda: r.execute_command("NOSUCH"), "unknown command"),
    ]:
        try:
            call()
            raise AssertionError(text)
        except redis.ResponseError as error:
            assert text in str(error), error


def blocking(r):
    threading.Timer(0.1, lambda: r.rpush("queue", "job")).start()
    assert tuple(r.blpop("queue", timeout=10)) == (b"queue", b"job")
    assert r.blpop("queue", timeout=0.05) is None


def messages(r):
    subscriber = r.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe("news")
    subscriber.psubscribe("n*")
    for _ in range(2):
        subscriber.get_message(timeout=5)
    r.publish("news", "hello")
    kinds = {subscriber.get_message(timeout=5)["type"] for _ in range(2)}
    assert kinds == {"message", "pmessage"}, kinds
    subscriber.close()


def server(r):
    assert r.ping() and r.echo("x") == b"x" and r.dbsize() > 0
    assert r.info()["redis_version"] and r.info("replication")["role"] in ("master", "slave")
    assert r.client_setname("worker") and r.client_list()
    assert r.config_get("maxmemory")
    assert "get" in r.command()


def main(port):
    for protocol in (2, 3):
        r = redis.Redis(port=port, protocol=protocol, socket_timeout=20)
        r.flushall()
        for story in (values, scans, transactions, errors, blocking, messages, server):
            story(r)
        r.close()
    print("redis-py is content")


main(int(sys.argv[1]))
