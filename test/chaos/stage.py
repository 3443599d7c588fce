"""What runs: toxiproxy between all pairs, Kafka, a PostgreSQL for each database, and two gateways
and two workers that are kept running."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import world
from harness import ROOT, run, wait_until
from jobs import Api
from plan import GATEWAYS, OURS, STORES, WORKERS
from programs import Program
from toxiproxy import Toxiproxy

JOB_SECRET = "only-for-chaos-0123456789abcdef-secret"
START_S = 120
PATIENT = {"KAFKA_START_SECONDS": "240"}  # on a machine with much else to do
SAMPLE_S = 2
PART_BYTES = 1024  # so that large results come in parts
DISKS = {"broker": "8g", "jobs": "4g", "logs": "64k"}


def script(program, verb, folder, check=True, **more):
    """Runs deploy/dev/PROGRAM VERB; the settings that it prints."""
    result = subprocess.run([ROOT / "deploy/dev" / program, verb, folder], text=True, check=check,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=300,
                            env=os.environ | PATIENT | more)
    return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)


def command(*arguments, settings):
    result = run(*arguments, settings=settings)
    assert result.returncode == 0, (arguments, result)


class Disks:
    """Small file systems in memory; where they cannot be mounted there are none."""

    def __init__(self, folder):
        self.folders = {}
        for name, size in DISKS.items():
            path = folder / name
            path.mkdir()
            path.chmod(0o755)
            if self._mount(path, size):
                self.folders[name] = path

    @staticmethod
    def _mount(path, size):
        return os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tally-chaos", path],
            stderr=subprocess.DEVNULL).returncode == 0

    def fill(self, name):
        """Not a byte more than there is now; the pages that are begun are full."""
        path = self.folders[name]
        used = os.statvfs(path)
        n_bytes = (used.f_blocks - used.f_bfree) * used.f_frsize
        # What is written meanwhile makes the kernel refuse: a moment later it fits.
        wait_until(lambda: self._resize(path, n_bytes + (1 << 16)) or
                   self._resize(path, n_bytes + (4 << 20)), 10, f"{path} is full")

    def is_full(self, name):
        return os.statvfs(self.folders[name]).f_bavail == 0

    def empty(self, name):
        assert self._resize(self.folders[name], DISKS[name]), f"{name} stays full"

    @staticmethod
    def _resize(path, size):
        return subprocess.run(["mount", "-o", f"remount,size={size}", path],
                              stderr=subprocess.DEVNULL).returncode == 0

    def close(self):
        for path in self.folders.values():
            subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL)


class Stage:
    """A context manager.  programs, and apis and proxies' ports of gateways, are found by the names
    that they have in plan.py."""

    def __init__(self, keep):
        self.keep = keep          # folder for logs
        self.programs = {}
        self.samples = []         # (at, name, pid, MiB, files)
        self.closing = contextlib.ExitStack()
        self.is_over = threading.Event()

    def __enter__(self):
        try:
            self._open()
        except BaseException:
            self.closing.close()
            raise
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.closing.close()

    # ---- start -------------------------------------------------------------------------------

    def _open(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tally-chaos-"))
        self.folder.chmod(0o755)  # user postgres passes through
        self.closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.disks = Disks(self.folder)
        self.closing.callback(self.disks.close)
        self.toxiproxy = Toxiproxy(self.keep / "toxiproxy.log")
        self.closing.callback(self.toxiproxy.stop)
        self._start_stores()
        self._start_kafka()
        self._prepare()
        self.closing.callback(self._kill_programs)
        for name in OURS:
            self.programs[name] = Program(name, self._settings(name), self.keep)
        self._start_programs()
        threading.Thread(target=self._sample, daemon=True).start()

    def _start_stores(self):
        self.urls = {}
        self.through = {}
        for name in STORES:
            folder = self.folder / name
            self.closing.callback(script, "postgres", "stop", folder, check=False)
            settings = script("postgres", "start", folder)
            self.urls[name] = settings["TALLY_JOBS" if name == "jobs"
                                       else f"TALLY_SOURCE_{name.upper()}"]
            self.through[name] = self._proxied(name, self.urls[name])

    def _proxied(self, name, url):
        parts = urllib.parse.urlsplit(url)
        port = self.toxiproxy.add(name, f"127.0.0.1:{parts.port}")
        return parts._replace(netloc=f"tally@127.0.0.1:{port}").geturl()

    def _start_kafka(self):
        ports = {name: self.toxiproxy.add(f"kafka-{name}") for name in ("gateways", "workers")}
        folder = self.folder / "broker"
        self.closing.callback(script, "kafka", "stop", folder, check=False)
        settings = script("kafka", "start", folder, KAFKA_ADVERTISED=" ".join(
            f"{name.upper()}={port}" for name, port in ports.items()))
        self.kafka = settings["TALLY_KAFKA"]
        self.kafka_through = {}
        for name, port in ports.items():
            self.toxiproxy.lead(f"kafka-{name}", settings[f"TALLY_KAFKA_{name.upper()}"])
            self.kafka_through[name] = f"127.0.0.1:{port}"

    def _prepare(self):
        settings = {"TALLY_KAFKA": self.kafka, "TALLY_SOURCE_DB1": self.urls["db1"],
                    "TALLY_SOURCE_DB2": self.urls["db2"], "TALLY_JOBS": self.urls["jobs"],
                    "TALLY_JOB_SECRET": JOB_SECRET}
        for name in STORES:
            command("migrate", "up", name, settings=settings)
        command("topics", "create", settings=settings)
        world.load(self.urls["db1"], self.urls["db2"])

    def _settings(self, name):
        common = {"TALLY_DATASETS": ROOT / "deploy/datasets"}
        if name in GATEWAYS:
            return common | {"TALLY_KAFKA": self.kafka_through["gateways"],
                             "TALLY_JOBS": self.through["jobs"], "TALLY_JOB_SECRET": JOB_SECRET,
                             "TALLY_LISTEN": "127.0.0.1:0", "TALLY_HTTP_THREADS": 1}
        return common | {"TALLY_KAFKA": self.kafka_through["workers"],
                         "TALLY_SOURCE_DB1": self.through["db1"],
                         "TALLY_SOURCE_DB2": self.through["db2"],
                         "TALLY_PART_BYTES": PART_BYTES}

    def _start_programs(self):
        for program in self.programs.values():
            program.start()
        self.ports, self.apis = {}, {}
        for i, name in enumerate(GATEWAYS):
            port = int(self.programs[name].wait_for(r"event=listening\b.*\bport=(\d+)")[1])
            self.programs[name].settings["TALLY_LISTEN"] = f"127.0.0.1:{port}"
            self.ports[name] = self.toxiproxy.add(f"http{i}", f"127.0.0.1:{port}")
            self.apis[name] = Api(f"http://127.0.0.1:{port}")
        for name in WORKERS:
            self.programs[name].wait_for(r"event=ready\b")
        for api in self.apis.values():
            wait_until(api.is_ready, START_S, f"{api.url} is ready")

    # ---- while it runs -----------------------------------------------------------------------

    def mend(self):
        """Starts again what has ended by itself; that is noted."""
        for program in self.programs.values():
            if not program.is_running():
                program.ended()
                program.start()

    def _sample(self):
        while not self.is_over.wait(SAMPLE_S):
            for program in list(self.programs.values()):
                found = program.figures()
                if found:
                    self.samples.append((time.monotonic(), program.name, program.pid, *found))

    def _kill_programs(self):
        for program in self.programs.values():
            if program.popen:
                program.kill()

    # ---- processes of services ---------------------------------------------------------------

    def pids(self, name):
        """All processes of the broker or of a PostgreSQL, the one that starts others first."""
        if name == "broker":
            return [int((self.folder / "broker/pid").read_text())]
        postmaster = int((self.folder / name / "data/postmaster.pid").read_text().split()[0])
        children = subprocess.run(["pgrep", "-P", str(postmaster)], stdout=subprocess.PIPE,
                                  text=True).stdout.split()
        return [postmaster, *map(int, children)]

    def service(self, name, verb):
        """kill, again."""
        script("kafka" if name == "broker" else "postgres", verb, self.folder / name)

    def port_of(self, name):
        """The port that clients of a service, or of a gateway, connect to in the end."""
        if name == "kafka":
            return int(self.kafka.rsplit(":", 1)[1])
        if name in GATEWAYS:
            return int(self.apis[name].url.rsplit(":", 1)[1])
        return urllib.parse.urlsplit(self.urls[name]).port
