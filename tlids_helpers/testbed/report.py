"""The tables of notebook 06: what the Pi's program said of the test session, in counts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tlids_helpers.results import metrics
from tlids_helpers.testbed.recordings import Recording

SIDES = ("Benign", "anomaly")


def recordings(found: Sequence[Recording], flows: pd.DataFrame) -> pd.DataFrame:
    """A row a recording: network, minutes, packets, flows, classes, benign flows; `flows` as shipped."""
    rows = []
    for recording in found:
        mine = flows[flows["Session"] == recording.name]
        minutes = (mine["LAST_SWITCHED_MS"].max() - mine["FIRST_SWITCHED_MS"].min()) / 60_000
        rows.append(
            {"recording": recording.name, "network": recording.subnet, "minutes": round(minutes, 1),
             "packets": recording.packets, "flows": len(mine), "classes": mine["Attack"].nunique(),
             "benign flows": int((mine["Attack"] == "Benign").sum())}
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("recording")


def confusion(found: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Truth against verdict (C, C) in counts; `found` as `replay.verdicts` gives it, `classes` the card's."""
    codes = {name: code for code, name in enumerate(classes)}
    return metrics.confusion(found["truth"].map(codes), found["verdict"].map(codes), len(classes))


def binary(found: pd.DataFrame, benign: str, judged: pd.Series) -> np.ndarray:
    """Benign and attack against benign and anomaly, (2, 2) in counts; `judged` says who was called an anomaly."""
    return metrics.confusion(found["truth"] != benign, judged, 2)


def recall(found: pd.DataFrame, classes: Sequence[str], judged: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Of each class with flows (its support at its name) the share that each arm calls what it should.

    `judged` maps an arm to one value a flow: True where the arm is right about it.
    """
    rows = {}
    for name in classes:
        mine = found["truth"] == name
        if mine.any():
            rows[f"{name} ({mine.sum():,})"] = {arm: right[mine].mean() for arm, right in judged.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def false_alarms(found: pd.DataFrame, benign: str, judged: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Benign flows that each arm calls an anomaly: flows, alarms, share, alarms per hour of the recording."""
    mine = found["truth"] == benign
    hours = (found["time"].max() - found["time"].min()) / 3600
    rows = {
        arm: {"benign flows": int(mine.sum()), "alarms": int(anomaly[mine].sum()),
              "share": f"{anomaly[mine].mean():.2%}", "alarms per hour": round(float(anomaly[mine].sum()) / hours, 1)}
        for arm, anomaly in judged.items()
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def judgements(found: pd.DataFrame, spans: Sequence[tuple[float, float]], judged: pd.Series, size: int) -> list[int]:
    """Anomalies among every `size` consecutive judgements of flows that ended within a span (seconds since 1970).

    Windows do not overlap and do not reach from one span into the next; what is left over at its end is left out.
    """
    counts: list[int] = []
    for start, end in spans:
        mine = judged[found["time"].between(start, end)].to_numpy()
        whole = len(mine) // size * size
        counts += mine[:whole].reshape(-1, size).sum(axis=1).tolist()
    return counts
