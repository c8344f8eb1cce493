"""The machine a benchmark ran on, without its name: processor, cores, memory, system, versions."""

import os
import platform
from pathlib import Path

import bench_edge

from tlids_helpers.results import runs

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "jax", "ai-edge-litert", "numpy", "pandas", "pyarrow",
            "scikit-learn", "polars", "distributed", "nfstream", "pyshark")  # fmt: skip


def describe() -> dict[str, str]:
    """Fact -> what it is here, all text."""
    versions = runs.versions(PACKAGES, with_python=False)
    return {
        "processor": bench_edge.machine().rsplit(",", 1)[0],
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{system()}, {platform.machine()}",
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def cores() -> int:
    """Cores this process may use; Linux tells, elsewhere it is all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def system() -> str:
    """The operating system as it calls itself."""
    if Path("/etc/os-release").is_file():
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{platform.system()} {platform.release()}"
