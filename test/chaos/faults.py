"""What strikes, and how it is healed.  A fault is a context manager: it holds within.

A fault that cannot be tried here (no root, no sockets to be cut) says so once and
does nothing."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from harness import BIN, wait_until
from plan import OURS

CLOCK = BIN.parent / "test/chaos/clock.so"
FIU = Path("/usr/lib/fiu")  # libfiu: calls of the system that fail when they are told to
READY_S = 180
# Hundreds of lines a second.
TALKATIVE = {"TALLY_LOG_LEVEL": "debug", "TALLY_KAFKA_DEBUG": "protocol,queue"}


class CannotBeTried(Exception):
    pass


def _signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def kill(stage, fault):
    """Dies without a word, and is started again."""
    if fault.target in OURS:
        stage.programs[fault.target].kill()
        yield
        stage.programs[fault.target].start()
        return
    stage.service(fault.target, "kill")
    yield
    stage.service(fault.target, "again")


@contextlib.contextmanager
def stop(stage, fault):
    """All of its processes stand still, its connections stay."""
    pids = [stage.programs[fault.target].pid] if fault.target in OURS else stage.pids(fault.target)
    _signal_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(pids, signal.SIGCONT)


@contextlib.contextmanager
def term(stage, fault):
    stage.programs[fault.target].term()
    yield
    stage.programs[fault.target].start()


@contextlib.contextmanager
def restart(stage, fault):
    """A PostgreSQL restarts at once, and recovers."""
    stage.service(fault.target, "again")
    yield


def _connect(stage, fault, **options):
    try:
        return psycopg.connect(stage.urls[fault.target], connect_timeout=30, **options)
    except psycopg.OperationalError as error:  # another fault holds it
        raise CannotBeTried(f"{fault.target}: {error}") from error


@contextlib.contextmanager
def lock(stage, fault):
    """Who reads or writes a table waits."""
    connection = _connect(stage, fault)
    try:
        connection.execute("SET lock_timeout = '30s'")
        connection.execute(f"LOCK TABLE {fault.detail} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def terminate(stage, fault):
    """All connections to a database are ended, again and again."""
    until = time.monotonic() + fault.hold_s
    with contextlib.closing(_connect(stage, fault, autocommit=True)) as connection:
        while time.monotonic() < until:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                               " WHERE datname = current_database() AND pid <> pg_backend_pid()")
            time.sleep(0.5)
    yield


@contextlib.contextmanager
def cut(stage, fault):
    """The kernel aborts all TCP connections to a port."""
    if os.geteuid() != 0 or not shutil.which("ss"):
        raise CannotBeTried("ss -K needs root and iproute2")
    port = stage.port_of(fault.target)
    subprocess.run(["ss", "-K", "-t", "state", "established", f"( dport = :{port} )"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    yield


@contextlib.contextmanager
def toxic(stage, fault):
    stage.toxiproxy.poison(fault.target, fault.kind, fault.detail)
    try:
        yield
    finally:
        stage.toxiproxy.heal(fault.target)


@contextlib.contextmanager
def disk(stage, fault):
    """No room to write; a service that dies of it is started again when there is."""
    if fault.target not in stage.disks.folders:
        raise CannotBeTried("file systems in memory need root")
    stage.disks.fill(fault.target)
    try:
        yield
    finally:
        stage.disks.empty(fault.target)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            stage.service(fault.target, "kill")
        stage.service(fault.target, "again")


@contextlib.contextmanager
def files(stage, fault):
    """No file can be opened, no connection accepted."""
    program = stage.programs[fault.target]
    found = program.figures()
    program.limit_files(found[1] if found else 16)
    try:
        yield
    finally:
        program.limit_files(None)


def _start_ready(program, **options):
    program.term()
    program.start(**options)
    program.wait_for(r"event=ready\b", READY_S)


@contextlib.contextmanager
def pipe(stage, fault):
    """Nobody reads its log, which says everything."""
    program = stage.programs[fault.target]
    _start_ready(program, more=TALKATIVE)
    program.log.may_read.clear()
    yield
    program.log.may_read.set()
    program.wait_for("nobody read them", READY_S)  # it was full, or this fault was none
    program.term()
    program.start()


@contextlib.contextmanager
def logs(stage, fault):
    """Its log is a file on a disk that is full."""
    if "logs" not in stage.disks.folders:
        raise CannotBeTried("file systems in memory need root")
    program = stage.programs[fault.target]
    path = stage.disks.folders["logs"] / "log"
    with open(path, "ab") as out:
        program.term()
        program.start(more=TALKATIVE, stderr=out)
    wait_until(lambda: stage.disks.is_full("logs"), READY_S, "the disk of the log is full")
    yield
    program.term()
    program.start()
    path.unlink()


@contextlib.contextmanager
def clock(stage, fault):
    """The wall clock of a process jumps by half an hour, and back; the monotonic one does not."""
    program = stage.programs[fault.target]
    offset = stage.folder / f"{fault.target}.time"
    offset.write_text("0")
    _start_ready(program, more={"LD_PRELOAD": CLOCK, "CHAOS_CLOCK": offset})
    offset.write_text(fault.detail)
    yield
    offset.write_text("0")
    time.sleep(2)
    program.term()
    program.start()


@contextlib.contextmanager
def io(stage, fault):
    """Some of its calls that read, write, send, receive, connect or poll fail with EIO."""
    if not FIU.is_dir():
        raise CannotBeTried("calls that fail need fiu-utils")
    program = stage.programs[fault.target]
    control = stage.folder / f"{fault.target}.fiu"
    loaded = " ".join(str(FIU / f"fiu_{kind}_preload.so") for kind in ("run", "posix"))
    # libfiu has a thread, which must not take the signal.
    _start_ready(program, wrapper=("env", "--block-signal=TERM", f"LD_PRELOAD={loaded}",
                                   f"FIU_CTRL_FIFO={control}"))
    subprocess.run(["fiu-ctrl", "-f", control, "-c", "enable_random name=posix/io/*,"
                    f"probability={fault.detail},failinfo={errno.EIO}", str(program.pid)],
                   check=True, timeout=READY_S)
    yield
    program.term()
    program.start()


TOXICS = ("latency", "slicer", "reset_peer", "timeout", "limit_data")
FAULTS = {"kill": kill, "stop": stop, "term": term, "restart": restart, "lock": lock,
          "terminate": terminate, "cut": cut, "disk": disk, "files": files, "pipe": pipe,
          "logs": logs, "clock": clock, "io": io} | dict.fromkeys(TOXICS, toxic)
# What is over the moment it has struck.
AT_ONCE = ("term", "restart", "terminate", "cut")


class Striker:
    """Has strikes happen, and notes when.  Main thread only."""

    def __init__(self, stage, now, say):
        self.stage, self.now, self.say = stage, now, say
        self.done = []  # of each fault: what, whom, when it struck and was healed
        self.impossible = set()

    def strike(self, strike):
        """Returns when all is healed; the notes of its faults."""
        with contextlib.ExitStack() as healing:
            begun = [note for fault in strike.faults if (note := self._begin(fault, healing))]
            held = max([fault.hold_s for fault in strike.faults if fault.kind not in AT_ONCE],
                       default=0)
            if begun and held:
                time.sleep(held)
            healing_at = self.now()
        for note in begun:
            note["healing"], note["healed"] = healing_at, self.now()
            note["alone"] = len(strike.faults) == 1
        self.done += begun
        return begun

    def _begin(self, fault, healing):
        note = {"kind": fault.kind, "target": fault.target, "detail": fault.detail,
                "hold_s": fault.hold_s, "struck": self.now()}
        try:
            healing.enter_context(FAULTS[fault.kind](self.stage, fault))
        except (CannotBeTried, psycopg.Error) as reason:
            if (fault.kind, str(reason)) not in self.impossible:
                self.impossible.add((fault.kind, str(reason)))
                self.say(f"skipped: {fault.kind}: {reason}")
            return None
        note["begun"] = self.now()
        self.say(f"{note['struck']:7.1f} s  {fault} for {fault.hold_s} s")
        return note
