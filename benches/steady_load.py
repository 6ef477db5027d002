"""What the benchmarks of checkpoints and of members have in common: a client, and a steady load of SETs."""

import re
import socket
import subprocess

PIPELINE = 1000
TIMEOUT_S = 900
VALUE = b"v" * 100


def encode(*args):
    parts = [b"*%d\r\n" % len(args)]
    parts += [b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args]
    return b"".join(parts)


class Client:
    """One connection, and what it takes to send much over it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.buffer = b""

    def ask(self, *words):
        self.socket.sendall(encode(*[word.encode() for word in words]))
        while not self.buffer.endswith(b"\r\n"):
            self.receive()
        if self.buffer.startswith(b"$"):
            length = int(self.buffer.split(b"\r\n", 1)[0][1:])
            while len(self.buffer) < self.buffer.index(b"\r\n") + 2 + length + 2:
                self.receive()
        answer, self.buffer = self.buffer, b""
        return answer.decode(errors="replace")

    def receive(self):
        chunk = self.socket.recv(1 << 16)
        if not chunk:
            raise SystemExit("the server hung up")
        self.buffer += chunk

    def send_all(self, commands):
        """Sends commands that are answered by one line each."""
        batch = []
        for command in commands:
            batch.append(command)
            if len(batch) == PIPELINE:
                self.exchange(batch)
                batch = []
        self.exchange(batch)

    def exchange(self, batch):
        self.socket.sendall(b"".join(batch))
        lines, rest = 0, b""
        while lines < len(batch):
            chunk = rest + self.socket.recv(1 << 16)
            if chunk.startswith(b"-") or b"\n-" in chunk:
                raise SystemExit(f"the server answered {chunk[:200]!r}")
            lines += chunk.count(b"\n")
            rest = b""

    def info(self, field):
        found = re.search(rf"^{field}:(.*?)\r$", self.ask("INFO", "everything"), re.MULTILINE)
        return found.group(1) if found else None


def set_load(port, clients, seconds, keys, rate=None):
    """redis-benchmark's SETs with these clients: requests per second, and latencies in ms by percentile."""
    requests = int((rate or 20_000) * seconds)
    command = ["redis-benchmark", "-p", str(port), "-c", str(clients), "-n", str(requests), "-r", str(keys), "-d", "100"]
    command += ["SET", "key:__rand_int__", VALUE.decode()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"^([0-9.]+)% <= ([0-9.]+) milliseconds", done.stdout, re.MULTILINE)
    summary = re.search(r"throughput summary: ([0-9.]+)", done.stdout)
    if not rows or not summary:
        raise SystemExit(f"redis-benchmark failed:\n{done.stdout[-2000:]}{done.stderr}")
    return float(summary.group(1)), [(float(share), float(ms)) for share, ms in rows]


def percentile(rows, share):
    return next((ms for row, ms in rows if row >= share), rows[-1][1])


def clients_for_half(port, keys):
    """How many clients make about half of the load that fifty do."""
    most = set_load(port, 50, 3, keys)[0]
    for clients in range(1, 50):
        rate = set_load(port, clients, 1, keys, most)[0]
        if rate >= most / 2:
            return clients, most, rate
    return 50, most, most
