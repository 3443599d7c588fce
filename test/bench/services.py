"""What is measured: a private PostgreSQL with generated data, a private Kafka, one gateway, one
worker, and the services they are compared with; and what these processes take of the machine."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "test/bench"
BUILD = Path(os.environ.get("BENCH_BUILD", ROOT / "build/release"))
USERS, POSTS, LOGS = 100_000, 500_000, 10_000_000
# The development settings of deploy/dev are for small data.
POSTGRES_SETTINGS = "-c shared_buffers=1GB -c max_wal_size=512MB -c autovacuum=off"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_S = 60


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Scale:
    """How much data: SCALE 1 is 100 k users, 500 k posts, 10 M log rows; or of so many users."""

    def __init__(self, scale, users=None):
        self.scale = scale
        self.name = f"{scale:g}" + (f"x{users}" if users else "")
        self.users = users or max(20, int(USERS * scale))
        self.posts = max(100, int(POSTS * scale))
        self.logs = max(2000, int(LOGS * scale))

    def __str__(self):
        return f"{self.users} users, {self.posts} posts, {self.logs} log rows"


# ---- databases ---------------------------------------------------------------


def helper(name, verb, folder, **more):
    """A script of deploy/dev; the settings that it prints."""
    output = subprocess.run([ROOT / "deploy/dev" / name, verb, folder], check=True, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, **more}).stdout
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def digest():
    """Of what the data is made by: another schema needs another load."""
    sha = hashlib.sha256()
    for path in sorted([*BENCH.glob("data*.sql"), *ROOT.glob("migrations/db[12]/*.up.sql")]):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:8]


def load(settings, scale):
    environment = {**os.environ, **settings}
    for number in 1, 2:
        subprocess.run([BUILD / "bin/tally", "migrate", "up", f"db{number}"], check=True,
                       env=environment, stdout=subprocess.DEVNULL)
        subprocess.run(["psql", "-q", "-X", "-o", "/dev/null", "-f", BENCH / f"data{number}.sql",
                        "-v", f"users={scale.users}", "-v", f"posts={scale.posts}",
                        "-v", f"logs={scale.logs}", settings[f"TALLY_SOURCE_DB{number}"]],
                       check=True)


def data_folder(scale):
    top = Path(os.environ.get("BENCH_DATA", ROOT / "build/bench/data"))
    return top / f"{scale.name}-{digest()}"


def make_data(folder, scale):
    """Loads into a folder beside it, so that what has the name is whole."""
    fresh = folder.with_name(folder.name + ".new")
    for old in folder.parent.glob(f"{scale.name}-*"):
        helper("postgres", "stop", old)
        shutil.rmtree(old)
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"generating {scale} into {folder}")
    try:
        load(helper("postgres", "start", fresh, POSTGRES_SETTINGS=POSTGRES_SETTINGS), scale)
    finally:
        helper("postgres", "stop", fresh)
    fresh.rename(folder)


def open_postgres(scale):
    """Folder and settings of a server with the data."""
    folder = data_folder(scale)
    if not folder.exists():
        make_data(folder, scale)
    return folder, helper("postgres", "reopen", folder, POSTGRES_SETTINGS=POSTGRES_SETTINGS)


# ---- processes ---------------------------------------------------------------


def fields(pid):
    """Of /proc/PID/stat, after the name; [11] is utime, [21] the resident pages."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int(fields(entry.name)[1]) == pid:
                    found.append(int(entry.name))
    return found


class Process:
    """What a process, with its children when it has any that matter, takes of the machine."""

    def __init__(self, pid, with_children=False):
        self.pid = pid
        self.with_children = with_children

    def all(self):
        return [self.pid, *(children(self.pid) if self.with_children else [])]

    def cpu_s(self):
        """Of those that ended too."""
        ticks = 0
        for pid in self.all():
            with contextlib.suppress(OSError):
                stat = fields(pid)
                ticks += sum(map(int, stat[11:15] if pid == self.pid else stat[11:13]))
        return ticks / TICK

    def resident_mb(self):
        """Private and shared; of several their private memory, and what is shared once (PSS)."""
        total = 0
        for pid in self.all():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        return total / 1024


class Compiler(Process):
    """The threads of a Java process that compile it: much at first, nothing at last."""

    def __init__(self, pid):
        super().__init__(pid)
        self.ticks = {}  # of those that ended too

    def cpu_s(self):
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                text = (task / "stat").read_text()
                if re.search(r"\(C[12] CompilerThre", text):
                    stat = text.rsplit(")", 1)[1].split()
                    self.ticks[task.name] = int(stat[11]) + int(stat[12])
        return sum(self.ticks.values()) / TICK

    def resident_mb(self):
        return 0


class Java(Process):
    """A Java process without its compiler."""

    def __init__(self, pid):
        super().__init__(pid)
        self.compiler = Compiler(pid)

    def cpu_s(self):
        return super().cpu_s() - self.compiler.cpu_s()


def machine_cpu_s():
    """Busy time of the whole machine, and what its host took away."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq) / TICK, steal / TICK


class Child:
    """A program of ours; its log goes to a file."""

    def __init__(self, command, log, **settings):
        self.log = Path(log)
        with open(log, "w") as out:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **settings})
        self.process = Process(self.popen.pid)

    def await_line(self, pattern):
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            found = re.search(pattern, self.log.read_text())
            if found:
                return found
            if self.popen.poll() is not None:
                break
            time.sleep(0.02)
        sys.exit(f"{self.log.stem} did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def metric(address, pattern):
    """The sum of the metrics that match."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if re.match(pattern, line))


class Service:
    """Something that answers HTTP, and the processes that work for it."""

    def __init__(self, name, address, metrics, processes, lane):
        self.name = name
        self.address = address
        self.metrics = metrics
        self.processes = processes
        self.lane = lane

    def batches(self):
        """(requests, batches) since its start."""
        series = f'tally_batch_requests_%s{{lane="{self.lane}"}}'
        return tuple(metric(self.metrics, re.escape(series % what)) for what in ("sum", "count"))


# For slow databases: who would wait for seconds waits, and is measured, not refused.
PATIENT = {"TALLY_QUEUE_WAIT_MAX_MS": "30000"}


def write_datasets(folder):
    """The datasets, and comments again with the posts cached."""
    shutil.copytree(ROOT / "deploy/datasets", folder)
    text = (folder / "comments.sql").read_text()
    text, n = re.subn(r"(-- dataset +)comments", r"\1comments-cached", text)
    text, m = re.subn(r"(-- step post .*)", r"\1 cache 5s", text)
    assert n == m == 1, "comments.sql has changed"
    (folder / "comments-cached.sql").write_text(text)


@contextlib.contextmanager
def clickhouse(folder):
    """The newest ClickHouse engine to be had, behind its HTTP interface: its URL and its process."""
    command = [sys.executable, ROOT / "test/e2e/clickhouse.py", folder, "tally", "s3cret"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        try:
            port = int(engine.stdout.readline())
            yield f"clickhouse://tally:s3cret@127.0.0.1:{port}", Process(engine.pid)
        finally:
            engine.stdin.close()


class Stage:
    """Everything that runs; a context manager."""

    def __init__(self, scale, jobs=False):
        self.scale = scale
        self.jobs = jobs
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def open(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tally-bench-"))
        self.folder.chmod(0o755)  # user postgres passes through
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        data, self.settings = open_postgres(self.scale)
        self.stack.callback(helper, "postgres", "stop", data)
        postmaster = int((data / "data/postmaster.pid").read_text().split()[0])
        self.postgres = Process(postmaster, with_children=True)
        self.stack.callback(helper, "kafka", "stop", self.folder / "kafka")
        self.settings |= helper("kafka", "start", self.folder / "kafka")
        self.kafka = Java(int((self.folder / "kafka/pid").read_text()))
        write_datasets(self.folder / "datasets")
        self.settings["TALLY_DATASETS"] = str(self.folder / "datasets")
        if self.jobs:
            self.make_job_store()
        else:
            self.settings.pop("TALLY_JOBS")
        self.command("topics", "create")

    def make_job_store(self):
        """An empty one: what is left of an earlier run goes."""
        self.settings["TALLY_JOB_SECRET"] = "of-a-bench-that-signs-nothing-for-others"
        with contextlib.suppress(subprocess.CalledProcessError):  # there was none
            self.command("migrate", "down", "jobs")
        self.command("migrate", "up", "jobs")

    def command(self, *arguments, **settings):
        subprocess.run([BUILD / "bin/tally", *arguments], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, **self.settings, **settings})

    def clickhouse(self):
        """An engine with what db2 has: its URL and its process."""
        url, process = self.stack.enter_context(clickhouse(self.folder / "clickhouse"))
        self.command("migrate", "up", "db2", TALLY_SOURCE_DB2=url)
        say("copying db2 to ClickHouse")
        self.command("copy", "db2", "--from", self.settings["TALLY_SOURCE_DB2"], "--to", url)
        return url, process

    def start(self, command, name, ready, **settings):
        child = Child(command, self.folder / f"{name}.log", **(self.settings | settings))
        self.stack.callback(child.stop)
        return child, child.await_line(ready)

    def worker(self, build=BUILD, **settings):
        """A worker, and the address of its metrics."""
        worker, found = self.start([build / "bin/tally-worker"], "worker",
                                   r"event=listening.* port=(\d+)",
                                   TALLY_METRICS_LISTEN="127.0.0.1:0", **settings)
        worker.await_line("event=ready")
        return worker, f"127.0.0.1:{found.group(1)}"

    def tally(self, name="tally", build=BUILD, **settings):
        """A worker and a gateway, and how to stop them before the end."""
        worker, metrics = self.worker(build, **settings)
        gateway, found = self.start([build / "bin/tally-gateway"], "gateway",
                                    r"event=listening.* port=(\d+)",
                                    TALLY_LISTEN="127.0.0.1:0", **settings)
        address = f"127.0.0.1:{found.group(1)}"
        self.await_ready(address)

        def stop():
            gateway.stop()
            worker.stop()

        return Service(name, address, metrics,
                       {"gateway": gateway.process, "worker": worker.process,
                        "kafka": self.kafka, "jit": self.kafka.compiler,
                        "postgres": self.postgres}, "sync"), stop

    def await_ready(self, address):
        """A rebalance may come between: both must be ready, and a request must be answered."""
        until = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/readyz", timeout=10).close()
                urllib.request.urlopen(f"http://{address}/api/general/?login=user1",
                                       timeout=35).close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def direct(self, name, connections, batch, in_flight):
        """test/bench/direct, and how to stop it before the end."""
        child, found = self.start([BUILD / "test/bench/direct", "127.0.0.1:0", connections, batch,
                                   in_flight], name, r"ready port=(\d+)")
        address = f"127.0.0.1:{found.group(1)}"
        return Service(name, address, address,
                       {name: child.process, "postgres": self.postgres}, "direct"), child.stop
