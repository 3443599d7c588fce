#!/usr/bin/env python3
"""leaving - a million answers, each compared with what its user must get, while clients give up at
random: with the request on its way, half sent, or half answered.  make chaos-leaving runs it.

  ANSWERS=1000000  that are compared
  LEAVE=0.1        so many of the requests are given up
  SEED=n CHAOS_LOG=D  as for chaos

A refusal (503) or a wait that ran out (504) is no answer, and is told in the end; who is refused
comes again a second later.  Exits with 1 when one answer was another than it had to be, or anything
else came of a request."""

import asyncio
import collections
import multiprocessing
import os
import random
import sys
import time

import chaos
import world
from harness import wait_until
from keys import metric
from plan import GATEWAYS
from stage import Stage

N_PROCESSES = 2
N_CONNECTIONS = 64  # of each process
LEAVE_S = 0.05      # at most, after a request
REFUSED_S = 1
ANSWER_S = 60
SAY_S = 30
PROGRESS_S = 120    # without one more answer: it is stuck


class Client:
    """One connection after the other, and one request after the other on it."""

    def __init__(self, ports, leave, rng, counts, mismatches):
        self.ports, self.leave, self.rng = ports, leave, rng
        self.counts, self.mismatches = counts, mismatches
        self.reader = self.writer = None

    async def run(self, is_over):
        while not is_over():
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection(
                    "127.0.0.1", self.rng.choice(self.ports))
            if self.rng.random() < self.leave:
                await self.give_up()
            else:
                await self.ask()
        self.close()

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    def request(self):
        """Who is asked for, and the bytes of it."""
        dataset, user = self.rng.choice(world.DATASETS), self.rng.randrange(world.N_USERS)
        fresh = "Cache-Control: no-cache\r\n" if self.rng.random() < 0.4 else ""
        text = (f"GET /api/{dataset}/?login={world.login_of(user)} HTTP/1.1\r\nHost: a\r\n"
                f"Prefer: wait=30\r\n{fresh}\r\n")
        return dataset, user, text.encode()

    async def answer(self):
        """Status and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        return int(head[9:12]), await self.reader.readexactly(int(length))

    async def ask(self):
        dataset, user, text = self.request()
        self.writer.write(text)
        try:
            async with asyncio.timeout(ANSWER_S):
                status, body = await self.answer()
        except (OSError, EOFError, TimeoutError) as error:
            self.counts[type(error).__name__] += 1
            self.close()
            return
        self.counts[status] += 1
        if status == 503:
            await asyncio.sleep(REFUSED_S)
        elif status != 504 and (status != 200 or body != BODIES[dataset, user]):
            self.mismatches.append((dataset, user, status, body[:200]))

    async def give_up(self):
        """Leaves before the request is whole, while it is answered, or within the answer."""
        dataset, _, text = self.request()
        whole = self.rng.random() < 0.9
        self.writer.write(text if whole else text[:self.rng.randrange(1, len(text))])
        if self.rng.random() < 0.2:
            try:
                async with asyncio.timeout(ANSWER_S if whole else LEAVE_S):
                    await self.reader.read(self.rng.randrange(1, 100))
            except (OSError, TimeoutError):
                pass
        else:
            await asyncio.sleep(self.rng.uniform(0, LEAVE_S))
        self.counts["left"] += 1
        self.close()


BODIES = {(dataset, user): world.body(dataset, user)
          for dataset in world.DATASETS for user in range(world.N_USERS)}


async def ask_all(ports, leave, seed, n_answers, report):
    counts, mismatches = collections.Counter(), []
    clients = [Client(ports, leave, random.Random(seed * 1000 + i), counts, mismatches)
               for i in range(N_CONNECTIONS)]

    def is_over():
        return counts[200] >= n_answers or len(mismatches) >= 10

    async def tell():
        while True:
            await asyncio.sleep(1)
            report.put((os.getpid(), counts.copy(), []))

    teller = asyncio.create_task(tell())
    await asyncio.gather(*(client.run(is_over) for client in clients))
    teller.cancel()
    report.put((os.getpid(), counts, mismatches))


def ask_in_process(*arguments):
    asyncio.run(ask_all(*arguments))


def ask(ports, leave, seed, n_answers):
    """What was counted, and what was wrong."""
    report = multiprocessing.Queue()
    processes = [multiprocessing.Process(
        target=ask_in_process, daemon=True,
        args=(ports, leave, seed * N_PROCESSES + i, n_answers // N_PROCESSES, report))
        for i in range(N_PROCESSES)]
    for process in processes:
        process.start()
    told, mismatches, n_last = {}, [], 0
    say_at, stuck_at = time.monotonic() + SAY_S, time.monotonic() + PROGRESS_S
    while any(process.is_alive() for process in processes) or not report.empty():
        try:
            pid, counts, wrong = report.get(timeout=1)
        except multiprocessing.queues.Empty:
            counts = None
        if counts is not None:
            told[pid] = counts
            mismatches += wrong
        total = sum(told.values(), collections.Counter())
        now = time.monotonic()
        if total[200] > n_last:
            n_last, stuck_at = total[200], now + PROGRESS_S
        if now > stuck_at:
            sys.exit(f"leaving: no answer for {PROGRESS_S} s: {dict(total)}")
        if now > say_at:
            chaos.say(f"{total[200]} answers compared, {total['left']} requests given up")
            say_at = now + SAY_S
    return total, mismatches


def is_served(api):
    return api.get(f"/api/comments/?login={world.login_of(0)}").status == 200


def main():
    seed, folder = chaos.begin()
    n_answers = int(os.environ.get("ANSWERS") or 1_000_000)
    leave = float(os.environ.get("LEAVE") or 0.1)
    chaos.say(f"SEED={seed} ANSWERS={n_answers} LEAVE={leave:g}; log in {folder}")
    with Stage(folder) as stage:
        for api in stage.apis.values():
            wait_until(lambda: is_served(api), chaos.BEGIN_S, f"{api.url} gives answers")
        began = time.monotonic()
        counts, mismatches = ask([stage.port_of(name) for name in GATEWAYS], leave, seed, n_answers)
        seconds = time.monotonic() - began
        for api in stage.apis.values():
            wait_until(lambda: metric(api, "tally_waiters") == 0, 60, "nobody waits any more")
    for mismatch in mismatches[:10]:
        chaos.say(f"wrong: {mismatch}")
    broken = {name: n for name, n in counts.items() if name not in (200, 503, 504, "left")}
    chaos.say(f"SEED={seed}: {counts[200]} answers compared in {seconds:.0f} s, "
              f"{counts['left']} requests given up, {counts[503]} refused, {counts[504]} late, "
              f"{len(mismatches)} wrong {broken or ''}")
    sys.exit(bool(mismatches or broken))


if __name__ == "__main__":
    main()
