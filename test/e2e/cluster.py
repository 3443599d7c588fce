"""Services of a test's own, all of which may be killed: Kafka, PostgreSQL, gateways, workers."""

import subprocess

from conftest import Services, succeed
from harness import ROOT, Service, port_of
from jobs import Api, wait_for_gateways

SCRIPTS = ("postgres", "kafka")


class Cluster:
    """Two gateways, which keep their ports, and two workers over a Kafka and a PostgreSQL."""

    def __init__(self, folder, world):
        self.folder = folder
        self.gateways = []
        self.workers = []
        self.settings = {}
        try:
            self._start(world)
        except BaseException:
            self.stop()
            raise

    def _start(self, world):
        for program in SCRIPTS:
            self.settings |= self._script(program, "start")
        self.services = Services(self.settings["TALLY_SOURCE_DB1"],
                                 self.settings["TALLY_SOURCE_DB2"], self.settings["TALLY_JOBS"],
                                 self.settings["TALLY_KAFKA"], ROOT / "deploy/datasets")
        for name in "db1", "db2", "jobs":
            succeed("migrate", "up", name, settings=self.services.cli_settings)
        world.load(self.services.db1, self.services.db2)
        succeed("topics", "create", settings=self.services.cli_settings)
        self.gateways = [self._start_gateway("127.0.0.1:0") for _ in range(2)]
        self.ports = [port_of(gateway) for gateway in self.gateways]
        self.workers = [self._start_worker() for _ in range(2)]
        self.apis = [Api(f"http://127.0.0.1:{port}") for port in self.ports]
        self.wait_until_ready()

    def _script(self, program, verb):
        """Runs deploy/dev/PROGRAM VERB; the settings that it prints."""
        result = subprocess.run([ROOT / "deploy/dev" / program, verb, self.folder / program],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                timeout=120, check=True)
        return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)

    def _start_gateway(self, listen):
        return Service("tally-gateway", self.services.gateway_settings | {"TALLY_LISTEN": listen})

    def _start_worker(self):
        return Service("tally-worker", self.services.worker_settings)

    def wait_until_ready(self):
        wait_for_gateways(*self.apis)
        for worker in self.workers:
            worker.wait_for(r"event=ready\b")

    def kill(self, what, i=None):
        """Kills one of them with SIGKILL, and starts it again."""
        if what == "gateway":
            self.gateways[i].kill()
            self.gateways[i] = self._start_gateway(f"127.0.0.1:{self.ports[i]}")
        elif what == "worker":
            self.workers[i].kill()
            self.workers[i] = self._start_worker()
        else:
            self._script(what, "kill")
            self._script(what, "again")

    def check_alive(self):
        """Nobody has ended who was not killed."""
        for service in [*self.gateways, *self.workers]:
            assert service.process.poll() is None, service.log()

    def stop(self):
        for service in [*self.gateways, *self.workers]:
            service.kill()
        for program in SCRIPTS:
            self._script(program, "stop")
