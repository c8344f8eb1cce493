"""What Debian's ndpiReader says about a capture's flows: an oracle on the same nDPI that shares no code with us."""

import re
import subprocess
from ipaddress import ip_address
from pathlib import Path

Tuple = tuple[int, frozenset]


def application_ids(capture: Path, folder: Path) -> tuple[dict[Tuple, float], int]:
    """Run ndpiReader: its id of each known flow, and how many flows it saw, known or not."""
    table = folder / f"{capture.name}.csv"
    command = ["ndpiReader", "-i", str(capture), "-C", str(table)]
    output = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
    seen = re.search(r"Unique flows:\s+(\d+)", output)
    ids = {}
    for line in table.read_text(errors="replace").splitlines()[1:] if table.exists() else []:
        _, protocol, _, _, _, src, src_port, dst, dst_port, found, *_ = line.split(",")
        ids[flow_tuple(int(protocol), src, int(src_port), dst, int(dst_port))] = float(found)
    return ids, int(seen[1]) if seen else len(ids)


def flow_tuple(protocol: int, src: str, src_port: int, dst: str, dst_port: int) -> Tuple:
    """Protocol and the two endpoints, whichever sent first; ndpiReader knows ports of TCP and UDP alone."""
    if protocol not in (6, 17):
        src_port = dst_port = 0
    return protocol, frozenset(((_address(src), src_port), (_address(dst), dst_port)))


def _address(text: str) -> str:
    """ndpiReader prints a lone zero group as "::", even where another "::" follows."""
    return str(ip_address(text.replace("::", ":0:", text.count("::") - 1)))
