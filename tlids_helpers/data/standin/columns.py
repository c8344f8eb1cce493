"""Made-up conversations in a dataset's columns: NetFlow or CICFlowMeter.

The nine features, addresses, times and labels are written from the conversation. The many other columns are filler:
numbers from 0 to 999 that mean nothing. The directions are called forward ("fwd") and backward ("bwd").
"""

import numpy as np
import pandas as pd

from tlids_helpers.data.catalog import Dataset

FIRST_DAY = 1556150400  # 25 April 2019, in seconds since 1970
DAY_S = 86_400


def netflow(dataset: Dataset, flows: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    """The dataset's columns in order, (n, columns), for conversations (n, ...) and classes (n,). Bytes are of IP."""
    header = np.where(flows["protocol"] == 6, 40, 28)
    known = {
        "IPV4_SRC_ADDR": flows["source"],
        "IPV4_DST_ADDR": flows["destination"],
        "L4_SRC_PORT": flows["src_port"],
        "L4_DST_PORT": flows["dst_port"],
        "PROTOCOL": flows["protocol"],
        "L7_PROTO": flows["l7"],
        "IN_PKTS": flows["fwd_packets"],
        "OUT_PKTS": flows["bwd_packets"],
        "IN_BYTES": flows["fwd_bytes"] + header * flows["fwd_packets"],
        "OUT_BYTES": flows["bwd_bytes"] + header * flows["bwd_packets"],
        "TCP_FLAGS": flows["flags"],
        "FLOW_DURATION_MILLISECONDS": flows["microseconds"] // 1000,
        "FLOW_START_MILLISECONDS": _seconds(flows) * 1000,
        "FLOW_END_MILLISECONDS": _seconds(flows) * 1000 + flows["microseconds"] // 1000,
        "Label": (labels != dataset.benign).astype(int),
        "Attack": labels,
    }
    return _in_order(dataset, known, flows)


def cicflow(dataset: Dataset, flows: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    """The same for CICFlowMeter, in the dataset's spelling. Bytes are of payload, times in microseconds.

    A flow that lasts no time has an infinite rate, or NaN where it carried no byte, as in the published files.
    """
    seconds = flows["microseconds"] / 1e6
    ends = flows[["source", "destination", "src_port", "dst_port", "protocol"]].astype(str)
    attack = labels != dataset.benign
    known = {
        "Flow_ID": ends.agg("-".join, axis=1),
        "Src_IP": flows["source"],
        "Dst_IP": flows["destination"],
        "Src_Port": flows["src_port"],
        "Dst_Port": flows["dst_port"],
        "Protocol": flows["protocol"],
        "Timestamp": _timestamps(flows),
        "Flow_Duration": flows["microseconds"],
        "Flow_Byts/s": (flows["fwd_bytes"] + flows["bwd_bytes"]) / seconds,
        "Flow_Pkts/s": (flows["fwd_packets"] + flows["bwd_packets"]) / seconds,
        **_direction("Fwd", flows["fwd_packets"], flows["fwd_bytes"], flows),
        **_direction("Bwd", flows["bwd_packets"], flows["bwd_bytes"], flows),
        "Label": np.where(attack, "Anomaly", "Normal") if "Sub_Cat" in dataset.columns else attack.astype(int),
        "Sub_Cat": labels,
        dataset.label: labels,
    }
    return _in_order(dataset, known, flows)


def _direction(way: str, packets: pd.Series, total: pd.Series, flows: pd.DataFrame) -> dict:
    """Packets, bytes, sizes, gaps and initial window of one direction; 0 where there is no second packet."""
    several = packets > 1
    gap = (flows["microseconds"] / (packets - 1).clip(1)).where(several, 0)
    mean = total / packets.clip(1)
    return {
        f"Tot_{way}_Pkts": packets,
        f"TotLen_{way}_Pkts": total,
        f"Subflow_{way}_Pkts": packets,
        f"Subflow_{way}_Byts": total,
        f"{way}_Pkt_Len_Mean": mean,
        f"{way}_Pkt_Len_Std": (mean / 2).where(several, 0),
        f"{way}_IAT_Tot": flows["microseconds"].where(several, 0),
        f"{way}_IAT_Mean": gap,
        f"{way}_IAT_Min": gap // 10,
        f"Init_{way}_Win_Byts": flows["window"].where(packets > 0, -1),
    }


def _seconds(flows: pd.DataFrame) -> pd.Series:
    return FIRST_DAY + flows["chance"] % DAY_S


def _timestamps(flows: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(_seconds(flows), unit="s").dt.strftime("%d/%m/%Y %I:%M:%S %p")


def _in_order(dataset: Dataset, known: dict, flows: pd.DataFrame) -> pd.DataFrame:
    """The dataset's columns: those known, under its spelling, and filler for the others."""
    by_name = {name.replace("_", " "): values for name, values in known.items()}
    columns = {
        name: by_name.get(name.replace("_", " "), flows["chance"] * (2 * number + 1) % 1000)
        for number, name in enumerate(dataset.columns)
    }
    return pd.DataFrame(columns)
