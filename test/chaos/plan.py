"""Which faults strike, for how long and with which pause before: all of it from a seed."""

import dataclasses
import random

GATEWAYS = ("gateway0", "gateway1")
WORKERS = ("worker0", "worker1")
OURS = GATEWAYS + WORKERS
STORES = ("db1", "db2", "jobs")
# Every pair of processes that talk has a proxy between them.
LINKS = ("kafka-gateways", "kafka-workers", "db1", "db2", "jobs", "http0", "http1")
TABLES = {"db1": ("users", "post"), "db2": ("logs", "event_type"), "jobs": ("jobs", "keys")}

# What strikes: its kind, whom, how often beside the others.
KINDS = {
    "kill": (OURS + ("broker",) + STORES, 6),
    "stop": (OURS + ("broker",) + STORES, 6),
    "term": (OURS, 4),
    "restart": (STORES, 3),
    "lock": (STORES, 2),
    "terminate": (STORES, 2),
    "cut": (("kafka",) + STORES + GATEWAYS, 2),
    "latency": (LINKS, 2),
    "slicer": (LINKS, 1),
    "reset_peer": (LINKS, 2),
    "timeout": (LINKS, 2),
    "limit_data": (LINKS, 1),
    "disk": (("broker", "jobs"), 1),
    "files": (OURS, 2),
    "pipe": (OURS, 1),
    "logs": (OURS, 1),
    "clock": (OURS, 1),
    "io": (OURS, 2),
}
# These start their program again, and wait for it: it can be ready only where all else is well.
FIRST = ("pipe", "logs", "clock", "io")
PAUSE_S = (2.0, 9.0)  # with what they take themselves, a fault every 5 to 20 s
HOLD_S = (1.0, 8.0)
LONG_HOLD_S = 60.0
LONG_RUN_MIN = 20
BOTH = 0.15   # so many strike together with another one
LONG = 0.1     # of what is stopped in a long run is stopped for LONG_HOLD_S
HASTE = 0.25  # so many strike before all is well again


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    target: str
    hold_s: float
    detail: str = ""

    def __str__(self):
        return " ".join(filter(None, [self.kind, self.target, self.detail]))


@dataclasses.dataclass(frozen=True)
class Strike:
    """Faults that hold together; pause_s after the one before, and after its recovery unless it
    comes in haste."""
    pause_s: float
    in_haste: bool
    faults: tuple


class Bag:
    """Draws from items until none is left, then from all of them again."""

    def __init__(self, rng, items):
        self.rng, self.items, self.left = rng, list(items), []

    def draw(self):
        if not self.left:
            self.left = self.rng.sample(self.items, len(self.items))
        return self.left.pop()


def choose(only):
    """The targets of each kind.  only: names of kinds and of targets; none of one means all."""
    kinds = [kind for kind in KINDS if kind in only] or list(KINDS)
    chosen = {kind: [target for target in KINDS[kind][0] if target in only] for kind in kinds}
    if any(chosen.values()):
        return {kind: targets for kind, targets in chosen.items() if targets}
    return {kind: list(KINDS[kind][0]) for kind in kinds}


class Source:
    """Faults one after the other: each kind once, then by their weights; the targets of a kind in
    turn."""

    def __init__(self, seed, minutes, only):
        self.rng = random.Random(seed)
        self.is_long = minutes >= LONG_RUN_MIN
        struck = choose(only)
        kinds = list(struck)
        self.first = self.rng.sample(kinds, len(kinds))
        self.kinds = Bag(self.rng, [kind for kind in kinds for _ in range(KINDS[kind][1])])
        self.targets = {kind: Bag(self.rng, struck[kind]) for kind in kinds}

    def _detail(self, kind, target):
        rng = self.rng
        return {"lock": lambda: rng.choice(TABLES[target]),
                "latency": lambda: str(rng.randint(50, 400)),
                "limit_data": lambda: str(rng.randint(200, 20_000)),
                "clock": lambda: rng.choice(["+1800", "-1800"]),
                "io": lambda: rng.choice(["0.0005", "0.002"])}.get(kind, str)()

    def fault(self):
        kind = self.first.pop() if self.first else self.kinds.draw()
        target = self.targets[kind].draw()
        hold = round(self.rng.uniform(*HOLD_S), 1)
        if self.is_long and kind == "stop" and self.rng.random() < LONG:
            hold = LONG_HOLD_S
        return Fault(kind, target, hold, self._detail(kind, target))

    def strike(self):
        pause = round(self.rng.uniform(*PAUSE_S), 1)
        in_haste, both = self.rng.random() < HASTE, self.rng.random() < BOTH
        faults = [self.fault()]
        if both:
            other = self.fault()
            if other.target != faults[0].target:
                faults.append(other)
        faults.sort(key=lambda fault: fault.kind not in FIRST)
        return Strike(pause, in_haste, tuple(faults))


def make(seed, minutes, only=()):
    """Strikes without an end, for a run of so many minutes.  only: as for choose."""
    source = Source(seed, minutes, only)
    while True:
        yield source.strike()
