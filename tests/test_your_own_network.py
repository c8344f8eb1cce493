"""docs/your-own-network.md and its second chapter, docs/your-own-classes.md, work as written.

The blocks marked `bash pi` and `bash laptop` are run, in their order, in one shell, as they stand. What stands in for
what a test has not got:

    the laptop and the Pi     one empty home folder; `laptop` blocks begin in the clone, `pi` blocks at home
    the clone                 a folder with a link to notebooks/ and an empty runs/
    ssh, scp                  programs that run or copy in that home folder
    the recordings            the second home's two; for the second chapter the testbed's two, under the names that the
                              page's tcpdump gives its first file
    the package's model       the repository's
    ~/flows/labels.csv        the testbed's labels of both
    learning                  as short as the page says it may be
    training                  the parameters that the page names for a quick try, added to the lines it names

Every other command on the pages is looked up: its program, its options, the files and notebooks it names.
"""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from never_nice import never_nice
from tlids_edge.cli import edge as edge_cli
from tlids_edge.cli import meter as meter_cli
from tlids_edge.detect.detector import Detector
from tlids_edge.flows.labels import read_labels

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
LEARNED, TRAINED = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("your-own-network.md", "your-own-classes.md")
)
TEXT = LEARNED + TRAINED
QUICK = re.search(r"quick try.*?`(-p [^`]+)`", TRAINED, re.DOTALL).group(1)
QUICK_LEARN = re.search(r"first try, with `(--learn [^`]+)`", LEARNED).group(1)
PACKAGED = "/usr/share/tlids-edge/models/testbed"
PI = "pi@tlids.local"
STAND_INS = {
    "ssh": f'[ "$1" = {PI} ] && shift && cd "$HOME" && exec bash -c "$*"',
    "scp": f'args=(); for name; do args+=("${{name/#{PI}:/$HOME/}}"); done; exec cp -r "${{args[@]}}"',
}


def blocks(text: str) -> list[tuple[str, str, str]]:
    """A page's blocks: language, where it is run, content."""
    return re.findall(r"^ *```(\S+) ?(\S*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def run_page(text: str, home: Path) -> tuple[list[str], str]:
    """Run a page's marked blocks: the output of each, and what came on standard error."""
    clone, programs = home / "clone", home / "programs"
    for folder in (clone / "runs", programs):
        folder.mkdir(parents=True)
    (clone / "notebooks").symlink_to(REPOSITORY / "notebooks")
    for name, content in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/bash\n{content}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", script(text, clone)],
        env={
            **os.environ, **never_nice(programs), "HOME": str(home), "TLIDS_HOME": str(home), "TQDM_DISABLE": "1",
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout.split("@@block\n")[1:], done.stderr


def put_recordings(home: Path) -> None:
    """The testbed's recordings and their labels, where the page's user has put their own."""
    testbed = REPOSITORY / "data" / "testbed"
    labels = []
    for folder in (home / "recording", home / "flows"):
        folder.mkdir()
    for session in ("session1", "session2"):
        shutil.copy(testbed / f"{session}.pcap.gz", home / "recording" / f"{session}.pcap00")
        labels += (testbed / f"{session}.labels.csv").read_text().splitlines(keepends=True)[len(labels) > 0 :]
    (home / "flows" / "labels.csv").write_text("".join(labels))


def script(text: str, clone: Path) -> str:
    """The marked blocks as one script, the quick try's parameters added, the learning as short as it may be."""
    lines = []
    for _, where, content in blocks(text):
        content = re.sub(r"--learn \S+", QUICK_LEARN, content)
        content = content.replace(PACKAGED, shlex.quote(str(REPOSITORY / "edge" / "models" / "testbed")))
        if where:
            lines += [f"cd {shlex.quote(str(clone))}" if where == "laptop" else "cd", "echo @@block"]
            lines.append(re.sub(r"^papermill .*", rf"\g<0> {QUICK}", content, flags=re.MULTILINE))
    return "\n".join(lines)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def flow_of(alert: dict) -> tuple:
    """What an alert and a row of the flows have in common: addresses, ports, and the flow's end in milliseconds."""
    last = datetime.fromisoformat(alert["flow"]["end"])
    end = int(last.replace(microsecond=0).timestamp()) * 1000 + last.microsecond // 1000
    return alert["src_ip"], alert.get("src_port", 0), alert["dest_ip"], alert.get("dest_port", 0), end


def test_the_first_chapter_learns_a_home_and_still_tells_of_the_attacks_of_the_evening(tmp_path):
    folder = REPOSITORY / "data" / "second-home"
    for session, name in (("session1", "night"), ("session2", "evening")):
        shutil.copy(folder / f"{session}.pcap.gz", tmp_path / f"{name}.pcap")
    (_, counted, told, _), said = run_page(LEARNED, tmp_path)

    adapted = json.loads((tmp_path / "adapted" / "card.json").read_text())["adapted"]
    assert adapted["rows"] >= 1000 and adapted["promise"]["alarms"] < adapted["promise"]["parent_alarms"]
    assert f"at most {adapted['promise']['bound']:.2%} will" in said
    counts = dict(line.split(":") for line in counted.splitlines())
    assert counts.keys() == {"before.json", "after.json"}
    assert len(told.splitlines()) == int(counts["after.json"]) > 0
    attacker = re.search(r'"attacker": \{\s*"address": "([^"]+)"', (folder / "session2.json").read_text()).group(1)
    assert f"from {attacker} " in told
    assert not list(tmp_path.glob("*.pcap"))


def test_the_second_chapter_leads_from_two_recordings_to_an_alert_for_a_labelled_attack(tmp_path):
    put_recordings(tmp_path)
    (usage, _, _, _, _, _, exported, _, printed), _ = run_page(TRAINED, tmp_path)
    assert [line.split()[:2] for line in usage.splitlines()] == [["usage:", "tlids-meter"], ["usage:", "tlids-edge"]]

    flows = table(tmp_path / "flows" / "home.csv")
    assert {row["Session"] for row in flows} == {"session1", "session2"}
    named = {rule.attack for rule in read_labels(tmp_path / "flows" / "labels.csv")}
    assert {row["Attack"] for row in flows} == named  # "Benign" among them

    runs = tmp_path / "clone" / "runs"
    results = [json.loads(path.read_text()) for path in runs.glob("*/result.json")]
    assert {result["protocol"] for result in results if result["dataset"] == "home"} == {"scratch", "paper"}
    assert {result["split"] for result in results if result["dataset"] == "home"} == {"session"}
    assert "threshold_basis" in exported and "benign validation rows reach it" in exported

    model = tmp_path / "model-home"
    assert sorted(path.name for path in model.iterdir()) == ["card.json", "model.tflite"]
    assert set(Detector(model).card.classes) == named  # raises when the Pi would refuse it

    truth = {}
    for row in table(tmp_path / "recording" / "session2.csv"):
        src, dst = row["IPV4_SRC_ADDR"], row["IPV4_DST_ADDR"]
        truth[src, int(row["L4_SRC_PORT"]), dst, int(row["L4_DST_PORT"]), int(row["LAST_SWITCHED_MS"])] = row["Attack"]
    alerts = [json.loads(line) for line in printed.splitlines()]
    assert {alert["event_type"] for alert in alerts} == {"alert"}
    assert any(truth[flow_of(alert)] != "Benign" for alert in alerts)


def test_the_labels_shown_are_labels_that_the_meter_reads(tmp_path):
    (example,) = (content for language, _, content in blocks(TEXT) if language == "csv")
    (tmp_path / "labels.csv").write_text(example)
    rules = read_labels(tmp_path / "labels.csv")
    assert [rule.attack for rule in rules] == ["Benign", "Port scan", "UDP scan", "SYN flood"]


# what the page's shell lines may use besides the project's own programs and those that it installs
SHELL = {
    "cd", "echo", "source", "cat", "head", "tail", "ls", "mkdir", "mv", "cp", "rm",
    "grep", "sort", "uniq", "date", "sleep", "ssh", "scp", "apt", "python3", "timedatectl", "systemctl",
    "journalctl",
}  # fmt: skip
INSTALLED = {"tcpdump", "jq", "tmux"}
ATTACKS = {"nmap", "hping3"}  # of the reader's own choice
OURS = {"tlids-meter": meter_cli, "tlids-edge": edge_cli}
VERBS = {"adapt", "models", "rollback", "wipe"}  # of tlids-edge; each has a help of its own
PLACES = ("/opt/tlids", "/var/log/tlids", "/var/lib/tlids-edge", PACKAGED)


def commands() -> list[list[str]]:
    """Every simple command of the pages' shell blocks, and of its code spans that begin with a program's name."""
    lines = [line for language, _, content in blocks(TEXT) if language == "bash" for line in content.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
    lines += [span for span in spans if span.split()[0] in {"papermill", "jupyter", "tcpdump", "nmap", "tmux", *OURS}]
    return [command for line in lines for command in simple_commands(line)]


def simple_commands(line: str) -> list[list[str]]:
    """A shell line's commands, each with its words; assignments, redirections and the head of a loop left out."""
    lexer = shlex.shlex(line.replace("sudo -u tlids ", "sudo "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    before = ""
    for word in lexer:
        if set(word) <= set(";&|()<>") or word in ("do", "done", "sudo"):
            found.append([])
        elif not before.startswith(">") and (found[-1] or not re.match(r"\w+=", word)):
            found[-1].append(word)
        before = word
    return [command for command in found if command and command[0] != "for"]


def program_help(program: str) -> str:
    """What a system program prints about its options; on whichever stream, with whichever status."""
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}, which is not installed")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", sorted(OURS))
def test_the_options_that_the_page_gives_our_programs_exist(program, capsys):
    used = [c for c in commands() if c[0].rsplit("/")[-1] == program]
    assert len(used) >= 2
    for command in used:
        with pytest.raises(SystemExit):
            OURS[program].main([*(word for word in command[1:2] if word in VERBS), "--help"])
        known = capsys.readouterr().out
        for option in (word for word in command[1:] if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known), f"{program} has no {option}"


@pytest.mark.parametrize("program", ["hping3", "nmap", "tcpdump"])
def test_the_options_that_the_page_gives_system_programs_exist(program):
    known = program_help(program)
    used = [command for command in commands() if command[0] == program]
    assert used
    for command in used:
        for option in (word for word in command[1:] if word.startswith("-")):
            word = "-sS/sT" if option == "-sU" else option  # nmap lists its scans in one line
            assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", known), f"{program} has no {option}"


def test_the_page_uses_no_program_that_it_does_not_bring():
    brought = SHELL | INSTALLED | ATTACKS | OURS.keys() | {"papermill", "jupyter", "make", "pip"}
    names = {command[0].rsplit("/")[-1] for command in commands()}
    assert names - brought == set()
    packages = {word for command in commands() if command[:2] == ["apt", "install"] for word in command[2:]}
    assert INSTALLED <= packages


def test_notebooks_on_the_page_exist_and_have_the_parameters_it_gives_them():
    used = [command for command in commands() if command[0] == "papermill"]
    assert len(used) == 3
    extra = re.findall(r"`((?:-p \S+ \S+ ?)+)`", TEXT)
    given = {Path(notebook).stem: set() for _, notebook, *_ in used}
    for _, notebook, output, *arguments in used:
        assert Path(output).parent.name == "runs"
        given[Path(notebook).stem] |= set(arguments[1::3])
        assert set(arguments[0::3]) == {"-p"}
    for words in map(str.split, extra):
        named = set(words[1::3])
        given["03_transfer"] |= named - {"trained"}
        given["05_edge_export"] |= named - {"source"}
    for name, parameters in given.items():
        cells = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4).cells
        cell = next(cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
        assert parameters - {line.split("=")[0].strip() for line in cell.source.splitlines()} == set()


def test_files_on_the_page_exist_here_or_are_made_by_it():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (DOCS / target).exists(), target
    for path in re.findall(r"`((?:data|notebooks|edge|runs)/[\w./-]+)`", TEXT):
        assert (REPOSITORY / path).exists() or path.startswith(("data/raw", "runs/home-")), path
    for word in {word for command in commands() for word in command if word.startswith("/")}:
        assert word.startswith(PLACES), word
    service = (REPOSITORY / "edge" / "tlids-edge.service").read_text()
    assert "/opt/tlids/model" in service and "/var/log/tlids/eve.json" in service
    packaged = (REPOSITORY / "edge" / "package" / "tlids-edge.service").read_text()
    assert all(text in packaged for text in (PACKAGED, "/var/log/tlids/eve.json", "--state /var/lib/tlids-edge"))


def test_make_knows_the_targets_that_the_pages_ask_for():
    targets = {command[1] for command in commands() if command[0] == "make"}
    assert targets == {"install", "deb"}
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in targets:
        assert f"READY = {target}\n" in makefile or re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)


def test_sentences_that_the_page_quotes_are_in_the_programs():
    sources = [*(REPOSITORY / "tlids_helpers").rglob("*.py"), *(REPOSITORY / "edge").rglob("*.py")]
    messages = re.sub(r'"\s*f?"', "", "\n".join(path.read_text() for path in sources))
    for quoted in (
        "expected at least two recordings in the column",
        "expected a threshold that at most",
        "that is too few rows to show",
        "no flow is labelled",
        "expected nDPI",
        "with SHA-256",
        "flows found",
        "not adapted: ",
    ):
        assert quoted in TEXT and quoted in messages, quoted
