"""API keys, as the command line makes them, and what a gateway says of itself without one."""

import hashlib

from harness import run
from jobs import Api


def new_key(tenant, *limits):
    """A key and its line, as the command line makes them."""
    made = run("keys", "new", tenant, *map(str, limits))
    assert made.returncode == 0, made
    key, line = made.stdout.splitlines()
    assert line == " ".join([tenant, hashlib.sha256(key.encode()).hexdigest(), *map(str, limits)])
    return key, line


class Keys:
    """A file of keys."""

    def __init__(self, path):
        self.path = path
        self.lines = []

    def add(self, tenant, *limits):
        key, line = new_key(tenant, *limits)
        self.lines.append(line)
        self.write("\n".join(self.lines) + "\n")
        return key

    def write(self, text):
        self.path.write_text(text)


def metric(stack, name):
    for line in Api(stack.url).get("/metrics").content.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"there is no {name}")
