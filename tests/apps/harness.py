"""Nodes to run applications on, and how one application is run on them while they are killed.

A program gets in its environment APP_PORTS, two ports that it connects to, APP_ALL_PORTS and APP_KILLS. On a group of three the node that is
killed is never one of the two: it is given the lead again before each kill. On one node it is the node itself.

A program works until its standard input ends. Then it finishes its work, checks it, and prints one line of JSON: how many writes were
`acknowledged`, how many are in `doubt`, which were `lost`, and what else went `wrong`. It exits with 0 if nothing was lost or went wrong.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "perdura"
START_LIMIT_S = 60
END_LIMIT_S = 300
BETWEEN_KILLS_S = 3
# How long a single node stays dead.
DOWN_S = 0.5


def install_packages():
    script = 'set -euo pipefail; source "$0"; install_applications'
    subprocess.run(["bash", "-c", script, FOLDER.parents[1] / ".ci/setup.sh"], check=True)


def provided(name, listing, install):
    """The folder that holds what `listing` names; `install` fills it at the first use of that listing."""
    digest = hashlib.sha256((FOLDER / listing).read_bytes()).hexdigest()[:8]
    folder = CACHE / f"{name}-{digest}"
    if not (folder / "ready").exists():
        print(f"installing what {listing} names into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install(folder)
        (folder / "ready").touch()
    return folder


def install_python(folder):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "-r", FOLDER / "requirements.txt"], check=True)


def install_node(folder):
    shutil.copy(FOLDER / "package.json", folder)
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", folder]
    subprocess.run(command, check=True)


def python_folder():
    return provided("python-apps", "requirements.txt", install_python)


def node_folder():
    return provided("node-apps", "package.json", install_node)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what, limit_s, holds):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"{what}: not within {limit_s} s")


class Node:
    def __init__(self, command, port, root):
        self.command, self.port, self.process, self.output = command, port, None, root / f"output-{port}"

    def start(self):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def call(self, *words):
        """A reply's first line, or that of its first element; None where there is none."""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=15) as connection:
                connection.sendall(f"*{len(words)}\r\n".encode())
                connection.sendall("".join(f"${len(word)}\r\n{word}\r\n" for word in words).encode())
                lines = connection.makefile("rb")
                line = lines.readline()
                while line[:1] in b"*$" and line:
                    line = lines.readline()
                return line.decode().strip() or None
        return None

    def leads(self):
        return self.call("ROLE") == "master"


def nodes_of_perdura(program, root, size):
    ports = free_ports(2 * size)
    peers = ports[size:]
    members = ",".join(f"{number}=127.0.0.1:{peer}" for number, peer in enumerate(peers, 1))
    for number, (port, peer) in enumerate(zip(ports, peers), 1):
        command = [program, "serve", "--port", str(port), "--dir", str(root / f"node-{number}")]
        if size > 1:
            command += ["--node-id", str(number), "--peer-addr", f"127.0.0.1:{peer}", "--initial-cluster", members]
        yield Node(command, port, root)


def node_of_redis(root):
    """redis-server as durable as Perdura on one node: what an application does there is the yardstick."""
    [port] = free_ports(1)
    command = ["redis-server", "--port", str(port), "--dir", str(root), "--appendonly", "yes", "--appendfsync", "always"]
    return Node(command, port, root)


class Group:
    def __init__(self, nodes):
        self.nodes = list(nodes)
        for node in self.nodes:
            node.start()
        self.primary()

    def primary(self):
        return wait_for("a primary", START_LIMIT_S, lambda: next((n for n in self.nodes if n.leads()), None))

    def end(self):
        for node in self.nodes:
            node.kill()

    def app_ports(self):
        others = [node.port for node in self.nodes[1:]]
        return others or [self.nodes[0].port] * 2

    def led_by_the_first(self):
        def leads():
            if self.nodes[0].leads():
                return self.nodes[0]
            self.primary().call("PERDURA", "HANDOVER", "1")
            return None

        return wait_for("the first node leads", START_LIMIT_S, leads)

    def kill_primary(self):
        node = self.led_by_the_first()
        node.kill()
        if len(self.nodes) == 1:
            time.sleep(DOWN_S)
            node.start()
        self.primary()
        if len(self.nodes) > 1:
            node.start()
        wait_for("the node is back", START_LIMIT_S, lambda: node.call("PING"))


def command_of(program):
    """How a program is run, and what its environment adds."""
    path = FOLDER / "programs" / program
    if path.suffix == ".py":
        folder = python_folder()
        return [folder / "bin/python3", path], {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    if path.suffix == ".js":
        return ["node", path], {"NODE_PATH": str(node_folder() / "node_modules")}
    return ["ruby", path], {}


def run(program, group, root, kills, say):
    """Runs a program while the primary is killed; returns what it printed last."""
    command, added = command_of(program)
    ports = {"APP_PORTS": group.app_ports(), "APP_ALL_PORTS": [node.port for node in group.nodes]}
    added |= {name: ",".join(map(str, numbers)) for name, numbers in ports.items()} | {"APP_KILLS": str(kills)}
    said = root / "said"
    with open(said, "ab") as errors:
        process = subprocess.Popen(
            command, env=os.environ | added, cwd=root, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    try:
        for nth in range(kills):
            time.sleep(BETWEEN_KILLS_S)
            if process.poll() is not None:
                break
            group.kill_primary()
            say(f"kill {nth + 1} of {kills}")
        time.sleep(BETWEEN_KILLS_S)
        printed, _ = process.communicate(timeout=END_LIMIT_S)
    except subprocess.TimeoutExpired:
        printed = b""
    finally:
        # Its workers, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    try:
        found = json.loads(printed.decode().strip().splitlines()[-1])
    except (IndexError, ValueError):
        found = {"wrong": ["it did not end as it should"]}
    if process.returncode != 0 and not (found.get("lost") or found.get("wrong")):
        found["wrong"] = [f"it ended with {process.returncode}"]
    if found.get("lost") or found.get("wrong"):
        found["said"] = said.read_text(errors="replace")[-4000:]
    return found
