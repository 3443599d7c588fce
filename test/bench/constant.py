"""The load generator of constant.c: requests at a constant rate, and a dictionary of figures for
each interval."""

import json
import subprocess
import sys

from services import BUILD


class Constant:
    """Asks until its seconds are over or it is ended; iterate it once, and its figures come."""

    def __init__(self, service, dataset, users, rate, seconds, every, connections=256):
        self.is_ended = False
        self.load = subprocess.Popen(
            [BUILD / "test/bench/constant", service.address, dataset, *map(str, (
                users, rate, seconds, every, connections))], text=True, stdout=subprocess.PIPE)

    def __iter__(self):
        try:
            for line in self.load.stdout:
                if line.endswith("}\n"):  # one that is ended may leave half a line
                    yield json.loads(line)
        finally:
            self.load.terminate()
            code = self.load.wait()
        if code != 0 and not self.is_ended:
            sys.exit("bench: the load generator failed")

    def end(self):
        """Before its time."""
        self.is_ended = True
        self.load.terminate()
