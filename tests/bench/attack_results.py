"""`make attack`: the attacks of `testbed.attack_table` live, into docs/results/attack.json; needs root, a few minutes.

With names of attacks it runs those alone and puts them into the file beside the others.
"""

import json
import os
import subprocess
import sys
import time

import docs_figures
import kept
import machine

EDGE = docs_figures.REPOSITORY / "edge"
NAME = "docs/results/attack.json"
COMMAND = [sys.executable, "-m", "testbed.attack_table", "models/testbed", "--json"]


def main(names: list[str]) -> int:
    """Run, tell, and write the file; 1 when a verdict is wrong, 2 when the attacks cannot be run."""
    rows, load = {}, 0.0
    if names:
        before = json.loads((docs_figures.REPOSITORY / NAME).read_text())
        rows, load = {one["attack"]: one for one in before["attacks"]}, before["load"]
    with subprocess.Popen([*COMMAND, *names], cwd=EDGE, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            found = json.loads(line)
            load = max(load, os.getloadavg()[0])
            rows[found["attack"]] = found
            print(f"{found['attack']}: {found['verdict']}", flush=True)
    if running.returncode not in (0, 1):
        return running.returncode
    told = {"command": "make attack", "date": time.strftime("%Y-%m-%d"), "machine": machine.describe(),
            "load": round(load, 1), "attacks": list(rows.values())}  # fmt: skip
    kept.write_whole(docs_figures.REPOSITORY / NAME, json.dumps(told, indent=1) + "\n")
    return running.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
