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
# Without a job that runs for so long, none will.
STILL_S = 30
KILLS = int(os.environ.get("APP_KILLS", "0"))

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


class Worker:
    """A worker in a process of its own, which finds this folder's modules and its port in the environment.

    Alone a node is away for a while, which ends Celery's workers now and then, on redis-server as well: there one that ends is started
    again, as services are. In a group none may end.
    """

    def __init__(self, command, port):
        self.command, self.ends, self.is_over = command, 0, False
        self.environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parent), "APP_PORTS": str(port)}
        self.start()
        threading.Thread(target=self.attend, daemon=True).start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)

    def attend(self):
        while True:
            self.process.wait()
            if self.is_over:
                return
            self.ends += 1
            if len(ALL_PORTS) > 1:
                return
            time.sleep(1)
            self.start()

    def kill(self):
        self.is_over = True
        self.process.kill()


def noted_runs():
    return {int(line) for line in RAN.read_text().split()} if RAN.exists() else set()


def finish_queue(acknowledged, doubt, workers, held=set, popped_at_most=0):
    """Each acknowledged job must run; in a group all workers must be the processes that were started.

    `held` returns those that the queue's own books have as taken and not finished: what becomes of them is for the queue to say. Where
    workers pop jobs before they note them, a job whose answer is lost with a connection is gone; there may be so many of those. Each
    came before one that ran: the log that has the later job has it, too, so it was popped.
    """
    left, changed = set(acknowledged), time.monotonic()
    while left and time.monotonic() < changed + STILL_S:
        time.sleep(0.2)
        now_left = left - noted_runs()
        changed = time.monotonic() if now_left != left else changed
        left = now_left
    for worker in workers:
        worker.kill()
    ends = sum(worker.ends for worker in workers)
    kept = left & held() if left else set()
    left -= kept
    ran = max(noted_runs(), default=0)
    unheard = len(left) if len(left) <= popped_at_most and all(number < ran for number in left) else 0
    wrong = [f"{ends} workers ended"] if ends and len(ALL_PORTS) > 1 else []
    notes = [f"{len(kept)} are in the queue's books"] * bool(kept) + [f"{unheard} were popped unheard"] * bool(unheard)
    notes += [f"workers ended {ends} times"] * bool(ends)
    finish(len(acknowledged), doubt, () if unheard else left, wrong, ", ".join(["ok", *notes]))
