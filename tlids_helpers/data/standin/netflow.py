"""Conversations as NetFlow rows of version 1 or 2, the way nProbe printed them for these datasets."""

import numpy as np
import pandas as pd

from tlids_helpers.data.catalog import Dataset
from tlids_helpers.data.standin.packets import both_payloads
from tlids_helpers.data.standin.traffic import Flows

WRAP = 4294967
"""2**32 microseconds in ms: the datasets print WRAP minus the duration, an underflow of an unsigned number."""

UNWRAPPED = ("nf-ton-iot",)
"""Datasets whose printed rows show plain durations."""

TTLS = np.array([64, 64, 64, 128, 128, 63, 127, 254])
SIZE_CLASSES = (
    ("NUM_PKTS_UP_TO_128_BYTES", 0, 128), ("NUM_PKTS_128_TO_256_BYTES", 128, 256),
    ("NUM_PKTS_256_TO_512_BYTES", 256, 512), ("NUM_PKTS_512_TO_1024_BYTES", 512, 1024),
    ("NUM_PKTS_1024_TO_1514_BYTES", 1024, 1514),
)  # fmt: skip
DNS_TYPES = np.array([1, 1, 1, 28, 12, 0])
DNS_TTLS = np.array([60, 60, 20, 300, 3600])
FTP_CODES = np.array([331, 230, 530, 530, 226, 221])


def netflow_frame(dataset: Dataset, flows: Flows, names: np.ndarray, addresses: np.ndarray) -> pd.DataFrame:
    """The dataset's columns in order, (n, columns). `names` (n,): classes; `addresses`: what `src` and `dst` number."""
    milliseconds = duration_ms(flows)
    columns = _first_columns(dataset, flows, milliseconds)
    if dataset.version == 2:
        columns |= _second_columns(flows, columns, milliseconds)
    columns["IPV4_SRC_ADDR"] = addresses[flows["src"]]
    columns["IPV4_DST_ADDR"] = addresses[flows["dst"]]
    columns["Label"] = (names != dataset.benign).astype(np.int64)
    columns["Attack"] = names
    return pd.DataFrame({name: columns[name] for name in dataset.columns}, copy=False)


def duration_ms(flows: Flows) -> np.ndarray:
    """First to last packet in ms, (n,); a single packet lasts 0."""
    return np.where(flows["fwd_pkts"] + flows["bwd_pkts"] > 1, flows["duration"] // 1000, 0)


def _first_columns(dataset: Dataset, flows: Flows, milliseconds: np.ndarray) -> Flows:
    """What version 1 has, addresses and labels aside. Bytes are of the IP layer."""
    wrapped = (milliseconds > 0) & (dataset.slug not in UNWRAPPED)
    return {
        "L4_SRC_PORT": flows["src_port"],
        "L4_DST_PORT": flows["dst_port"],
        "PROTOCOL": flows["protocol"],
        "L7_PROTO": flows["l7"],
        "IN_BYTES": flows["fwd_payload"] + flows["fwd_header"] * flows["fwd_pkts"],
        "OUT_BYTES": flows["bwd_payload"] + flows["bwd_header"] * flows["bwd_pkts"],
        "IN_PKTS": flows["fwd_pkts"],
        "OUT_PKTS": flows["bwd_pkts"],
        "TCP_FLAGS": flows["fwd_flags"] | flows["bwd_flags"],
        "FLOW_DURATION_MILLISECONDS": np.where(wrapped, WRAP - milliseconds, milliseconds),
    }


def _second_columns(flows: Flows, first: Flows, milliseconds: np.ndarray) -> Flows:
    """What version 2 has besides."""
    durations = {
        "DURATION_IN": np.where(flows["fwd_pkts"] > 1, milliseconds, 0),
        "DURATION_OUT": np.where(flows["bwd_pkts"] > 1, milliseconds, 0),
    }
    durations["DURATION_IN"] = np.where(flows["bwd_pkts"] < 2, milliseconds, durations["DURATION_IN"])
    return (
        durations
        | {"CLIENT_TCP_FLAGS": flows["fwd_flags"], "SERVER_TCP_FLAGS": flows["bwd_flags"]}
        | _ttl_and_windows(flows)
        | _packet_sizes(flows)
        | _rates(first, durations)
        | _retransmitted(flows, first)
        | _applications(flows)
    )


def _ttl_and_windows(flows: Flows) -> Flows:
    """Time to live and the largest TCP window each way; 0 where there is none, and TTL 0 for one packet in ten."""
    ttl = TTLS[(flows["chance_other"] * len(TTLS)).astype(int)]
    ttl = np.where(flows["chance_fwd_gaps"] < 0.1, 0, ttl)
    return {
        "MIN_TTL": ttl,
        "MAX_TTL": ttl + ((ttl > 0) & (flows["chance_bwd_gaps"] < 0.15)),
        "TCP_WIN_MAX_IN": np.where(flows["fwd_pkts"] > 0, np.maximum(flows["fwd_window"], 0), 0),
        "TCP_WIN_MAX_OUT": np.where(flows["bwd_flags"] & 20 == 20, 0, np.maximum(flows["bwd_window"], 0))
        * (flows["bwd_pkts"] > 0),
    }


def _packet_sizes(flows: Flows) -> Flows:
    """Extremes and histogram of IP packet sizes over both directions."""
    fwd, bwd = both_payloads(flows)
    answered = bwd.count > 0
    longest = np.maximum(fwd.large + flows["fwd_header"], np.where(answered, bwd.large + flows["bwd_header"], 0))
    shortest = np.where(fwd.count > 0, fwd.least + flows["fwd_header"], 1 << 16)
    shortest = np.minimum(shortest, np.where(answered, bwd.least + flows["bwd_header"], 1 << 16))
    sizes = {
        "LONGEST_FLOW_PKT": longest, "SHORTEST_FLOW_PKT": shortest, "MAX_IP_PKT_LEN": longest,
        "MIN_IP_PKT_LEN": np.where(flows["protocol"] == 6, shortest, 0),
    }  # fmt: skip
    parts = [
        (number, size + flows[f"{way}_header"])
        for way, split in (("fwd", fwd), ("bwd", bwd))
        for number, size in ((split.zeros, 0), (split.many, split.small), (split.full, split.large))
    ]
    for name, above, upto in SIZE_CLASSES:
        sizes[name] = sum(number * ((size > above) & (size <= upto)) for number, size in parts)
    return sizes


def _rates(first: Flows, durations: Flows) -> Flows:
    """Throughput in bit/s and bytes in a second; a direction that lasts no millisecond is taken for one."""
    rates = {}
    for way, name in (("IN", "SRC_TO_DST"), ("OUT", "DST_TO_SRC")):
        octets, lasted = first[f"{way}_BYTES"], np.maximum(durations[f"DURATION_{way}"], 1)
        rates[f"{name}_AVG_THROUGHPUT"] = octets * 8000 // lasted
        rates[f"{name}_SECOND_BYTES"] = np.round(octets * 1000 / np.maximum(lasted, 1000), 1)
    return rates


def _retransmitted(flows: Flows, first: Flows) -> Flows:
    """Packets sent again, in one longer TCP conversation out of five; bytes at the direction's mean size."""
    columns = {}
    for way, name in (("fwd", "IN"), ("bwd", "OUT")):
        pkts, octets = first[f"{name}_PKTS"], first[f"{name}_BYTES"]
        some = (flows["protocol"] == 6) & (pkts > 5) & (flows[f"chance_{way}_gaps"] > 0.8)
        again = np.where(some, 1 + (pkts * 0.1 * flows[f"chance_{way}_data"]).astype(np.int64), 0)
        columns[f"RETRANSMITTED_{name}_PKTS"] = again
        columns[f"RETRANSMITTED_{name}_BYTES"] = again * (octets // np.maximum(pkts, 1))
    return columns


def _applications(flows: Flows) -> Flows:
    """ICMP, DNS and FTP fields, 0 where the flow is none of these. ICMP_TYPE is type * 256 + code."""
    chance = flows["chance_other"].astype(float)
    ports = (flows["src_port"], flows["dst_port"])
    icmp = np.where(flows["protocol"] == 1, np.where(flows["bwd_pkts"] > 0, 0, 8), 0)
    dns = (flows["protocol"] == 17) & ((ports[0] == 53) | (ports[1] == 53))
    told = (flows["protocol"] == 6) & ((ports[0] == 21) | (ports[1] == 21)) & (flows["bwd_payload"] > 0)
    query = np.where(dns, DNS_TYPES[(chance * 1e3 % 1 * len(DNS_TYPES)).astype(int)], 0)
    replied = (query > 0) & (flows["bwd_payload"] > 0)
    return {
        "ICMP_TYPE": icmp * 256,
        "ICMP_IPV4_TYPE": icmp,
        "DNS_QUERY_ID": np.where(dns, 1 + (chance * 65535).astype(np.int64), 0),
        "DNS_QUERY_TYPE": query,
        "DNS_TTL_ANSWER": np.where(replied, DNS_TTLS[(chance * len(DNS_TTLS)).astype(int)], 0),
        "FTP_COMMAND_RET_CODE": np.where(told, FTP_CODES[(chance * len(FTP_CODES)).astype(int)], 0).astype(float),
    }
