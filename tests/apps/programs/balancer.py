"""HAProxy as docs/operations.md has it, ahead of all nodes: soon after each change its clients are at the primary."""

import pathlib
import re
import subprocess
import time

import app
import redis

PAGE = pathlib.Path(__file__).parents[3] / "docs/operations.md"


def recipe(port, nodes):
    backend = re.search(r"```\n(backend perdura\n.*?)```", PAGE.read_text(), re.DOTALL)[1]
    for number, node in enumerate(nodes, 1):
        backend = backend.replace(f"10.0.0.{number}:6379", f"127.0.0.1:{node}")
    # A group of the page has three nodes.
    backend = "\n".join(line for line in backend.splitlines() if "10.0.0." not in line)
    times = "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1m\n    timeout server 1m\n"
    return f"{times}frontend clients\n    bind 127.0.0.1:{port}\n    default_backend perdura\n{backend}\n"


def main():
    app.begin()
    port = app.free_port()
    pathlib.Path("haproxy.cfg").write_text(recipe(port, app.ALL_PORTS))
    balancer = subprocess.Popen(["haproxy", "-db", "-q", "-f", "haproxy.cfg"], stdin=subprocess.DEVNULL)
    client = redis.Redis(port=port, socket_timeout=10)
    acknowledged, doubt = app.until_over(lambda _: client.incr("count"))
    # The balancer asks for roles twice a second.
    time.sleep(2)
    client.incr("count")
    wrong = [] if client.role()[0] == b"master" else ["the client is at a replica"]
    found = int(redis.Redis(port=app.PORTS[0]).get("count"))
    wrong += [] if found > len(acknowledged) else [f"the count is {found}"]
    balancer.kill()
    app.finish(len(acknowledged), doubt, wrong=wrong)


if __name__ == "__main__":
    main()
