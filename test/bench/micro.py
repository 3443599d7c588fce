#!/usr/bin/env python3
"""micro - instructions for each request in the hot functions, counted by valgrind: they repeat to
the per mille on a busy machine.  make bench-micro runs it.  Costs of system calls, of databases and
of Kafka are not in them.  MICRO_FUNCTIONS=12: so many of the costliest functions of each case."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import table
from services import BUILD, ROOT

MICRO = BUILD / "test/bench/micro"
# Parts of an answer that are worth a line of their own, counted with what they call.
PARTS = (["batch_turn", "canned_rows"], ["result_group"], ["result_sort"], ["result_encode"])


def count(case, functions, output):
    """Instructions for each request within calls of the first function, without those of the
    second, which it calls."""
    found = subprocess.run(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={output}",
         *(f"--toggle-collect={function}" for function in functions), MICRO, case],
        text=True, capture_output=True, cwd=ROOT)
    if found.returncode:
        sys.exit(f"bench: {case}: {found.stderr[-1000:]}")
    return int(re.search(r"Collected : (\d+)", found.stderr).group(1)) / int(found.stdout)


def costliest(output, n):
    """The functions by their own instructions, in per cent."""
    text = subprocess.run(["callgrind_annotate", output], check=True, text=True,
                          capture_output=True).stdout
    found = re.findall(r"^ *[\d,]+ \(( ?[\d.]+)%\) +\S*?([^\s:/]+)(?: \[.*)?$", text, re.M)
    return [(share, name) for share, name in found if re.match(r"\w", name)][:n]


def main():
    shown = int(os.environ.get("MICRO_FUNCTIONS", 0))
    cases = subprocess.run([MICRO], check=True, text=True, capture_output=True,
                           cwd=ROOT).stdout.splitlines()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "callgrind"
        for case in cases:
            rows.append([case, f"{count(case, ['measured', 'canned_rows'], output):.0f}"])
            rows += [[f"    {share}%  {name}", ""] for share, name in costliest(output, shown)]
            if "batch" not in case:
                continue
            for part in PARTS:
                inner = count(case, part, output)
                if inner:
                    rows.append([f"  {part[0]}", f"{inner:.0f}"])
    table(["instructions for each request", ""], rows)


if __name__ == "__main__":
    main()
