"""EVE lines that can be told apart, and what a run says of those it wrote."""

import json
import re

from edge_process import events

FLOWS = 300  # in the capture of the fixture `folder`


def numbered(count: int, start: int = 0, size: int = 0) -> list[bytes]:
    return [json.dumps({"n": n, "text": "x" * size}).encode() + b"\n" for n in range(start, start + count)]


def numbers(data: bytes) -> list[int]:
    return [event["n"] for event in events(data)]


def counts(said: bytes) -> tuple[int, int]:
    """Lines written and unwritten, as the summary has them."""
    found = re.search(rb"lines written (\d+), unwritten (\d+)", said)
    return int(found[1]), int(found[2])
