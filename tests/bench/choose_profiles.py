"""Which devices have a profile (`tlids_edge.learn.profiles.Limits`): for `make choose-recipe`, on what judges nothing.

False novelty is counted on the four devices' first day, of which the first 16 or 6 hours are learned and the rest is
judged, and on each half of the testbed's first session, where the other half's benign flows are learned. No model takes
part. A learning period is what is learned, so that it has 144 windows whatever its length.
"""

from dataclasses import asdict
from itertools import product

import numpy as np
from adapt_homes import NOVELTY_FLOWS, bursts
from choose_rates import parted, taken
from tlids_edge.flows.labels import BENIGN
from tlids_edge.flows.meter import Flow
from tlids_edge.flows.rows import of_flows
from tlids_edge.learn import codes, profiles
from tlids_edge.learn.codes import BITS, KINDS, SALT_BYTES
from tlids_edge.learn.keep import SEEN, WINDOWS
from tlids_edge.learn.profiles import LIMITS, Limits, Uses

GRID = [Limits(*each) for each in product((8, 16, 32), (8, 16, 32), (12, 36, 72))]
SPLITS = {"four devices, 16 h learned": 2 / 3, "four devices, 6 h learned": 1 / 4}  # share of the day
TESTBED = "testbed, half learned"
COLUMNS = (*SPLITS, TESTBED)
SALT = bytes(range(SALT_BYTES))


def chosen(day: list[Flow], session: list[Flow], classes: list[str]) -> dict:
    """The figures of all limits, and of those in use."""
    table = [asdict(limits) | figures(limits, day, session, np.array(classes)) for limits in GRID]
    return {"limits": table, "taken": table[GRID.index(LIMITS)]}


def figures(limits: Limits, day: list[Flow], session: list[Flow], classes: np.ndarray) -> dict:
    """Of each recording: profiles of services and of networks, false incidents, and the flows outside."""
    told = {name: figures_of(limits, *parted(day, share)) for name, share in SPLITS.items()}
    ends = np.array([flow.last_us for flow in session])
    benign, first = classes == BENIGN, ends < (ends.min() + ends.max()) / 2
    halves = [figures_of(limits, taken(session, benign & half), taken(session, benign & ~half))
              for half in (first, ~first)]  # fmt: skip
    return told | {TESTBED: {name: halves[0][name] + halves[1][name] for name in halves[0]}}


def figures_of(limits: Limits, early: list[Flow], late: list[Flow]) -> dict:
    """What `late` has that is new to devices after `early` was learned; all of it is false."""
    uses = learned(limits, early)
    pairs = {kind: uses.learned(kind) for kind in KINDS}
    outside = profiles.Profiles(SALT, pairs).are_new(of_flows(late))
    devices = {kind: len({pair >> BITS for pair in each}) for kind, each in pairs.items()}
    false = taken(late, outside)
    return devices | {"incidents": bursts(false, NOVELTY_FLOWS), "flows": len(false)}


def learned(limits: Limits, early: list[Flow]) -> Uses:
    """What devices use in `early`."""
    rows = of_flows(early)
    seen = np.zeros(len(rows), SEEN)
    seen["proven"], seen["owner"] = rows["proven"] > 0, codes.owners_of(rows)
    seen["used"], seen["network"] = codes.used_services_of(rows), codes.networks_of(rows)
    elapsed = np.maximum.accumulate((rows["last_us"] - rows["last_us"][0]) / 1e6)
    uses = Uses(elapsed[-1] / WINDOWS, limits, SALT)
    uses.add(seen, elapsed)
    return uses


def lines(found: dict) -> list[str]:
    """A Markdown table: the limits in use, and those that differ from them in one number."""
    best = found["taken"]
    names = ("services", "networks", "windows")
    heads = ("services at most", "networks at most", "windows at least", *COLUMNS)
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for each in found["limits"]:
        if sum(each[name] != best[name] for name in names) <= 1:
            told = [f"{one['services']} and {one['networks']}, {one['incidents']}, {one['flows']}"
                    for one in (each[name] for name in COLUMNS)]  # fmt: skip
            mark = "**" if each == best else ""
            cells = (*(str(each[name]) for name in names), *told)
            rows.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in cells) + " |")
    return rows
