"""A 64-bit Arm Linux without hardware or root: Debian trixie's packages, unpacked, run by QEMU's user emulation.

QEMU translates one process at a time: the Arm program sees the host's files, and those of the unpacked system before
them. No package is installed and no chroot is made. QEMU is trixie's too (10.0): bookworm's 7.2 crashes in NumPy.
"""

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from tlids_edge.errors import InputError

SUITE, PYTHON = "trixie", "3.13"
PACKAGES = (f"python{PYTHON}", "libndpi4.2t64", "libstdc++6")
WHEELS = ("numpy", "ai-edge-litert")  # all that tlids_edge needs
COMPILE_CORE = Path(__file__).resolve().parents[3] / "edge/package/compile_core.py"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
GLIBC_MINORS = range(17, 42)  # trixie's glibc 2.41 runs wheels made for these


@dataclass(frozen=True)
class Machine:
    """How Python is run: the command before its arguments, and the environment it gets."""

    python: tuple[str, ...]
    environment: dict[str, str]

    def run(self, arguments: Sequence[str], seconds: int) -> str:
        """Run Python to its end; its standard output.

        Raises:
            InputError: it failed or took longer than `seconds`.
        """
        return run_program(
            [*self.python, *arguments], f"Python to run {arguments[0]} {arguments[1]}", self.environment, seconds
        )


def native(edge: Path) -> Machine:
    """This Python, with `tlids_edge` from the folder `edge`."""
    return Machine((sys.executable,), {**os.environ, "PYTHONPATH": str(edge)})


def emulated(folder: Path, edge: Path, cpu: str) -> Machine:
    """Python of the set-up in `folder`, on an emulated processor; nothing of the host's Python is in its way."""
    root = folder / "root"
    command = (str(folder / "qemu-aarch64"), "-cpu", cpu, "-L", str(root))
    environment = {
        "PYTHONPATH": os.pathsep.join((str(folder / "site"), str(edge))),
        "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
        "LANG": "C.UTF-8",
    }
    return Machine((*command, str(root / "usr/bin" / f"python{PYTHON}"), "-S"), environment)


def edge_for_arm(edge: Path, target: Path) -> Path:
    """A copy of `tlids_edge` from the folder `edge`, with the compiled meter of the arm64 package, in `target`.

    Raises:
        InputError: zig is not set up.
    """
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "tlids-ring")
    shutil.copytree(edge / "tlids_edge", target / "tlids_edge", ignore=left_out)
    try:
        runpy.run_path(str(COMPILE_CORE))["compile_core"]("aarch64", target)
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    return target


def emulator_version(folder: Path) -> str:
    """What QEMU says of itself, e.g. 10.0.13."""
    first = run_program([str(folder / "qemu-aarch64"), "--version"], "QEMU to start").splitlines()[0]
    return first.split("version ")[1].split()[0]


def set_up(work: Path, lock: Path) -> Path:
    """The folder with `qemu-aarch64`, `root` and `site`: the one made before, or a new one (about 140 MB to download).

    A new one is made beside and renamed when whole. Its name holds a digest of what is in it, so that changed pins
    are followed.

    Raises:
        InputError: something needed is absent, or a download failed.
    """
    pins = pinned(lock)
    recipe = " ".join((SUITE, *PACKAGES, *pins))
    target = work / f"{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    for tool in ("apt-get", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise InputError(f"expected {tool} to unpack Debian's packages, found none: run this on Debian or Ubuntu")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="unfinished-") as unfinished:
        whole = Path(unfinished) / "whole"
        unpack_packages(Path(unfinished), whole / "root", SUITE, "arm64", PACKAGES)
        _fetch_qemu(Path(unfinished), whole)
        _fetch_wheels(whole / "site", pins)
        if not target.is_dir():  # another run may have been quicker
            whole.rename(target)
    return target


def pinned(lock: Path) -> list[str]:
    """The pins of WHEELS in a requirements.lock, as they hold for an aarch64 Linux with Python `PYTHON`.

    Raises:
        InputError: one is not pinned.
    """
    place = {
        "python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "implementation_name": "cpython",
        "sys_platform": "linux", "platform_machine": "aarch64",
    }  # fmt: skip
    lines = [line for line in lock.read_text().splitlines() if line.startswith(tuple(f"{name}==" for name in WHEELS))]
    requirements = [Requirement(line) for line in lines]
    pins = {r.name: f"{r.name}{r.specifier}" for r in requirements if r.marker is None or r.marker.evaluate(place)}
    for name in WHEELS:
        if name not in pins:
            raise InputError(f"expected {name} pinned for Python {PYTHON} in {lock}, found none: run `make lock`")
    return [pins[name] for name in WHEELS]


def unpack_packages(scratch: Path, root: Path, suite: str, architecture: str, packages: Sequence[str]) -> None:
    """Download packages and all that they depend on through apt, keeping to `scratch`, and unpack them into `root`.

    Raises:
        InputError: something needed is absent, or a download failed.
    """
    environment = {**os.environ, "APT_CONFIG": str(_apt_configuration(scratch, suite, architecture))}
    _update(suite, environment)
    run_program(["apt-get", "install", "-yqq", "--download-only", *packages], f"Debian {suite}'s packages", environment)
    for folder in ("lib", "lib64"):  # where programs look for their loader
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for archive in sorted((scratch / "cache" / "archives").glob("*.deb")):
        run_program(["dpkg-deb", "--extract", str(archive), str(root)], f"a whole package {archive.name}")


def _update(suite: str, environment: dict[str, str]) -> None:
    """Fetch the lists of what there is."""
    run_program(
        ["apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any"], f"Debian {suite}'s lists", environment
    )


def _fetch_qemu(scratch: Path, whole: Path) -> None:
    """Download trixie's QEMU through the apt configuration in `scratch`, and take its emulator of aarch64."""
    environment = {**os.environ, "APT_CONFIG": str(scratch / "apt.conf")}
    run_program(["apt-get", "download", "-qq", "qemu-user:amd64"], "QEMU's package", environment, folder=scratch)
    (qemu,) = scratch.glob("qemu-user_*.deb")
    contents = scratch / "qemu.tar"
    with contents.open("wb") as tar:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(qemu)], stdout=tar, check=True)
    program = "usr/bin/qemu-aarch64"  # one of forty emulators, and it is statically linked
    run_program(["tar", "-xf", str(contents), "-C", str(scratch), f"./{program}"], f"{program} in {qemu.name}")
    (scratch / program).rename(whole / "qemu-aarch64")


def _apt_configuration(scratch: Path, suite: str, architecture: str) -> Path:
    """Write a configuration under which apt keeps to `scratch`, sees one suite for one architecture, and nothing
    installed.
    """
    if not KEYRING.exists():
        raise InputError(f"expected Debian's keys in {KEYRING}, found none: install debian-archive-keyring")
    for folder in ("lists/partial", "cache/archives/partial", "none"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    (scratch / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_debian_mirror()} {suite} main\n")
    options = {
        "APT::Architecture": architecture, "APT::Install-Recommends": "false", "APT::Sandbox::User": "",
        "Dir::State": scratch, "Dir::State::Lists": scratch / "lists", "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache", "Dir::Cache::Archives": scratch / "cache" / "archives",
        "Dir::Etc::sourcelist": scratch / "sources.list", "Dir::Etc::sourceparts": scratch / "none",
        "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": scratch / "none",
    }  # fmt: skip
    lines = [f'{name} "{value}";' for name, value in options.items()]
    configuration = scratch / "apt.conf"
    configuration.write_text("\n".join([*lines, f'APT::Architectures {{ "{architecture}"; "amd64"; }};', ""]))
    return configuration


def _debian_mirror() -> str:
    """The Debian mirror that this machine's apt uses, or DEBIAN_MIRROR.

    Raises:
        InputError: apt knows none.
    """
    if os.environ.get("DEBIAN_MIRROR"):
        return os.environ["DEBIAN_MIRROR"]
    command = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"]
    for uri in run_program(command, "apt's sources").split():
        if uri.rstrip("/").endswith("/debian"):  # debian-security and others have other names
            return uri
    raise InputError("expected a Debian mirror among apt's sources, found none: run with DEBIAN_MIRROR=URL")


def _fetch_wheels(site: Path, pins: list[str]) -> None:
    """Unpack the aarch64 wheels into `site`."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC_MINORS] + ["manylinux2014_aarch64"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--target", str(site), "--python-version", PYTHON, "--implementation", "cp"]
    command += ["--ignore-requires-python"]  # pip holds that against the Python it runs on; the wheel's tag decides
    command += [argument for platform in platforms for argument in ("--platform", platform)]
    run_program([*command, *pins], f"aarch64 wheels of {' and '.join(pins)}")


def run_program(
    command: list[str], expected: str, environment: dict | None = None, seconds: int = 600, folder: Path | None = None
) -> str:
    """Run a program; its standard output.

    Raises:
        InputError: it failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, timeout=seconds,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"expected {expected} within {seconds} s, found it still running: try again, or give less"
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise InputError(f"expected {expected}, found {Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout
