"""Attacks on the rules and on the program, live: `python -m testbed.attack_table MODEL [NAME ...]`, in edge/, as root.

Each runs in the testbed's namespaces, most with `tlids-edge` on the bridge; the table says what it was seen as, whom
the alerts name, and whether that is right. There is no benign life but what an attack says: that is
`python -m testbed record --watch`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tlids_edge.errors import InputError

from testbed import file_attacks, program_attacks, rule_attacks
from testbed import network as lab
from testbed.forge import BEGUN
from testbed.program_attacks import Place, Trial
from testbed.rule_attacks import BESIDE, NOBODY, TALK, Attack, judge, judge_named
from testbed.services import servers
from testbed.watched import LIMIT_S, alerts_of_rules, rate_of, wait_for, watching

ATTACKS = (*rule_attacks.ATTACKS, *program_attacks.TRIALS, *file_attacks.TRIALS)
PROGRAMS = {
    "nmap": "nmap", "arpspoof": "dsniff", "hping3": "hping3", "slowhttptest": "slowhttptest", "timeout": "coreutils",
    **program_attacks.PROGRAMS,
}  # fmt: skip
TRIES = 3
DROPS = 9_400_001  # the signature of being blind because packets were dropped


def run(model: Path, attacks: list[Attack | Trial]) -> Iterator[dict]:
    """Run attacks one after the other; of each its name, row, whom to expect, what was seen and told, and the verdict.

    Raises:
        InputError: not in the testbed's namespaces, or a program is missing.
    """
    lab.need_programs(PROGRAMS)
    network = lab.build(lab.Plan(1))
    try:
        servers.start(network, "pi-server", "talk", [*TALK, "serve"])
        for attack in attacks:
            try:
                found = (_of_rules if isinstance(attack, Attack) else _of_program)(network, model, attack)
            except InputError as error:  # what was waited for did not come
                found = {"seen": [], "told": "", "rate": 0, "verdict": str(error)}
            yield {"attack": attack.name, "row": attack.row, "expected": attack.named, "missed": attack.missed, **found}
    finally:
        network.close()


def _of_rules(network: lab.Network, model: Path, attack: Attack) -> dict:
    """What the rules saw of an attack, the forged frames a second, and the verdict.

    A run in which `tlids-edge` says that the kernel dropped packets, as on a machine that is busy with something else,
    shows nothing about what it makes of them: when its verdict is wrong, the attack is repeated.
    """
    hosts = {name: asdict(host) for name, host in network.hosts.items()}
    for _ in range(TRIES):
        events, rate = _events(network, model, attack)
        seen = alerts_of_rules(events, network.hosts)
        verdict = judge(attack, seen, events, hosts, rate)
        if verdict == "right" or not any(event.get("alert", {}).get("signature_id") == DROPS for event in events):
            break
    return {"seen": seen, "told": "", "rate": rate, "verdict": verdict}


def _of_program(network: lab.Network, model: Path, trial: Trial) -> dict:
    """What became of an attack on the program, what the rules saw meanwhile, and the verdict."""
    told, problem, seen = trial.run(Place(network, model))
    hosts = {name: asdict(host) for name, host in network.hosts.items()}
    return {
        "seen": seen,
        "told": told,
        "rate": 0,
        "verdict": problem or judge_named(trial.named, seen, hosts) or "right",
    }


def _events(network: lab.Network, model: Path, attack: Attack) -> tuple[list[dict], int]:
    """What `tlids-edge` on the bridge writes while the attacker runs a command; forged frames a second."""
    addresses = {name: host.address for name, host in network.hosts.items()}
    web = _web(network) if attack.beside == "flood" else None
    said = ""
    with watching(network, model, *attack.options) as watched, _going_on(network, attack.beside, addresses) as log:
        try:
            command = [word.format(**addresses) for word in attack.command]
            said = network.run("attacker", command, timeout=LIMIT_S).stdout
        except subprocess.TimeoutExpired:
            pass  # what was sent by then counts
    if web is not None:
        network.stop(web)
    return watched.events, rate_of(said + log.read_text())


@contextmanager
def _going_on(network: lab.Network, beside: str, addresses: dict[str, str]) -> Iterator[Path]:
    """What goes on beside an attack, from its first round to its last; what it says is in the file.

    Raises:
        InputError: it has not begun within half a minute.
    """
    log = lab.FOLDER / "beside.log"
    log.write_text("")
    if not beside:
        yield log
        return
    host, command = BESIDE[beside]
    process = servers.start(network, host, "beside", [word.format(**addresses) for word in command])
    wait_for(lambda: BEGUN in log.read_text(), f"{beside} to begin")
    yield log
    process.terminate()
    process.wait(LIMIT_S)


def _web(network: lab.Network) -> subprocess.Popen:
    """The dashboard that Slow HTTP is aimed at, once it answers.

    Raises:
        InputError: it does not in time.
    """
    web = servers.start(network, "pi-server", "web", [sys.executable, "-m", "http.server", "80"])
    probe = [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 80), 2)"]
    wait_for(lambda: network.run("pi-server", probe, timeout=20).returncode == 0, "a web server on pi-server")
    return web


def lines(found: dict) -> Iterator[str]:
    """One attack as rows of a Markdown table, a row for each alert."""
    for one in found["seen"] or [{"alert": found["told"] or "nothing", "mac": NOBODY, "source": "", "address": ""}]:
        yield f"| {found['attack']} | {one['alert']} | {one['mac']} | {one['source']} | {found['verdict']} |"


def main(arguments: list[str]) -> int:
    """Print the table, as Markdown or with --json as lines; 1 when an attack is wrong, 2 for unusable input.

    What edge/DETAILS.md says is missed may be wrong.
    """
    as_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    known = {attack.name: attack for attack in ATTACKS}
    names = words[1:] or list(known)
    wrong = 0
    try:
        if not words or set(names) - set(known):
            raise InputError(
                f"expected a model's folder and names among {', '.join(known)}, found {words}: correct them"
            )
        if lab.OUTSIDE not in os.environ:
            argv, environment = lab.isolated([sys.executable, "-m", "testbed.attack_table", *arguments])
            os.execvpe(argv[0], argv, environment)
        if not as_json:
            print("| attack | seen as | sent by | source | verdict |\n|---|---|---|---|---|")
        for found in run(Path(words[0]).resolve(), [known[name] for name in names]):
            print(json.dumps(found) if as_json else "\n".join(lines(found)), flush=True)
            wrong += found["verdict"] != "right" and not known[found["attack"]].missed
    except InputError as error:
        print(f"attack_table: {error}", file=sys.stderr)
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
