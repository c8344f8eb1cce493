"""The disk of an emulated Pi: Debian trixie for arm64 with all that the package depends on, and the package not yet.

It is made once, by mmdebstrap under QEMU's user emulation (root), and kept in build/pi under a digest of its recipe.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tlids_edge.errors import InputError

HERE = Path(__file__).resolve().parent
SUITE = "trixie"
DEPENDS = (
    "python3", "python3-numpy", "python3-paho-mqtt", "tcpdump", "libcap2-bin", "libndpi4.2t64", "libstdc++6", "procps",
)  # fmt: skip
SYSTEM = (
    "systemd", "systemd-sysv", "udev", "dbus", "linux-image-arm64", "initramfs-tools", "iproute2", "kmod", "login",
    "e2fsprogs", "apt", "logrotate", "mosquitto", "mosquitto-clients", "nmap", "tcpreplay",
)  # fmt: skip
HOST = {
    "mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "qemu-system-aarch64": "qemu-system-arm",
    "qemu-aarch64-static": "qemu-user-static", "mke2fs": "e2fsprogs", "fsck.ext4": "e2fsprogs",
}  # fmt: skip
DISK_GB = 4  # an SD card of QEMU has a power of two
# what both machines need to reach their disks, compressed quickly: made under emulation, most of the modules take long
INITRD = {
    "etc/initramfs-tools/conf.d/pi": ("COMPRESSLEVEL=1", "MODULES=list"),
    "usr/share/initramfs-tools/modules.d/pi": (
        "virtio_pci", "virtio_blk", "ext4", "mmc_block", "bcm2835", "sdhci_iproc",
    ),
}  # fmt: skip
BOOTSTRAP_S = 4 * 3600
PARTS = {
    "vmlinuz": "vmlinuz", "initrd.img": "initrd.img",
    "board.dtb": "usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb",
}  # fmt: skip
AGENT = """[Unit]
Description=Runs the checks' commands
DefaultDependencies=yes
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/agent.py
Restart=always
RestartSec=1
StartLimitIntervalSec=0
[Install]
WantedBy=multi-user.target
"""
HOME = """[Unit]
Description=The cable
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/lib/home.sh
[Install]
WantedBy=multi-user.target
"""
FSTAB = "LABEL=pi / ext4 defaults 0 1\nLABEL=cargo /cargo ext4 ro,nofail 0 0\n"


@dataclass(frozen=True)
class System:
    """The parts to boot, all in one folder."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def board(self) -> Path:
        """The device tree of a Raspberry Pi 3 B."""
        return self.folder / "board.dtb"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"


def base(work: Path) -> System:
    """The system made before, or a new one (about 250 MB to download, some minutes).

    Raises:
        InputError: something needed is absent, or Debian's tools failed.
    """
    check_host()
    recipe = repr((SUITE, DEPENDS, SYSTEM, INITRD, DISK_GB, AGENT, HOME, FSTAB)).encode()
    recipe += b"".join((HERE / name).read_bytes() for name in ("agent.py", "home.sh"))
    target = work / f"{SUITE}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not target.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work, prefix="unfinished-") as unfinished:
            whole = Path(unfinished, "whole")
            whole.mkdir()
            make(Path(unfinished, "root"), whole)
            whole.rename(target)
    return System(target)


def check_host() -> None:
    """See that the tools are here, and that programs for arm64 can run.

    Raises:
        InputError: not root, or a tool is absent.
    """
    if os.geteuid() != 0:
        raise InputError("expected root, found another user: mmdebstrap makes root's files; run `sudo make test-pi`")
    missing = sorted({package for tool, package in HOST.items() if not shutil.which(tool)})
    if missing:
        raise InputError(f"expected Debian's tools, found no {' '.join(missing)}: apt install {' '.join(missing)}")
    formats = Path("/proc/sys/fs/binfmt_misc")
    if not (formats / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", str(formats))
    if not (formats / "qemu-aarch64").exists():
        run("update-binfmts", "--import", "qemu-aarch64")


def make(root: Path, whole: Path) -> None:
    """Bootstrap into `root`, add the checks' own files, and write kernel, initrd and disk into `whole`."""
    packages = ",".join((*DEPENDS, *SYSTEM))
    options = ("--quiet", "--variant=minbase", "--mode=root", "--architectures=arm64", "--dpkgopt=force-unsafe-io")
    quick = "; ".join(
        f'mkdir -p "$1/{Path(name).parent}"; printf "%s\\n" {" ".join(lines)} > "$1/{name}"'
        for name, lines in INITRD.items()
    )
    command = ("mmdebstrap", *options, f"--essential-hook={quick}", f"--include={packages}", SUITE, str(root))
    # its /proc and /sys are mounted in a namespace of its own: cleaning up after a failure must not meet them
    run("unshare", "--mount", *command, limit=BOOTSTRAP_S)
    furnish(root)
    for name, pattern in PARTS.items():
        shutil.copy(next(root.glob(pattern)), whole / name)
    image(root, whole / "disk.img", "pi", DISK_GB * 1024)


def furnish(root: Path) -> None:
    """The checks' channel, the cable, and no clean-up of what the checks look at."""
    library, units = root / "usr/local/lib", root / "etc/systemd/system"
    for name in ("agent.py", "home.sh"):
        shutil.copy(HERE / name, library / name)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for name, text in (("agent.service", AGENT), ("home.service", HOME)):
        (units / name).write_text(text)
        (wanted / name).symlink_to(units.relative_to(root).joinpath(name).as_posix().join(("/", "")))
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/hostname").write_text("pi\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")  # it has booted before: no first set-up
    for name in ("etc/.updated", "var/.updated"):
        (root / name).touch()
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "cargo").mkdir()


def image(folder: Path, disk: Path, label: str, megabytes: int) -> None:
    """An ext4 file system with what lies in `folder`, written without mounting anything."""
    run("mke2fs", "-q", "-t", "ext4", "-L", label, "-d", str(folder), str(disk), f"{megabytes}M")


def run(*command: str, limit: int = 3600) -> str:
    """Run one of Debian's tools; what it printed.

    Raises:
        InputError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise InputError(f"expected {command[0]} to succeed, found status {done.returncode}: {' / '.join(said)}")
    return done.stdout
