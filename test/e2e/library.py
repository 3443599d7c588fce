"""What other services build upon: the README's readers, and the library, installed, away from our
tree."""

import os
import re
import shutil
import subprocess

from harness import ROOT

PREFIX = "/opt/tally"


def block(language):
    """The README's code in a language."""
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]


class Library:
    def __init__(self, folder):
        self.folder = folder
        self.headers = folder / f"root{PREFIX}/include/tally"
        make = ["make", "-s", "-o", "all", "install", f"DESTDIR={folder}/root", f"PREFIX={PREFIX}"]
        subprocess.run(make, cwd=ROOT, check=True, timeout=300)
        self.environment = os.environ | {
            "PKG_CONFIG_PATH": f"{folder}/root{PREFIX}/lib/pkgconfig",
            "PKG_CONFIG_SYSROOT_DIR": f"{folder}/root",
            "LD_LIBRARY_PATH": f"{folder}/root{PREFIX}/lib"}

    def flags(self, *options):
        return subprocess.run(["pkg-config", *options, "tally"], env=self.environment, check=True,
                              capture_output=True, text=True, timeout=60).stdout.split()

    def build(self, source):
        program = self.folder / source.stem
        shutil.copy(source, self.folder)  # away from the tree, whose headers it shall not see
        subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                        source.name, *self.flags("--cflags", "--libs"), "-o", program],
                       cwd=self.folder, check=True, timeout=120)
        return program
