"""Stand-in rows for a dataset that is not on disk.

**This is made-up traffic.** It has a dataset's exact columns, classes in the published proportions, and the file's
quirks, so that every code path can be run, tested and shown without the dataset. It is for code paths and not for
conclusions: no number measured on it says anything about the dataset, and every table and plot made from it is
marked `simulated`.

A class is a mixture of archetypes (`mixes`), an archetype is one kind of conversation
(`traffic`), and a conversation is written as a NetFlow row (`netflow`) or a CICFlowMeter row
(`cicflow`). All that is random happens before the writing, so equal conversations give equal rows.
"""

import math
import zlib

import numpy as np
import pandas as pd

from tlids_helpers.data.catalog import DATASETS, PARENTS, Dataset
from tlids_helpers.data.raw import PART_COLUMN
from tlids_helpers.data.standin.cicflow import cicflow_frame
from tlids_helpers.data.standin.mixes import class_mix, site_roles
from tlids_helpers.data.standin.netflow import netflow_frame
from tlids_helpers.data.standin.traffic import ARCHETYPES, Archetype, Flows, draw

FLOOR = 40
"""Rows of the rarest class: enough to lie on both sides of a split and in a validation part."""

DUPLICATES = {"iot-network-intrusion": 0.26, "nf-bot-iot-v2": 0.3}
"""Share of rows that repeat an earlier row: published for the first; in the second, a third of a real sample repeats
on the nine features, of which its floods' few sizes give the rest."""
DUPLICATES_UNKNOWN = 0.02  # where nobody has published a rate

CONFLICTS = 0.002
"""Share of rows that carry a row's features under another label; the real BoT-IoT sample has 0.5 %."""

REVERSED = 0.03
"""Share of answered conversations that the meter saw from the answer on, so source and destination are swapped."""

ZERO_DURATION = {"cic-ton-iot": 1177 / 5351760, "iot-network-intrusion": 736 / 625783}
"""Share of CICFlowMeter rows of zero duration, hence with inf; at least `FEWEST_ZERO_DURATION` rows."""
ZERO_DURATION_UNKNOWN = 0.001
FEWEST_ZERO_DURATION = 6

BENIGN_SHARE_UNKNOWN = 0.5
"""Where no class counts are published: half of the rows are benign, the attacks share the other half equally."""


def simulate(dataset: Dataset, rows: int = 10_000, seed: int = 42) -> pd.DataFrame:
    """A stand-in for the dataset's raw file: its columns in order, rows shuffled, the same for the same arguments.

    It has max(rows, FLOOR * number of classes) rows, for a union (see `part_rows`) the sum of its parts' rows.
    Every dataset draws from its own stream. A union has the column `Dataset` besides: the title of a row's part.
    """
    if dataset.parts:
        return _union(dataset, rows, seed)
    rng = np.random.default_rng([seed, zlib.crc32(dataset.slug.encode())])
    counts = class_counts(dataset, rows)
    flows, labels = _conversations(dataset, counts, rng)
    if dataset.family == "cicflow":
        _stop_clocks(dataset, flows, rng)
    kept = _repeat(dataset, labels, _borrow(labels, rng), rng)
    order = rng.permutation(len(labels))
    flows = {name: values[kept[order]] for name, values in flows.items()}
    names = np.array(list(counts), dtype=object)[labels[order]]
    addresses = np.array(_pool(dataset), dtype=object)
    write = netflow_frame if dataset.family == "netflow" else cicflow_frame
    return write(dataset, flows, names, addresses)


def part_rows(dataset: Dataset, rows: int) -> dict[str, int]:
    """Slug -> rows asked of each part of a union: in proportion to the published totals, adding up to `rows`."""
    totals = {slug: DATASETS[slug].total for slug in dataset.parts}
    return _largest_remainder(totals, rows)


def _union(dataset: Dataset, rows: int, seed: int) -> pd.DataFrame:
    """The parts' stand-ins under the union's class names, shuffled together; each is `simulate(part, ..., seed)`."""
    frames = []
    for slug, share in part_rows(dataset, rows).items():
        frame = simulate(DATASETS[slug], share, seed)
        frame[dataset.label] = frame[dataset.label].map(lambda name: PARENTS.get(name, name))
        frame[PART_COLUMN] = DATASETS[slug].title
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    rng = np.random.default_rng([seed, zlib.crc32(dataset.slug.encode())])
    return whole.take(rng.permutation(len(whole))).reset_index(drop=True)


def class_counts(dataset: Dataset, rows: int) -> dict[str, int]:
    """Class -> rows: the published proportions, at least `FLOOR` each, max(rows, FLOOR * classes) in all.

    Classes whose share would fall below the floor get the floor; the others share what is left in proportion, by
    largest remainder. Unpublished counts: see `BENIGN_SHARE_UNKNOWN`.
    """
    weights = _class_weights(dataset)
    total = max(rows, FLOOR * len(weights))
    rare: set[str] = set()
    while True:
        left = total - FLOOR * len(rare)
        mass = sum(weight for name, weight in weights.items() if name not in rare)
        below = {name for name, weight in weights.items() if name not in rare and left * weight < FLOOR * mass}
        if not below:
            break
        rare |= below
    common = _largest_remainder({name: weight for name, weight in weights.items() if name not in rare}, left)
    return {name: common.get(name, FLOOR) for name in weights}


def _class_weights(dataset: Dataset) -> dict[str, float]:
    """Class -> published rows, or the plain choice where nobody has published them."""
    if None not in dataset.classes.values():
        return dict(dataset.classes)
    attack = (1 - BENIGN_SHARE_UNKNOWN) / (len(dataset.classes) - 1)
    return {name: BENIGN_SHARE_UNKNOWN if name == dataset.benign else attack for name in dataset.classes}


def _largest_remainder(weights: dict[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to `weights` that add up to `total`."""
    mass = sum(weights.values())
    exact = {name: total * weight / mass for name, weight in weights.items()}
    whole = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: whole[name] - exact[name])
    for name in by_remainder[: total - sum(whole.values())]:
        whole[name] += 1
    return whole


def _conversations(dataset: Dataset, counts: dict[str, int], rng) -> tuple[Flows, np.ndarray]:
    """All conversations, class by class, and their class numbers."""
    blocks = []
    codes = _role_codes(dataset)
    for name, rows in counts.items():
        mix = class_mix(dataset, name)
        for archetype, share in zip(mix, rng.multinomial(rows, list(mix.values())), strict=True):
            if share:
                blocks.append(_block(archetype, int(share), codes, rng))
    flows = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    if dataset.family == "cicflow":
        _send_again(flows)
    _reverse(flows, rng)
    flows |= _chances(len(flows["protocol"]), rng)
    return flows, np.repeat(np.arange(len(counts)), list(counts.values()))


def _block(name: str, rows: int, codes: dict[str, np.ndarray], rng) -> Flows:
    """One archetype's conversations with their addresses."""
    archetype = ARCHETYPES[name]
    flows = draw(archetype, rows, rng)
    flows["src"], flows["dst"] = _addresses(archetype, rows, codes, rng)
    flows["archetype"] = np.full(rows, list(ARCHETYPES).index(name))
    return flows


def _addresses(archetype: Archetype, rows: int, codes: dict[str, np.ndarray], rng) -> tuple[np.ndarray, np.ndarray]:
    """Source and destination as numbers into the pool. A role's first hosts are the busiest."""
    source, target = (codes[role] for role in archetype.roles)
    if archetype.one_source:
        source, target = source[rng.integers(len(source))][None], target[: rng.integers(1, 4)]
    return tuple(hosts[(len(hosts) * rng.random(rows) ** 1.5).astype(int)] for hosts in (source, target))


def _pool(dataset: Dataset) -> list[str]:
    """Every address of the testbed once."""
    return list(dict.fromkeys(address for hosts in site_roles(dataset).values() for address in hosts))


def _role_codes(dataset: Dataset) -> dict[str, np.ndarray]:
    """Role -> numbers of its hosts in the pool."""
    number = {address: index for index, address in enumerate(_pool(dataset))}
    return {role: np.array([number[host] for host in hosts]) for role, hosts in site_roles(dataset).items()}


def _send_again(flows: Flows) -> None:
    """CICFlowMeter reports no flow of one packet: a lone one is sent twice."""
    lone = flows["fwd_pkts"] + flows["bwd_pkts"] == 1
    flows["fwd_pkts"] += lone
    flows["fwd_payload"] *= 1 + lone


def _reverse(flows: Flows, rng) -> None:
    """Swap both ends of a few answered conversations, as meters do that missed the first packet."""
    swapped = (rng.random(len(flows["protocol"])) < REVERSED) & (flows["bwd_pkts"] > 0)
    pairs = [("src", "dst"), ("src_port", "dst_port")]
    pairs += [(f"fwd_{name}", f"bwd_{name}") for name in ("pkts", "payload", "header", "flags", "window")]
    for one, other in pairs:
        flows[one], flows[other] = (
            np.where(swapped, flows[other], flows[one]), np.where(swapped, flows[one], flows[other]),
        )  # fmt: skip


def _chances(rows: int, rng) -> Flows:
    """Numbers in [0, 1) that the writing uses where a conversation leaves something open, and its start."""
    names = ("fwd_sizes", "bwd_sizes", "flow_gaps", "fwd_gaps", "bwd_gaps", "fwd_data", "bwd_data", "other")
    chances = {f"chance_{name}": rng.random(rows, dtype=np.float32) for name in names}
    return chances | {"start": rng.integers(0, 5 * 86_400, rows)}


def _stop_clocks(dataset: Dataset, flows: Flows, rng) -> None:
    """A few flows of zero duration: their rates are inf, or NaN where no byte was carried."""
    share = ZERO_DURATION.get(dataset.slug, ZERO_DURATION_UNKNOWN)
    rows = len(flows["duration"])
    count = min(rows, max(FEWEST_ZERO_DURATION, round(share * rows)))
    short = np.flatnonzero(flows["fwd_pkts"] + flows["bwd_pkts"] <= 4)
    flows["duration"][rng.choice(short, min(count, len(short)), replace=False)] = 0


def _borrow(labels: np.ndarray, rng) -> np.ndarray:
    """Row numbers to take features from: its own, but for `CONFLICTS` of the rows another class's."""
    kept = np.arange(len(labels))
    takers = rng.choice(len(labels), round(CONFLICTS * len(labels)), replace=False)
    givers = rng.integers(0, len(labels), len(takers))
    differ = labels[takers] != labels[givers]
    kept[takers[differ]] = givers[differ]
    return kept


def _repeat(dataset: Dataset, labels: np.ndarray, kept: np.ndarray, rng) -> np.ndarray:
    """`kept` with the dataset's share of exact duplicates, class by class, each a copy of a row that stays."""
    share = DUPLICATES.get(dataset.slug, DUPLICATES_UNKNOWN)
    for label in range(labels.max() + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(share * len(members))
        kept[members[:count]] = kept[members[count:][rng.integers(0, len(members) - count, count)]]
    return kept
