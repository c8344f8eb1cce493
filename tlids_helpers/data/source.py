"""Which rows transfer learning starts from: the source, all of it or without the target (Section 4.3)."""

from pathlib import Path

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.cleaned import WITHOUT
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import Allowed

PROTOCOLS = ("paper", "leave_target_out")
FAMILY_SOURCES = {"netflow": "nf-uq-nids", "cicflow": "cic-ton-iot"}  # for a user's own file


def source_of(target: Prepared, source: str = "") -> str:
    """The slug transfer starts from: `source` if given, else what the catalog says, else the family's.

    Raises InputError for a source that the catalog does not have, or of another family.
    """
    if source and source not in DATASETS:
        raise InputError(f"expected a source of the catalog ({', '.join(DATASETS)}), found {source!r}: correct it")
    entry = DATASETS.get(target.name)
    slug = source or (entry.source if entry and target.version else FAMILY_SOURCES[target.family])
    if DATASETS[slug].family != target.family:  # known now, and not only after the source was trained
        raise InputError(
            f"expected a source of the {target.family} family, as {target.title} is, found {slug} of the "
            f"{DATASETS[slug].family} family: choose another source"
        )
    return slug


def source_dataset(dataset: str, source: str, protocol: str) -> str:
    """The dataset that the source of `dataset` is under a protocol, such as "nf-uq-nids-without-nf-ton-iot".

    "paper": all of the source. "leave_target_out": the source without the target. No data is read. Raises InputError
    for an unknown protocol, where nothing would be left of the source, and for the paper's protocol where the source
    holds the target's captures as another version meters them: its test flows would be learned from.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"expected protocol to be one of {', '.join(PROTOCOLS)}, found {protocol!r}: correct it")
    if protocol == "leave_target_out" and dataset == source:
        raise InputError(
            f"expected a source that is more than {DATASETS[source].title} itself, found {source}: use protocol=paper"
        )
    part = own_part(dataset, source)
    if protocol == "paper" and part not in ("", dataset):
        raise InputError(
            f"expected a source that has not seen the test flows of {DATASETS[dataset].title}, found {source}, which "
            "has the same captures: use protocol=leave_target_out"
        )
    return f"{source}{WITHOUT}{part}" if protocol == "leave_target_out" and part else source


def prepare_source(target: Prepared, source: str, protocol: str, data_dir: str | Path, allowed: Allowed) -> Prepared:
    """The source's rows under a protocol, split and subsampled as the target is.

    No test row of the target is a training row of the source under either protocol, because a union is split part by
    part. A source is never split by recordings or by time: it has neither in common with the target. Raises InputError
    as `source_dataset` and `prepare.prepare` do.
    """
    dataset = source_dataset(target.name, source, protocol)
    split = "paper" if target.split in ("session", "time") else target.split
    return prepare.prepare(dataset, data_dir, split, target.seed, target.rows, allowed)


def protocols_for(target: Prepared, source: str, wanted: str) -> list[str]:
    """The protocols that make sense: "both" is one where the target is no part of the source, or is the source.

    A part's captures in another version leave leave_target_out alone.

    Raises InputError for an unknown protocol.
    """
    if wanted not in (*PROTOCOLS, "both"):
        raise InputError(f"expected protocol to be paper, leave_target_out or both, found {wanted!r}: correct it")
    if wanted != "both":
        return [wanted]
    return sensible(target.name, source)


def sensible(dataset: str, source: str) -> list[str]:
    """The protocols that make sense for a dataset and a source."""
    part = own_part(dataset, source)
    return ["paper"] if not part else list(PROTOCOLS) if part == dataset else ["leave_target_out"]


def own_part(dataset: str, source: str) -> str:
    """The part of a source that is `dataset`, or was metered from the same captures; "" where there is none."""
    entry = DATASETS.get(dataset)
    return next((part for part in (dataset, entry.captures if entry else "") if part in DATASETS[source].parts), "")
