"""Conversations as CICFlowMeter rows. Lengths are bytes of payload, times microseconds, deviations of the sample.

Unlike CICFlowMeter, `Pkt_Len_*` counts every packet once (it counts the first one twice).
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tlids_helpers.data.catalog import Dataset
from tlids_helpers.data.standin.packets import Split, both_payloads, deviation, split_gaps
from tlids_helpers.data.standin.traffic import ARCHETYPES, Flows

IDLE = 5_000_000
"""Microseconds without a packet after which CICFlowMeter calls a flow idle."""

FIRST_DAY = 1556150400  # 25 April 2019, as seconds since 1970

FLAG_BITS = {
    "FIN_Flag_Cnt": 1, "SYN_Flag_Cnt": 2, "RST_Flag_Cnt": 4, "PSH_Flag_Cnt": 8, "ACK_Flag_Cnt": 16, "URG_Flag_Cnt": 32,
    "ECE_Flag_Cnt": 64, "CWE_Flag_Count": 128,
}  # fmt: skip
ALWAYS_ZERO = (
    "Fwd_URG_Flags", "Bwd_URG_Flags", "Fwd_Byts/b_Avg", "Fwd_Pkts/b_Avg", "Fwd_Blk_Rate_Avg", "Bwd_Byts/b_Avg",
    "Bwd_Pkts/b_Avg", "Bwd_Blk_Rate_Avg",
)  # fmt: skip
SUB_CATEGORIES = {
    "Mirai": {
        "flood_udp_mirai": "Mirai-UDP Flooding", "brute_telnet": "Mirai-Hostbruteforceg",
        "flood_http": "Mirai-HTTP Flooding", "flood_ack": "Mirai-Ackflooding",
    },
    "Scan": {"scan_syn": "Scan Port OS", "scan_connect": "Scan Hostport"},
    "DoS": {"flood_syn_bare": "DoS-Synflooding"},
}  # fmt: skip
"""Sub_Cat of IoT Network Intrusion by class and archetype; the first where a row borrows from another class."""


def cicflow_frame(dataset: Dataset, flows: Flows, names: np.ndarray, addresses: np.ndarray) -> pd.DataFrame:
    """The dataset's columns in order and spelling, (n, columns).

    `names` (n,): classes; `addresses`: what `src` and `dst` number. Lengths in bytes of payload, times in microseconds.
    """
    fwd, bwd = both_payloads(flows)
    columns = (
        _who(flows, addresses)
        | _sizes(fwd, bwd)
        | _times(flows)
        | _rates(flows)
        | _headers(flows, fwd)
        | dict.fromkeys(ALWAYS_ZERO, np.zeros(len(names), np.int64))
        | _labels(dataset, flows, names)
    )
    known = {name.replace("_", " "): values for name, values in columns.items()}
    return pd.DataFrame({name: known[name.replace("_", " ")] for name in dataset.columns}, copy=False)


def _who(flows: Flows, addresses: np.ndarray) -> dict:
    """Addresses, ports, the flow's id and when it began."""
    pool = pa.array(list(addresses))
    source, target = pool.take(pa.array(flows["src"])), pool.take(pa.array(flows["dst"]))
    ends = [pc.cast(pa.array(flows[name]), pa.string()) for name in ("src_port", "dst_port", "protocol")]
    began = pa.array(flows["start"] + FIRST_DAY).cast(pa.timestamp("s"))
    text = {
        "Flow_ID": pc.binary_join_element_wise(source, target, *ends, "-"),
        "Src_IP": source,
        "Dst_IP": target,
        "Timestamp": pc.strftime(began, format="%d/%m/%Y %I:%M:%S %p"),
    }
    return {name: pd.array(values, dtype="str") for name, values in text.items()} | {
        "Src_Port": flows["src_port"],
        "Dst_Port": flows["dst_port"],
        "Protocol": flows["protocol"],
    }


def _sizes(fwd: Split, bwd: Split) -> dict:
    """Packet counts, payload lengths and all that CICFlowMeter repeats under other names."""
    columns = {}
    for way, split in (("Fwd", fwd), ("Bwd", bwd)):
        columns |= {
            f"Tot_{way}_Pkts": split.count,
            f"TotLen_{way}_Pkts": split.total,
            f"{way}_Pkt_Len_Max": split.large,
            f"{way}_Pkt_Len_Min": split.least,
            f"{way}_Pkt_Len_Mean": split.mean,
            f"{way}_Pkt_Len_Std": split.deviation,
            f"{way}_Seg_Size_Avg": split.mean,
            f"Subflow_{way}_Pkts": split.count,
            f"Subflow_{way}_Byts": split.total,
        }
    count, total = fwd.count + bwd.count, fwd.total + bwd.total
    least = np.where(bwd.count == 0, fwd.least, np.where(fwd.count == 0, bwd.least, np.minimum(fwd.least, bwd.least)))
    std = deviation(count, total, fwd.squares + bwd.squares)
    return columns | {
        "Pkt_Len_Min": least,
        "Pkt_Len_Max": np.maximum(fwd.large, bwd.large),
        "Pkt_Len_Mean": total / count,
        "Pkt_Len_Std": std,
        "Pkt_Len_Var": std**2,
        "Pkt_Size_Avg": total / count,
        "Down/Up_Ratio": bwd.count // np.maximum(fwd.count, 1),
    }


def _times(flows: Flows) -> dict:
    """Duration, inter-arrival times of the flow and of each direction, active and idle periods."""
    duration, fwd, bwd = flows["duration"], flows["fwd_pkts"], flows["bwd_pkts"]
    whole = split_gaps(fwd + bwd, duration, flows["chance_flow_gaps"])
    columns = {"Flow_Duration": duration} | _gap_columns("Flow", whole)
    columns.pop("Flow_IAT_Tot")
    for way, packets in (("fwd", fwd), ("bwd", bwd)):
        # the direction with more packets spans the flow, the other a part of it
        spanned = np.where(packets * 2 >= fwd + bwd, 1, 0.5 + 0.5 * flows[f"chance_{way}_sizes"])
        gaps = split_gaps(packets, (duration * spanned).astype(np.int64), flows[f"chance_{way}_gaps"])
        columns |= _gap_columns(way.title(), gaps)
    return columns | _active_and_idle(whole)


def _gap_columns(way: str, gaps: Split) -> dict:
    """The five inter-arrival columns of a direction; 0 where there is no gap."""
    return {
        f"{way}_IAT_Tot": gaps.total,
        f"{way}_IAT_Mean": gaps.mean,
        f"{way}_IAT_Std": gaps.deviation,
        f"{way}_IAT_Max": gaps.large,
        f"{way}_IAT_Min": gaps.least,
    }


def _active_and_idle(gaps: Split) -> dict:
    """Idle: the gaps above `IDLE`. Active: what lies between; one period unless every gap is idle, then none."""
    idle, every = gaps.large > IDLE, gaps.least > IDLE
    active = np.where(idle & ~every, gaps.total - gaps.large, 0)
    longest = np.where(idle, gaps.large, 0)
    return {
        **{f"Active_{name}": active for name in ("Mean", "Max", "Min")},
        "Active_Std": np.zeros(len(active)),
        "Idle_Mean": np.where(every, gaps.mean, longest),
        "Idle_Std": np.where(every, gaps.deviation, 0),
        "Idle_Max": longest,
        "Idle_Min": np.where(every, gaps.least, longest),
    }


def _rates(flows: Flows) -> dict:
    """Per second. Of zero duration: the flow's rates are inf, or NaN for no bytes; the directions' are 0."""
    seconds = flows["duration"] / 1e6
    fwd, bwd = flows["fwd_pkts"], flows["bwd_pkts"]
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = {
            "Flow_Byts/s": (flows["fwd_payload"] + flows["bwd_payload"]) / seconds,
            "Flow_Pkts/s": (fwd + bwd) / seconds,
        }
    per_way = {"Fwd_Pkts/s": fwd, "Bwd_Pkts/s": bwd}
    zeros = np.zeros(len(seconds))
    return rates | {
        name: np.divide(count, seconds, out=zeros.copy(), where=seconds > 0) for name, count in per_way.items()
    }


def _headers(flows: Flows, fwd: Split) -> dict:
    """Transport headers, TCP flags (1 if any packet had it) and windows (-1 without TCP)."""
    either = flows["fwd_flags"] | flows["bwd_flags"]
    tcp = flows["protocol"] == 6
    columns = {name: (either & bit > 0).astype(np.int64) for name, bit in FLAG_BITS.items()}
    for way in ("fwd", "bwd"):
        sent = flows[f"{way}_pkts"] > 0
        columns |= {
            f"{way.title()}_Header_Len": (flows[f"{way}_header"] - 20) * flows[f"{way}_pkts"],
            f"{way.title()}_PSH_Flags": (flows[f"{way}_flags"] & 8 > 0).astype(np.int64),
            f"Init_{way.title()}_Win_Byts": np.where(tcp & sent, flows[f"{way}_window"], -1),
        }
    data = fwd.many + fwd.full * (fwd.large > 0)
    return columns | {"Fwd_Act_Data_Pkts": data, "Fwd_Seg_Size_Min": flows["fwd_header"] - 20}


def _labels(dataset: Dataset, flows: Flows, names: np.ndarray) -> dict:
    """The class in the dataset's label column, and what its other label columns say."""
    attack = names != dataset.benign
    columns = {"Label": attack.astype(np.int64)}
    if "Sub_Cat" in dataset.columns:
        columns = {"Label": np.where(attack, "Anomaly", "Normal").astype(object)}
        columns["Sub_Cat"] = _sub_categories(flows, names)
    return columns | {dataset.label: names}


def _sub_categories(flows: Flows, names: np.ndarray) -> np.ndarray:
    """Sub_Cat of each row: the class itself where it has no sub-categories."""
    found = names.copy()
    order = list(ARCHETYPES)
    for name, by_archetype in SUB_CATEGORIES.items():
        found[names == name] = next(iter(by_archetype.values()))
        for archetype, sub_category in by_archetype.items():
            found[(names == name) & (flows["archetype"] == order.index(archetype))] = sub_category
    return found
