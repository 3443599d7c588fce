"""Toxiproxy: a server of proxies whose traffic can be delayed, cut and broken."""

import json
import os
import socket
import subprocess
import time
import urllib.request

from harness import ROOT

PROGRAM = ROOT / "build/toxiproxy/server"
START_S = 30
# What a fault adds to a proxy: the toxics' types and attributes; a number of the fault stands in
# for %s.  half-open is a timeout of 0: the data stop, the connection stays.
TOXICS = {
    "latency": {"latency": "%s", "jitter": 20},
    "slicer": {"average_size": 200, "size_variation": 100, "delay": 200},
    "reset_peer": {"timeout": 300},
    "timeout": {"timeout": 0},
    "limit_data": {"bytes": "%s"},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Toxiproxy:
    def __init__(self, log):
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(3):
            self.port = free_port()
            self.process = self._launch(log)
            if self._answers():
                return
            self.stop()  # somebody took the port in between
        raise RuntimeError(f"toxiproxy does not start: {log.read_text()[-2000:]}")

    def _launch(self, log):
        with open(log, "ab") as out:
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", PROGRAM, "-host",
                                     "127.0.0.1", "-port", str(self.port)], stdout=out,
                                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                    env=os.environ | {"LOG_LEVEL": "error"})

    def _answers(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.call("GET", "/proxies")
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method,
                                         headers={"Content-Type": "application/json"})
        with self.opener.open(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add(self, name, upstream="127.0.0.1:1"):
        """Makes a proxy; its port."""
        made = self.call("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0",
                                              "upstream": upstream, "enabled": True})
        return int(made["listen"].rsplit(":", 1)[1])

    def lead(self, name, upstream):
        """From now on the proxy leads there."""
        self.call("POST", f"/proxies/{name}", {"upstream": upstream})

    def poison(self, name, kind, detail):
        """Puts a toxic on both directions of a proxy."""
        attributes = {key: int(detail) if value == "%s" else value
                      for key, value in TOXICS[kind].items()}
        for stream in "upstream", "downstream":
            self.call("POST", f"/proxies/{name}/toxics",
                      {"name": stream, "type": kind, "stream": stream, "attributes": attributes})

    def heal(self, name):
        for stream in "upstream", "downstream":
            self.call("DELETE", f"/proxies/{name}/toxics/{stream}")

    def stop(self):
        self.process.kill()
        self.process.wait()
