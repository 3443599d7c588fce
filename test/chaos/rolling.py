#!/usr/bin/env python3
"""rolling - everything is restarted in turn, again and again, under load and behind haproxy: not
one request may fail.  make chaos-rolling runs it.

  ROUNDS=50     restarts of all four processes
  SEED=n RATE=100 CHAOS_LOG=D  as for chaos

A gateway that stops answers 503 to what still comes over the connections that are open; haproxy
asks the other one then, which is safe: rows only read, and submissions have an Idempotency-Key.
Exits with 1 when any was answered otherwise than with 200 or 202."""

import collections
import os
import subprocess
import sys
import time

import chaos
import driver
from harness import wait_until
from plan import GATEWAYS, OURS
from stage import Stage
from toxiproxy import free_port

READY_S = 120
SETTINGS = """
defaults
	mode http
	timeout connect 2s
	timeout client 90s
	timeout server 90s
	timeout check 5s
	retries 3
	option redispatch 1
	retry-on conn-failure empty-response 503
	option http-buffer-request # what is not whole cannot be sent again
frontend all
	bind 127.0.0.1:{port}
	default_backend gateways
backend gateways
	balance roundrobin
	option httpchk GET /readyz
	http-check expect status 200
	default-server check inter 200ms fall 1 rise 1
{servers}
"""


class Haproxy:
    """In front of both gateways; a context manager."""

    def __init__(self, ports, folder):
        self.folder = folder
        self.servers = "\n".join(f"\tserver {name} 127.0.0.1:{port}"
                                 for name, port in ports.items())

    def __enter__(self):
        self.port = free_port()
        path = self.folder / "haproxy.cfg"
        path.write_text(SETTINGS.format(port=self.port, servers=self.servers))
        with open(self.folder / "haproxy.log", "ab") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", path], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"})
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Rolling(chaos.Run):
    def __init__(self, stage, seed, rate, folder, port):
        super().__init__(stage, seed, 0, rate, folder)
        self.driver.client.ports = dict.fromkeys(GATEWAYS, port)
        self.driver.mix = {driver.rows: 80, driver.keyed: 20}
        self.driver.leave, self.driver.patience = 0, 25

    def restart(self, name):
        program = self.stage.programs[name]
        program.term()
        program.start()
        program.wait_for(r"event=ready\b", READY_S)
        if name in GATEWAYS:
            wait_until(self.stage.apis[name].is_ready, READY_S, f"{name} is ready")
        self._rest(1)  # haproxy has seen it

    def go(self, rounds):
        self.reader.start()
        self.driver.start()
        assert self.until_well(0, chaos.BEGIN_S), "no good answers before the first restart"
        for number in range(rounds):
            began = time.monotonic()
            for name in OURS:
                self.restart(name)
            chaos.say(f"round {number + 1} of {rounds}: {time.monotonic() - began:.1f} s")
        self._rest(5)


def failed(history):
    for call in history.calls:
        is_meant = call.get("differs") and call["status"] == 422
        if call["status"] not in (200, 202) and not is_meant:
            yield call


def main():
    seed, folder = chaos.begin()
    rounds = int(os.environ.get("ROUNDS") or 50)
    rate = float(os.environ.get("RATE") or 100)
    chaos.say(f"SEED={seed} ROUNDS={rounds}, {rate:g} operations a second; log in {folder}")
    with Stage(folder) as stage:
        ports = {name: stage.port_of(name) for name in GATEWAYS}
        with Haproxy(ports, folder) as proxy:
            run = Rolling(stage, seed, rate, folder, proxy.port)
            run.go(rounds)
            history = run.history(*run.settle())
    chaos.keep(history, folder)
    is_right = chaos.report(history, folder)
    failures = list(failed(history))
    counts = collections.Counter((call["call"], str(call["status"]), call.get("code"))
                                 for call in failures)
    chaos.say(f"SEED={seed}: {len(failures)} of {len(history.calls)} requests failed in {rounds} "
              f"rolling restarts {dict(counts) or ''}")
    for call in failures[:10]:
        chaos.say(str(call))
    sys.exit(not is_right or bool(failures))


if __name__ == "__main__":
    main()
