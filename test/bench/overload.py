#!/usr/bin/env python3
"""overload - more requests than the workers can answer, at a constant rate whatever the answers do.
make bench-overload runs it.

A dataset sleeps 2 ms for each request on the one connection that the worker has, so that some 480 a
second are the most.  Callers come at 250 a second all the time; for a while others come beside them,
so that there are three times as many as can be served.  It prints what was answered, what was
refused, how long the answered ones waited, and how soon all was as before; and judges nothing.

  BENCH_OVERLOAD_SECONDS=20
  TALLY_...                       settings pass through: TALLY_QUEUE_WAIT_MAX_MS=30000 is nearly the
                                  same as no admission"""

import os
import signal
import statistics
import sys
import time

from compare import VARIANTS, table, wrk
from constant import Constant
from services import ROOT, Scale, Stage

BASE_PER_S, TIMES = 250, 3
PEAK_S, CALM_S, AFTER_S = 5, 8, 15
CONNECTIONS = 4096
LOGINS = 1_000_000  # so many that hardly two callers ask for the same at a time
DATASET = """-- dataset slow: 2 ms of a connection for each
-- param   login text required max=256
-- column  slept text

-- step nap on db1 by login
SELECT q.login, pg_sleep(0.002)::text AS slept FROM unnest(:login) AS q(login);
"""


def callers(service, per_s, seconds):
    return Constant(service, "slow", LOGINS, per_s, seconds, 1, CONNECTIONS)


def recovery_s(lines, end_s, calm_ms):
    """From the end of the overload to the first second from which nobody is refused and the wait is
    no more than twice what it was."""
    late = [line["at"] for line in lines
            if line["at"] > end_s and (line["failed"] or line["p99"] > 2 * calm_ms)]
    return max(late, default=end_s) - end_s


def report(peak, base, more, seconds):
    calm = [line for line in base if 2 < line["at"] <= CALM_S]
    during = [line for line in base if CALM_S + 2 < line["at"] <= CALM_S + seconds]
    others = [line for line in more if 2 < line["at"] <= seconds]
    calm_ms = statistics.median(line["p99"] for line in calm)
    good = (sum(line["ok"] for line in during) / len(during)
            + sum(line["ok"] for line in others) / len(others))
    refused = sum(line["refused"] for line in base + more)
    failed = sum(line["failed"] for line in base + more)
    table(["", "at the peak", "before", "overload"],
          [["asked per s", "", f"{BASE_PER_S}", f"{round(peak * TIMES)}"],
           ["answered per s", f"{peak:.0f}", f"{statistics.mean(l['ok'] for l in calm):.0f}",
            f"{good:.0f} ({good / peak:.0%} of the peak)"],
           ["p50 ms of the answered", "", f"{statistics.median(l['p50'] for l in calm):.0f}",
            f"{statistics.median(l['p50'] for l in during):.0f}"],
           ["p99 ms of the answered", "", f"{calm_ms:.0f}",
            f"{statistics.median(l['p99'] for l in during):.0f}, "
            f"{max(l['p99'] for l in during):.0f} in the worst second"]])
    print(f"\n{refused} were refused (503 with Retry-After), {failed - refused} failed otherwise; "
          f"all as before {recovery_s(base, CALM_S + seconds, calm_ms):.0f} s after the end")


def main():
    seconds = int(os.environ.get("BENCH_OVERLOAD_SECONDS", 20))
    VARIANTS["slow"] = "slow", LOGINS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(Scale(0.01)) as stage:
        (stage.folder / "datasets/slow.sql").write_text(DATASET)
        service, _ = stage.tally(TALLY_SOURCE_CONNECTIONS="1", TALLY_WAITERS_MAX="20000",
                                 TALLY_HTTP_CONNECTIONS="20000")
        wrk(service, "slow", stage.scale, 64, PEAK_S)
        peak = wrk(service, "slow", stage.scale, 64, PEAK_S).rate
        base = callers(service, BASE_PER_S, CALM_S + seconds + AFTER_S)
        time.sleep(CALM_S)
        more = callers(service, round(peak * TIMES) - BASE_PER_S, seconds)
        base, more = list(base), list(more)
    report(peak, base, more, seconds)


if __name__ == "__main__":
    main()
