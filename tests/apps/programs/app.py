"""What the programs in Python share; harness.py says what a program does."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

PORTS, ALL_PORTS = (
    [int(port) for port in os.environ.get(name, "").split(",") if port] for name in ("APP_PORTS", "APP_ALL_PORTS")
)
BINARIES = pathlib.Path(sys.prefix) / "bin"
# Jobs note here that they ran; workers run in the same folder as the program.
RAN = pathlib.Path("ran")
PAUSE_S = 0.02
LEFT_LIMIT_S = 100

_over = threading.Event()


def begin():
    def listen():
        sys.stdin.read()
        _over.set()

    threading.Thread(target=listen, daemon=True).start()


def is_over():
    return _over.is_set()


def finish(acknowledged, doubt=0, lost=(), wrong=(), note="ok"):
    found = {"acknowledged": acknowledged, "doubt": doubt, "lost": sorted(lost), "wrong": list(wrong), "note": note}
    print(json.dumps(found), flush=True)
    os._exit(1 if lost or wrong else 0)


def until_over(work):
    """Calls `work` with 1, 2, 3 …; returns the numbers of the calls that returned, and how many failed."""
    acknowledged, doubt, number = [], 0, 0
    while not is_over():
        number += 1
        try:
            work(number)
            acknowledged.append(number)
        except Exception as error:
            doubt += 1
            print(f"{number} was not acknowledged: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(PAUSE_S)
    return acknowledged, doubt


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def note_run(number):
    with RAN.open("a") as ran:
        ran.write(f"{number}\n")


def start_worker(command, port):
    """A worker in a process of its own, which finds this folder's modules and the port in its environment."""
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent), "APP_PORTS": str(port)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)


def finish_queue(acknowledged, doubt, workers):
    """Each acknowledged job must run, and all workers must be the processes that were started."""
    left, end = set(acknowledged), time.monotonic() + LEFT_LIMIT_S
    while left and time.monotonic() < end:
        time.sleep(0.2)
        left -= {int(line) for line in RAN.read_text().split()} if RAN.exists() else set()
    ended = [f"a worker ended with {worker.poll()}" for worker in workers if worker.poll() is not None]
    for worker in workers:
        worker.kill()
    finish(len(acknowledged), doubt, left, ended)
