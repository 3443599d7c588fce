"""Our programs, as a supervisor would keep them: each end is known, and whether it was meant."""

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness import BIN, environment, wait_until

F_SETPIPE_SZ = 1031
SMALL_PIPE = 4096
STOP_S = 60


class Log:
    """Reads what a program says, all the time, unless it is held; keeps it in a file."""

    def __init__(self, path):
        self.path = path
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, pipe):
        def run():
            with open(self.path, "ab") as out:
                while self.may_read.wait():
                    data = os.read(pipe.fileno(), 65536)
                    if not data:
                        break
                    out.write(data)
                    out.flush()
            pipe.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()


class Program:
    """A program that is started again and again.  start() and its kind are for the main thread: who
    starts a process and ends takes it along."""

    def __init__(self, name, settings, folder):
        self.name = name
        self.binary = "tally-gateway" if name.startswith("gateway") else "tally-worker"
        self.settings = settings
        self.log = Log(folder / f"{name}.log")
        self.popen = None
        self.meant = set()     # pids that we ended
        self.starts = 0
        self.ends = []         # of each process: name, pid, code, whether we ended it
        self.born = 0.0
        self.mark = 0

    def start(self, more=None, stderr=None, wrapper=()):
        """more are settings for this time only."""
        settings = environment(self.settings | (more or {}))
        self.log.may_read.set()
        self.mark = self.log.path.stat().st_size if self.log.path.exists() else 0
        self.popen = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *wrapper, BIN / self.binary], env=settings,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr or subprocess.PIPE)
        self.starts += 1
        self.born = time.monotonic()
        if self.popen.stderr:
            fcntl.fcntl(self.popen.stderr, F_SETPIPE_SZ, SMALL_PIPE)
            self.log.read(self.popen.stderr)

    @property
    def pid(self):
        return self.popen.pid

    def said(self, pattern):
        """The first match in what this process said so far."""
        with open(self.log.path, "rb") as text:
            text.seek(self.mark)
            return re.search(pattern, text.read().decode(errors="replace"))

    def wait_for(self, pattern, timeout=120):
        def found():
            assert self.popen.poll() is None, f"{self.name} ended: {self.tail()}"
            return self.log.path.exists() and self.said(pattern)
        return wait_until(found, timeout, f"{pattern!r} in the log of {self.name}")

    def tail(self, n=3000):
        return self.log.path.read_text(errors="replace")[-n:] if self.log.path.exists() else ""

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def ended(self):
        """Notes how the process ended, and whether we meant it to."""
        is_meant = self.pid in self.meant
        end = {"name": self.name, "pid": self.pid, "code": self.popen.returncode,
               "meant": is_meant, "lived_s": round(time.monotonic() - self.born, 1)}
        self.ends.append(end if is_meant else end | {"log": self.tail()})

    def signal(self, number):
        if self.is_running():
            self.popen.send_signal(number)

    def kill(self):
        if self.is_running():
            self.meant.add(self.pid)
            self.popen.kill()
        self.popen.wait(STOP_S)
        self.ended()

    def term(self):
        """Asks it to end, and waits; it is killed when it does not."""
        if not self.is_running():
            self.ended()
            return
        self.meant.add(self.pid)
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._keep_stacks()
            self.popen.kill()
            self.popen.wait()
            self.ended()
            self.ends[-1]["hung"] = True
            return
        self.ended()

    def _keep_stacks(self):
        """Where all of its threads hang, where there is a debugger to tell."""
        if shutil.which("gdb"):
            with open(self.log.path.with_suffix(f".{self.pid}.stacks"), "wb") as out:
                subprocess.run(["gdb", "-batch", "-p", str(self.pid), "-ex", "thread apply all bt"],
                               stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                               timeout=120)

    # ---- what it takes -------------------------------------------------------------------------

    def figures(self):
        """Resident MiB and open files, or None when it is away."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
            n_files = len(os.listdir(f"/proc/{self.pid}/fd"))
            return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024, n_files
        except (OSError, TypeError):
            return None

    def limit_files(self, n):
        """No more than n open files; None: as many as at its start."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (n or soft, hard))
