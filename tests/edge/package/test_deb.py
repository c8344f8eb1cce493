"""The Debian package: built twice, checked by lintian and systemd, installed into a fresh Debian, run and purged."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zig_compiler import set_up_zig

EDGE = Path(__file__).parents[3] / "edge"
PACKAGE = EDGE / "package"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
NEEDED = ("mmdebstrap", "lintian", "dpkg-deb", "systemd-analyze", "unshare")
INCLUDED = (
    "python3", "python3-numpy", "python3-paho-mqtt", "tcpdump", "libcap2-bin", "libndpi4.2t64", "systemd", "libstdc++6",
    "procps",
)  # fmt: skip
UNITS = Path("/usr/lib/systemd/system")
CORE = "/usr/lib/tlids-edge/tlids_edge/flows/core/meter.so"
RING = "/usr/lib/tlids-edge/tlids_edge/capture/tlids-ring"
NAME_OF_CORE = (
    "import sys; sys.path.insert(0, '/usr/lib/tlids-edge'); from tlids_edge.flows import core; print(core.load()._name)"
)
EXPOSURE = 2.3  # systemd-analyze's figure for the unit that decodes packets
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mmdebstrap and chroot"),
    pytest.mark.skipif(not ARCHITECTURE, reason="the package is built for arm64 and amd64"),
    *(pytest.mark.skipif(not shutil.which(name), reason=f"needs {name}: make system") for name in NEEDED),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package, built for this machine's architecture."""
    set_up_zig()
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def debian(tmp_path_factory) -> Path:
    """A Debian trixie with what the package depends on, and nothing of ours."""
    root = tmp_path_factory.mktemp("trixie")
    options = ["--quiet", "--variant=minbase", "--mode=root", f"--include={','.join(INCLUDED)}"]
    subprocess.run(["mmdebstrap", *options, "trixie", str(root)], check=True, capture_output=True, timeout=500)
    return root


def build(folder: Path) -> Path:
    """Build into `folder`."""
    command = [sys.executable, str(PACKAGE / "build_deb.py"), ARCHITECTURE, "-o", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(folder.glob("*.deb"))


def inside(root: Path, *command: str, fails: bool = False) -> str:
    """Run a command in the Debian, with process and mount namespaces of its own; what it printed."""
    argv = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", str(root), *command]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=200, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
    )
    assert fails or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def listing(root: Path) -> set[str]:
    """Every file and folder of the Debian but what dpkg, proc and caches keep for themselves."""
    own = (
        "/proc/",
        "/run/",
        "/var/lib/dpkg/",
        "/var/log/",
        "/var/cache/",
        "/etc/passwd-",
        "/etc/group-",
        "/etc/shadow-",
    )
    paths = (f"/{path.relative_to(root)}" for path in root.rglob("*"))
    return {path for path in paths if not f"{path}/".startswith(own) and "__pycache__" not in path}


def test_two_builds_give_one_file(package, tmp_path):
    again = build(tmp_path)
    assert again.name == package.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_lintian_finds_no_error(package):
    done = subprocess.run(["lintian", "--fail-on", "error", str(package)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout


def exposure(unit: Path) -> float:
    """What systemd-analyze says of a unit file: 0 nothing exposed, 10 everything."""
    command = ["systemd-analyze", "security", "--offline=true", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def test_the_units_expose_no_more_than_the_limit_and_without_their_filter_more(tmp_path):
    shutil.copy(PACKAGE / "tlids-capture@.service", tmp_path / "tlids-capture@1.service")
    for unit in (PACKAGE / "tlids-edge.service", tmp_path / "tlids-capture@1.service"):
        assert exposure(unit) <= EXPOSURE
        lines = unit.read_text().splitlines()
        weak = tmp_path / f"weak-{unit.name}"
        weak.write_text("\n".join(line for line in lines if not line.startswith(("SystemCall", "Restrict"))))
        assert exposure(weak) > EXPOSURE


def test_all_files_are_roots_and_nobody_else_may_write_them(package):
    lines = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True).stdout
    entries = [line.split()[:2] for line in lines.splitlines()]
    assert len(entries) > 50
    assert {owner for _, owner in entries} == {"root/root"}
    assert not [mode for mode, _ in entries if mode[5] == "w" or mode[8] == "w"]


def check_units(debian: Path) -> None:
    """What trixie's own systemd says of the installed units: nothing; of a misspelt setting it does speak."""
    units = [str(UNITS / name) for name in ("tlids-edge.service", "tlids-capture.socket", "tlids-capture@1.service")]
    assert inside(debian, "systemd-analyze", "verify", "--recursive-errors=no", *units) == ""
    for unit in (units[0], units[2]):
        inside(debian, "systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", unit)
    (debian / "tmp/wrong.service").write_text("[Service]\nExecStart=/bin/true\nNoNewPrivilege=yes\n")
    said = inside(debian, "systemd-analyze", "verify", "/tmp/wrong.service", fails=True)
    (debian / "tmp/wrong.service").unlink()
    assert "NoNewPrivilege" in said


def check_pinned(debian: Path) -> None:
    """Before it starts, the unit compares what is installed with the package's list: a changed byte is named."""
    line = (debian / "usr/lib/systemd/system/tlids-edge.service").read_text().split("ExecStartPre=")[1].splitlines()[0]
    listed = (debian / line.split()[-1].lstrip("/")).read_text().split()[1::2]
    model = "/usr/share/tlids-edge/models/testbed/model.tflite"
    assert {model, CORE, RING, "/usr/lib/tlids-edge/ai_edge_litert/libLiteRt.so"} < set(listed)
    assert inside(debian, *line.split()) == ""
    whole = (debian / model.lstrip("/")).read_bytes()
    (debian / model.lstrip("/")).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"{model}: FAILED" in inside(debian, *line.split(), fails=True)
    (debian / model.lstrip("/")).write_bytes(whole)


def test_installed_it_judges_a_capture_and_purged_it_leaves_nothing(package, debian):
    before = listing(debian)
    shutil.copy(package, debian / "tmp")
    inside(debian, "dpkg", "-i", f"/tmp/{package.name}")
    assert inside(debian, "getent", "passwd", "tlids")
    assert inside(debian, "find", "/usr/lib/tlids-edge", "/usr/share/tlids-edge", "!", "-user", "root") == ""
    assert inside(debian, "find", "/usr/lib/tlids-edge", "/usr/bin/tlids-edge", "-perm", "/022") == ""
    assert (debian / "etc/default/tlids-edge").stat().st_mode & 0o777 == 0o600
    check_units(debian)
    check_pinned(debian)
    assert inside(debian, "python3", "-c", NAME_OF_CORE) == f"{CORE}\n"
    assert "expected the name of one interface" in inside(debian, RING, fails=True)

    shutil.copy(EDGE.parent / "data/testbed/session2.pcap.gz", debian / "tmp")
    model = "/usr/share/tlids-edge/models/testbed"
    said = inside(
        debian, *("tlids-edge", "--model", model, "--source", "/tmp/session2.pcap.gz", "--eve", "/tmp/eve.json")
    )
    events = [json.loads(line) for line in (debian / "tmp/eve.json").read_text().splitlines()]
    assert sum(event["event_type"] == "alert" for event in events) > 1000
    assert "flows in" in said and "Traceback" not in said and "meter compiled" in said

    for name in (package.name, "session2.pcap.gz", "eve.json", "incidents.json"):
        (debian / "tmp" / name).unlink()
    inside(debian, "dpkg", "--purge", "tlids-edge")
    assert listing(debian) - before == set()
    assert "tlids" not in inside(debian, "getent", "passwd", "tlids", fails=True)
