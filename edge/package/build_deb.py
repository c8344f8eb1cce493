#!/usr/bin/env python3
"""Build tlids-edge_VERSION_ARCH.deb for Debian trixie and Raspberry Pi OS 13, without root and reproducibly.

    python3 edge/package/build_deb.py arm64 -o dist        # needs dpkg-deb, pip for LiteRT's wheel, zig (make deb)

The package holds tlids_edge with its compiled meter, the files of ai-edge-litert that it loads (checked against
litert.sha256), the shipped model, two systemd units and their settings. Everything else comes from Debian. Two builds
of one commit are equal byte for byte: times are SOURCE_DATE_EPOCH's, or the last commit's.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from compile_core import compile_core

HERE = Path(__file__).resolve().parent
EDGE = HERE.parent
PRIVATE = Path("usr/lib/tlids-edge")  # no module of ours is on Debian's own path
SHARE = Path("usr/share/tlids-edge")
PINNED = SHARE / "pinned.sha256"
PYTHON = "313"  # trixie's
LITERT = "2.3.0"
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
# what `import ai_edge_litert.interpreter` opens; the rest of the wheel is 50 MB of tools
LITERT_FILES = (
    "__init__.py", "interpreter.py", "metrics_interface.py", "metrics_portable.py",
    "_pywrap_litert_interpreter_wrapper.so", "libpywrap_litert_common.so", "libLiteRt.so",
)  # fmt: skip
DEPENDS = (
    "libc6 (>= 2.36), libstdc++6, python3 (>= 3.13), python3 (<< 3.14), python3-numpy, python3-paho-mqtt, tcpdump, "
    "libcap2-bin, libndpi4.2t64, procps"
)
UNITS = ("tlids-edge.service", "tlids-capture.socket", "tlids-capture@.service")
COMMANDS = {"tlids-edge": "edge", "tlids-meter": "meter"}  # functions of tlids_edge.cli.start
PAGES = (
    "edge/README.md", "edge/DETAILS.md", "edge/MANUAL.md", "edge/MEASURED.md", "edge/SECURITY.md", "docs/inputs.md",
    "docs/your-own-network.md",
)  # fmt: skip
LINK = re.compile(r"\[([^]]+)\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")
PROGRAM = """#!/usr/bin/python3
import sys

sys.path.insert(0, "/{private}")
from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    """Build the package and print its path and digest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architecture", choices=sorted(MACHINES))
    parser.add_argument("-o", "--into", type=Path, default=Path("dist"), metavar="FOLDER")
    parser.add_argument("--model", type=Path, default=EDGE / "models/testbed", metavar="DIR", help="the model to ship")
    options = parser.parse_args()
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "root")
        stage(root, options.architecture, options.model, Path(scratch, "wheel"))
        package = pack(root, options.architecture, options.into)
    print(package, hashlib.sha256(package.read_bytes()).hexdigest())
    return 0


def stage(root: Path, architecture: str, model: Path, wheel: Path) -> None:
    """Lay out the package's files under `root`."""
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "*.h", "tlids-ring")  # not this machine's builds
    shutil.copytree(EDGE / "tlids_edge", root / PRIVATE / "tlids_edge", ignore=left_out)
    compile_core(MACHINES[architecture], root / PRIVATE)
    unpack_litert(fetch_litert(architecture, wheel), root / PRIVATE, architecture)
    for name, function in COMMANDS.items():
        program(root / "usr/bin" / name, "tlids_edge.cli.start", function)
    program(root / PRIVATE / "tlids-capture", "tlids_edge.capture.feeder")
    shutil.copytree(model, root / SHARE / "models" / model.name)
    for unit in UNITS:
        copy(HERE / unit, root / "usr/lib/systemd/system" / unit)
    copy(HERE / "sysusers.conf", root / "usr/lib/sysusers.d/tlids-edge.conf")
    copy(HERE / "default", root / "etc/default/tlids-edge")
    pin(root)
    documents(root / "usr/share/doc/tlids-edge")
    copy(HERE / "lintian-overrides", root / "usr/share/lintian/overrides/tlids-edge")
    control(root, architecture)


def fetch_litert(architecture: str, folder: Path) -> Path:
    """LiteRT's wheel for trixie's Python, from the package index that pip is set up for."""
    machine = MACHINES[architecture]
    tags = [word for number in ("2_27", "2_17") for word in ("--platform", f"manylinux_{number}_{machine}")]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, *tags, "-d", str(folder),
            f"ai-edge-litert=={LITERT}",
        ],
        check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def unpack_litert(wheel: Path, folder: Path, architecture: str) -> None:
    """Take LITERT_FILES and the licence out of a wheel; each must have the digest in litert.sha256."""
    expected = dict(reversed(line.split("  ")) for line in (HERE / "litert.sha256").read_text().splitlines())
    with zipfile.ZipFile(wheel) as archive:
        for name in LITERT_FILES:
            content = archive.read(f"ai_edge_litert/{name}")
            found = hashlib.sha256(content).hexdigest()
            if expected.get(f"{architecture}/{name}") != found:
                sys.exit(f"expected {name} of LiteRT {LITERT} as litert.sha256 lists it, found SHA-256 {found}: stop")
            target = folder / "ai_edge_litert" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def program(path: Path, module: str, function: str = "main") -> None:
    """A command that runs a function of a module with the private folder on its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROGRAM.format(private=PRIVATE, module=module, function=function), encoding="utf-8")
    path.chmod(0o755)


def pin(root: Path) -> None:
    """PINNED: the SHA-256 of each program, library and model file; the service starts only while they are equal."""
    files = sorted(path for top in (PRIVATE, SHARE) for path in (root / top).rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  /{path.relative_to(root)}\n" for path in files]
    (root / PINNED).write_text("".join(lines), encoding="ascii")


def documents(folder: Path) -> None:
    """Copyright, changelog and the pages."""
    copy(HERE / "copyright", folder / "copyright")
    for page in PAGES:
        (folder / Path(page).name).write_text(linked(page), encoding="utf-8")
        (folder / Path(page).name).chmod(0o644)
    with open(folder / "changelog.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write((HERE / "changelog").read_bytes())


def linked(page: str) -> str:
    """A page's text for one folder: links to other PAGES are their names, and links to anything else are plain text."""
    beside = {EDGE.parent / other for other in PAGES}

    def replace(link: re.Match) -> str:
        target = (EDGE.parent / page).parent.joinpath(link[2]).resolve()
        return f"[{link[1]}]({target.name}{link[3] or ''})" if target in beside else link[1]

    return LINK.sub(replace, (EDGE.parent / page).read_text(encoding="utf-8"))


def control(root: Path, architecture: str) -> None:
    """DEBIAN/: what the package is, its settings, its scripts and the digests of its files."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    fields = (HERE / "control").read_text(encoding="utf-8")
    folder = root / "DEBIAN"
    folder.mkdir()
    text = fields.format(version=version(), architecture=architecture, size=size, depends=DEPENDS)
    (folder / "control").write_text(text, encoding="utf-8")
    (folder / "conffiles").write_text("/etc/default/tlids-edge\n", encoding="ascii")
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]
    (folder / "md5sums").write_text("".join(line for line in sums if "  etc/" not in line), encoding="utf-8")
    for script in ("postinst", "prerm", "postrm"):
        copy(HERE / script, folder / script, 0o755)


def pack(root: Path, architecture: str, into: Path) -> Path:
    """Give every file one time, and build the archive; it appears under its name only when it is whole."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or last_commit()
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (int(epoch), int(epoch)))
    into.mkdir(parents=True, exist_ok=True)
    package = into / f"tlids-edge_{version()}_{architecture}.deb"
    made = into / f".{package.name}.part"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--threads-max=1", "--build", str(root), str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": epoch})
    return made.replace(package)


def last_commit() -> str:
    """When the last commit was made, in seconds since 1970."""
    command = ["git", "-C", str(HERE), "log", "-1", "--format=%ct"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def version() -> str:
    """The version in edge/pyproject.toml."""
    return tomllib.loads((EDGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def copy(source: Path, target: Path, mode: int = 0o644) -> None:
    """Copy one file into a folder that is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


if __name__ == "__main__":
    sys.exit(main())
