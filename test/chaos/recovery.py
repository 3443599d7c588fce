"""How long it takes until all is well again: from the moment at which the healing of a fault begins
(a process is started, or goes on; a lock is let go) to the first good answer of each kind that was
asked for after it, and to the last bad one.  Functions of a log alone."""

import bisect
import collections
import statistics

CALLS = ("rows", "submit", "job", "result")
SLOW_S = 2       # rows that come later are as bad as none
LONGEST_S = 60   # nothing later is held against a fault
STRIKES_WHEN_IT_COMES = ("term", "restart", "cut")


def is_good(call):
    if call["status"] not in (200, 202):
        return False
    return call["call"] != "rows" or call["r"] - call["t"] <= SLOW_S


def is_bad(call):
    """No answer, refused, or late.  That a cancelled job has no rows is none of this."""
    return not isinstance(call["status"], int) or call["status"] in (429, 500, 503, 504) or \
        (call["call"] == "rows" and call["r"] - call["t"] > SLOW_S)


def begin_of(fault):
    return fault["struck"] if fault["kind"] in STRIKES_WHEN_IT_COMES else fault["healing"]


def class_of(target):
    return target.rstrip("01") if target.startswith(("gateway", "worker")) else target


class Times:
    """Of a log, by what is asked of it: calls in the order in which they were made."""

    def __init__(self, calls):
        self.calls = collections.defaultdict(list)
        self.done = {}  # id: when its rows came first
        for call in sorted(calls, key=lambda call: call["t"]):
            if call["call"] in CALLS and call["status"] != "left":
                self.calls[call["call"]].append(call)
            if call["call"] == "result" and call["status"] == 200:
                self.done[call["id"]] = min(call["r"], self.done.get(call["id"], call["r"]))
        self.times = {name: [call["t"] for call in calls] for name, calls in self.calls.items()}

    def between(self, name, begin, end, gateway):
        times = self.times.get(name, [])
        for call in self.calls[name][bisect.bisect_left(times, begin):
                                     bisect.bisect_left(times, end)]:
            if gateway is None or call["gateway"] == gateway:
                yield call

    def first(self, name, begin, end, gateway):
        return min((call["r"] - begin for call in self.between(name, begin, end, gateway)
                    if is_good(call)), default=None)

    def new_job(self, begin, end, gateway):
        """Until a job that was submitted after it has its rows."""
        return min((self.done[call["doc"]["id"]] - begin
                    for call in self.between("submit", begin, end, gateway)
                    if is_good(call) and "key" not in call and call["doc"]["id"] in self.done),
                   default=None)

    def last_bad(self, begin, end, gateway):
        """Of those that had their answer before the end: this is not to blame for what is next."""
        return max((call["t"] - begin for name in CALLS
                    for call in self.between(name, begin, end, gateway)
                    if is_bad(call) and call["r"] < end), default=0.0)


def measure(calls, faults):
    """Of each fault that struck alone and was over before the next: its kind and class, seconds."""
    times = Times(calls)
    starts = sorted(fault["struck"] for fault in faults)
    for fault in faults:
        begin = begin_of(fault)
        after = bisect.bisect_right(starts, fault["struck"])
        next_one = starts[after] if after < len(starts) else begin + LONGEST_S
        if not fault["alone"] or not fault.get("recovered"):
            continue
        end = min(next_one, begin + LONGEST_S)
        gateway = fault["target"] if fault["target"].startswith("gateway") else None
        figures = {name: times.first(name, begin, end, gateway) for name in CALLS}
        figures["new job"] = times.new_job(begin, end, gateway)
        figures["last bad"] = times.last_bad(begin, end, gateway)
        yield fault["kind"], class_of(fault["target"]), figures


COLUMNS = (*CALLS, "new job", "last bad")


def table(measured):
    """Lines: median and worst of each class and kind, and of each class."""
    groups = collections.defaultdict(list)
    for kind, target, figures in measured:
        groups[target, kind].append(figures)
        groups[target, "(all)"].append(figures)
    yield f"{'':26}{'n':>4}" + "".join(f"{name:>16}" for name in COLUMNS)
    for (target, kind), several in sorted(groups.items()):
        cells = []
        for name in COLUMNS:
            values = [figures[name] for figures in several if figures[name] is not None]
            cells.append(f"{statistics.median(values):.2f} / {max(values):.2f}" if values else "-")
        yield f"{target + ' ' + kind:26}{len(several):>4}" + "".join(f"{c:>16}" for c in cells)
