"""The datasets as data: family, columns, classes, published counts, and where to get each.

Counts are those the publishers give, those of version 3 what a third party counted; every class list adds up to its
total (a test does the sums). `None` as a count means that nobody has published it. `python -m tlids_helpers.data`
lists, gets and checks.
"""

from dataclasses import dataclass, field

from tlids_edge.flows.meter import CICFLOW_FEATURES, NETFLOW_FEATURES

FEATURES = {"netflow": NETFLOW_FEATURES, "cicflow": CICFLOW_FEATURES}
"""Tables 1 and 3 of the paper, in their order, as the meter on the Pi computes them."""

NETFLOW_V1_COLUMNS = tuple(
    "IPV4_SRC_ADDR L4_SRC_PORT IPV4_DST_ADDR L4_DST_PORT PROTOCOL L7_PROTO IN_BYTES OUT_BYTES IN_PKTS OUT_PKTS "
    "TCP_FLAGS FLOW_DURATION_MILLISECONDS Label Attack".split()
)
NETFLOW_V2_COLUMNS = tuple(
    "IPV4_SRC_ADDR L4_SRC_PORT IPV4_DST_ADDR L4_DST_PORT PROTOCOL L7_PROTO IN_BYTES IN_PKTS OUT_BYTES OUT_PKTS "
    "TCP_FLAGS CLIENT_TCP_FLAGS SERVER_TCP_FLAGS FLOW_DURATION_MILLISECONDS DURATION_IN DURATION_OUT MIN_TTL "
    "MAX_TTL LONGEST_FLOW_PKT SHORTEST_FLOW_PKT MIN_IP_PKT_LEN MAX_IP_PKT_LEN SRC_TO_DST_SECOND_BYTES "
    "DST_TO_SRC_SECOND_BYTES RETRANSMITTED_IN_BYTES RETRANSMITTED_IN_PKTS RETRANSMITTED_OUT_BYTES "
    "RETRANSMITTED_OUT_PKTS SRC_TO_DST_AVG_THROUGHPUT DST_TO_SRC_AVG_THROUGHPUT NUM_PKTS_UP_TO_128_BYTES "
    "NUM_PKTS_128_TO_256_BYTES NUM_PKTS_256_TO_512_BYTES NUM_PKTS_512_TO_1024_BYTES NUM_PKTS_1024_TO_1514_BYTES "
    "TCP_WIN_MAX_IN TCP_WIN_MAX_OUT ICMP_TYPE ICMP_IPV4_TYPE DNS_QUERY_ID DNS_QUERY_TYPE DNS_TTL_ANSWER "
    "FTP_COMMAND_RET_CODE Label Attack".split()
)
NETFLOW_V3_COLUMNS = (
    "FLOW_START_MILLISECONDS", "FLOW_END_MILLISECONDS", *NETFLOW_V2_COLUMNS[:-2],
    *(f"{way}_IAT_{what}" for way in ("SRC_TO_DST", "DST_TO_SRC") for what in ("MIN", "MAX", "AVG", "STDDEV")),
    "Label", "Attack",
)  # fmt: skip
CICFLOW_COLUMNS = tuple(
    "Flow_ID Src_IP Src_Port Dst_IP Dst_Port Protocol Timestamp Flow_Duration Tot_Fwd_Pkts Tot_Bwd_Pkts "
    "TotLen_Fwd_Pkts TotLen_Bwd_Pkts Fwd_Pkt_Len_Max Fwd_Pkt_Len_Min Fwd_Pkt_Len_Mean Fwd_Pkt_Len_Std "
    "Bwd_Pkt_Len_Max Bwd_Pkt_Len_Min Bwd_Pkt_Len_Mean Bwd_Pkt_Len_Std Flow_Byts/s Flow_Pkts/s Flow_IAT_Mean "
    "Flow_IAT_Std Flow_IAT_Max Flow_IAT_Min Fwd_IAT_Tot Fwd_IAT_Mean Fwd_IAT_Std Fwd_IAT_Max Fwd_IAT_Min "
    "Bwd_IAT_Tot Bwd_IAT_Mean Bwd_IAT_Std Bwd_IAT_Max Bwd_IAT_Min Fwd_PSH_Flags Bwd_PSH_Flags Fwd_URG_Flags "
    "Bwd_URG_Flags Fwd_Header_Len Bwd_Header_Len Fwd_Pkts/s Bwd_Pkts/s Pkt_Len_Min Pkt_Len_Max Pkt_Len_Mean "
    "Pkt_Len_Std Pkt_Len_Var FIN_Flag_Cnt SYN_Flag_Cnt RST_Flag_Cnt PSH_Flag_Cnt ACK_Flag_Cnt URG_Flag_Cnt "
    "CWE_Flag_Count ECE_Flag_Cnt Down/Up_Ratio Pkt_Size_Avg Fwd_Seg_Size_Avg Bwd_Seg_Size_Avg Fwd_Byts/b_Avg "
    "Fwd_Pkts/b_Avg Fwd_Blk_Rate_Avg Bwd_Byts/b_Avg Bwd_Pkts/b_Avg Bwd_Blk_Rate_Avg Subflow_Fwd_Pkts "
    "Subflow_Fwd_Byts Subflow_Bwd_Pkts Subflow_Bwd_Byts Init_Fwd_Win_Byts Init_Bwd_Win_Byts Fwd_Act_Data_Pkts "
    "Fwd_Seg_Size_Min Active_Mean Active_Std Active_Max Active_Min Idle_Mean Idle_Std Idle_Max Idle_Min".split()
)

_METER_COLUMNS = "FIRST_SWITCHED_MS LAST_SWITCHED_MS SRC_MAC DST_MAC END_REASON Label Attack Session"
TESTBED_COLUMNS = tuple(
    "IPV4_SRC_ADDR L4_SRC_PORT IPV4_DST_ADDR L4_DST_PORT PROTOCOL L7_PROTO IN_BYTES OUT_BYTES IN_PKTS OUT_PKTS "
    f"TCP_FLAGS FLOW_DURATION_MILLISECONDS {_METER_COLUMNS}".split()
)
TESTBED_CICFLOW_COLUMNS = tuple(
    f"Src_IP Dst_IP Protocol Flow_Duration Tot_Fwd_Pkts Tot_Bwd_Pkts {' '.join(CICFLOW_FEATURES)} "
    f"{_METER_COLUMNS}".split()
)
"""What `tlids-meter --labels` writes, and in which recording a flow was made."""

NETFLOW_COLUMNS = {1: NETFLOW_V1_COLUMNS, 2: NETFLOW_V2_COLUMNS, 3: NETFLOW_V3_COLUMNS}
VERSION_MARKS = {"FLOW_START_MILLISECONDS": 3, "CLIENT_TCP_FLAGS": 2}
"""Columns that only a later version of the NetFlow datasets has; the first that is found tells the version."""
LATER = ("-v2", "-v3")
"""What slugs and titles of later versions end with."""

SPELLINGS = {
    "Bwd_Pkt_Len_Std": ("Bwd Packet Length Std",),
    "Init_Fwd_Win_Byts": ("Init_Win_bytes_forward", "FWD Init Win Bytes", "Init Fwd Win Bytes"),
    "TotLen_Bwd_Pkts": ("Total Length of Bwd Packets", "Total Length of Bwd Packet", "TotLen Bwd Packets"),
    "Bwd_IAT_Tot": ("Bwd IAT Total",),
    "Subflow_Fwd_Byts": ("Subflow Fwd Bytes",),
    "Dst_Port": ("Destination Port",),
    "Src_Port": ("Source Port",),
}
"""Other spellings of a column, seen in published files. Case, blanks and underscores never matter."""

PARENTS = {
    "DoS attacks-Hulk": "DoS", "DoS attacks-SlowHTTPTest": "DoS", "DoS attacks-GoldenEye": "DoS",
    "DoS attacks-Slowloris": "DoS", "dos": "DoS",
    "DDoS attacks-LOIC-HTTP": "DDoS", "DDOS attack-LOIC-UDP": "DDoS", "DDOS attack-HOIC": "DDoS", "ddos": "DDoS",
    "FTP-BruteForce": "Brute Force", "SSH-Bruteforce": "Brute Force",
    "Brute Force -Web": "Brute Force", "Brute Force -XSS": "Brute Force",
    "SQL Injection": "injection", "backdoor": "Backdoor",
}  # fmt: skip
"""Class of a part -> class in NF-UQ-NIDS (Fig. 5); a class not named here keeps its name."""

_UQ_PAGE = "https://staff.itee.uq.edu.au/marius/NIDS_datasets/"
_UQ_TERMS = "free for academic research with citation of Sarhan et al. (2021); commercial use by consent"
_OT_PAGE = "https://sites.google.com/view/iotdataset1"
_OT_TERMS = "free for research with citation of Ullah & Mahmoud (2021); see the page"


@dataclass(frozen=True)
class Dataset:
    """One dataset. `classes` maps each class, as its file spells it, to its published number of rows."""

    slug: str
    title: str  # as the paper writes it
    family: str  # "netflow" or "cicflow"
    version: int  # of the NetFlow datasets; the paper uses 1
    file: str  # the published file's name; .gz and .zip of it are read too
    total: int | None  # rows
    classes: dict[str, int | None]
    benign: str
    columns: tuple[str, ...]
    page: str
    terms: str
    label: str = "Attack"
    paper_train: int | None = None  # rows, Tables 1 and 3
    paper_test: int | None = None
    paper_slug: str = ""  # the dataset of the paper whose column this one is shown in
    source: str = ""  # where transfer learning starts from
    parts: tuple[str, ...] = ()  # slugs it is the union of
    folder: str = ""  # in the repository's data/, where its file is shipped; "" where the user has to put it
    l7: str = ""  # the nDPI that numbered L7_PROTO, where it is known
    test_session: str = ""  # the recording that is kept for the test; its split is then "session"
    sha256: str = ""
    size: int | None = None  # bytes
    url: str = ""  # a direct link to the file that lasts; "" where the publisher only offers a page
    notes: tuple[str, ...] = field(default=())
    also: tuple[str, ...] = ()  # other names the publisher gives it
    captures: str = ""  # slug of the part of `source` that was metered from the same captures
    counted_by: str = "the publisher"  # who the rows and classes are from
    reported: tuple[str, ...] = ()  # what third parties report of other copies; nobody here has fetched one


_RDM = "https://rdm.uq.edu.au/files/"
_OTHER_COUNTS = "Parquet, duplicates removed, so other counts than published: a variant, not a truncated file"
_REPORTED = {
    "nf-unsw-nb15-v3": (f"direct file {_RDM}abd2f5d8-e268-4ff0-84fb-f2f7b3ca3e8f",),
    "nf-cse-cic-ids2018-v3": (f"direct file {_RDM}4ac221b1-6bd6-42b1-bdf7-03f4fc7efb22",),
    "nf-unsw-nb15-v2": (f"direct file {_RDM}8c6e2a00-ef9c-11ed-827d-e762de186848",
                        f"Kaggle dhoogla/nfunswnb15v2: {_OTHER_COUNTS}"),
    "nf-cse-cic-ids2018-v2": (f"direct file {_RDM}ce5161d0-ef9c-11ed-827d-e762de186848",
                              f"Kaggle dhoogla/nfcsecicids2018v2: {_OTHER_COUNTS}",
                              "Hugging Face Jetlime/NF-CSE-CIC-IDS2018-v2: 17,949,022 + 944,686 rows, all of it"),
    "nf-ton-iot-v2": (f"Kaggle dhoogla/nftoniotv2: {_OTHER_COUNTS}",
                      "a trap: Hmehdi515/NF-ToN-IoT-v2.csv has 11,858,887 rows, 70 % of the set"),
    "nf-bot-iot-v2": (f"Kaggle dhoogla/nfbotiotv2: {_OTHER_COUNTS}",),
    "nf-ton-iot": ("Kaggle dhoogla/nftoniot: version 1",),
    "nf-bot-iot": ("Kaggle dhoogla/nfbotiot: version 1",),
}  # fmt: skip
_ALSO = {"nf-cse-cic-ids2018-v2": ("NF-CICIDS2018-v2",), "nf-cse-cic-ids2018-v3": ("NF-CICIDS2018-v3",)}

_BOT = {"Benign": 13859, "Reconnaissance": 470655, "DDoS": 56844, "DoS": 56833, "Theft": 1909}
_TON = {
    "Benign": 270279, "injection": 468539, "ddos": 326345, "password": 156299, "xss": 99944,
    "scanning": 21467, "dos": 17717, "backdoor": 17247, "mitm": 1295, "ransomware": 142,
}  # fmt: skip
_UNSW = {
    "Benign": 1550712, "Exploits": 24736, "Fuzzers": 19463, "Reconnaissance": 12291, "Generic": 5570,
    "DoS": 5051, "Analysis": 1995, "Backdoor": 1782, "Shellcode": 1365, "Worms": 153,
}  # fmt: skip
_CSE = {
    "Benign": 7373198, "DDoS attacks-LOIC-HTTP": 378199, "FTP-BruteForce": 193360, "DoS attacks-Hulk": 108136,
    "DoS attacks-SlowHTTPTest": 105550, "SSH-Bruteforce": 94237, "Infilteration": 62072,
    "DoS attacks-GoldenEye": 32850, "DoS attacks-Slowloris": 22825, "Bot": 15683, "Brute Force -Web": 2613,
    "Brute Force -XSS": 1745, "DDOS attack-LOIC-UDP": 1667, "DDOS attack-HOIC": 230, "SQL Injection": 36,
}  # fmt: skip
_BOT_V2 = {"Benign": 135037, "Reconnaissance": 2620999, "DDoS": 18331847, "DoS": 16673183, "Theft": 2431}
_TON_V2 = {
    "Benign": 6099469, "scanning": 3781419, "xss": 2455020, "ddos": 2026234, "password": 1153323,
    "dos": 712609, "injection": 684465, "backdoor": 16809, "mitm": 7723, "ransomware": 3425,
}  # fmt: skip
_UNSW_V2 = {
    "Benign": 2295222, "Exploits": 31551, "Fuzzers": 22310, "Generic": 16560, "Reconnaissance": 12779,
    "DoS": 5794, "Analysis": 2299, "Backdoor": 2169, "Shellcode": 1427, "Worms": 164,
}  # fmt: skip
_CSE_V2 = {
    "Benign": 16635567, "DDOS attack-HOIC": 1080858, "DoS attacks-Hulk": 432648, "DDoS attacks-LOIC-HTTP": 307300,
    "Bot": 143097, "Infilteration": 116361, "SSH-Bruteforce": 94979, "DoS attacks-GoldenEye": 27723,
    "FTP-BruteForce": 25933, "DoS attacks-SlowHTTPTest": 14116, "DoS attacks-Slowloris": 9512,
    "Brute Force -Web": 2143, "DDOS attack-LOIC-UDP": 2112, "Brute Force -XSS": 927, "SQL Injection": 432,
}  # fmt: skip
_BOT_V3 = {"Benign": 51989, "DoS": 8034190, "DDoS": 7150882, "Reconnaissance": 1695132, "Theft": 1615}
_TON_V3 = {
    "Benign": 16792214, "ddos": 4141256, "xss": 2834435, "password": 1594777, "scanning": 1358977,
    "injection": 381777, "dos": 203456, "backdoor": 203384, "mitm": 6013, "ransomware": 3971,
}  # fmt: skip
_UNSW_V3 = {
    "Benign": 2237731, "Exploits": 42748, "Fuzzers": 33816, "Generic": 19651, "Reconnaissance": 17074,
    "DoS": 5980, "Backdoor": 4659, "Shellcode": 2381, "Analysis": 1226, "Worms": 158,
}  # fmt: skip
_CSE_V3 = {
    "Benign": 17514626, "DDOS attack-HOIC": 1032311, "FTP-BruteForce": 386720, "DDoS attacks-LOIC-HTTP": 288589,
    "Bot": 207703, "SSH-Bruteforce": 188474, "Infilteration": 188152, "DoS attacks-SlowHTTPTest": 105550,
    "DoS attacks-Hulk": 100076, "DoS attacks-GoldenEye": 61300, "DoS attacks-Slowloris": 36040,
    "DDOS attack-LOIC-UDP": 3450, "Brute Force -Web": 1618, "Brute Force -XSS": 480, "SQL Injection": 440,
}  # fmt: skip


def merge_classes(*parts: dict[str, int | None]) -> dict[str, int]:
    """Class counts of the union of `parts` under `PARENTS` (Fig. 5), Benign first, then by size."""
    merged: dict[str, int] = {}
    for counts in parts:
        for name, rows in counts.items():
            parent = PARENTS.get(name, name)
            merged[parent] = merged.get(parent, 0) + rows
    return dict(sorted(merged.items(), key=lambda item: (item[0] != "Benign", -item[1])))


def unversioned(name: str) -> str:
    """A slug or title without its version: "nf-bot-iot-v2" -> "nf-bot-iot"."""
    return next((name.removesuffix(end) for end in LATER if name.endswith(end)), name)


def _netflow(slug, title, file, total, classes, version=1, **extra) -> Dataset:
    source = "nf-uq-nids" if version == 1 else "nf-uq-nids-v2"
    return Dataset(
        slug, title, "netflow", version, file, total, classes, "Benign", NETFLOW_COLUMNS[version], _UQ_PAGE,
        _UQ_TERMS, paper_slug=unversioned(slug), source=source, also=_ALSO.get(slug, ()),
        reported=_REPORTED.get(slug, ()), **extra,
    )  # fmt: skip


_V1_PARTS = ("nf-ton-iot", "nf-bot-iot", "nf-unsw-nb15", "nf-cse-cic-ids2018")
_V2_PARTS = tuple(f"{slug}-v2" for slug in _V1_PARTS)

_NETFLOW_V1 = (
    _netflow(
        "nf-bot-iot", "NF-BoT-IoT", "NF-BoT-IoT.csv", 600100, _BOT, paper_train=480080, paper_test=120020,
        size=49056932, sha256="0dcaeb12918dccee4127e537863366958a2fdc222fda06e0b1b0458c31a429ff",
        notes=("DoS and DDoS are nearly identical per flow: other authors stop near 0.78 multi-class accuracy",),
    ),
    _netflow(
        "nf-ton-iot", "NF-ToN-IoT", "NF-ToN-IoT.csv", 1379274, _TON, paper_train=1103419, paper_test=275855,
        size=97593229, sha256="43363378f620cfe38fda7c40cd5ef06b14e99715798a982b175d4b197f040567",
        notes=("some downloads carry a stray <!DOCTYPE html> line",),
    ),
    _netflow(
        "nf-unsw-nb15", "NF-UNSW-NB15", "NF-UNSW-NB15.csv", 1623118, _UNSW, paper_train=1298494, paper_test=324624,
    ),
    _netflow(
        "nf-cse-cic-ids2018", "NF-CSE-CIC-IDS2018", "NF-CSE-CIC-IDS2018.csv", 8392401, _CSE,
        paper_train=6713920, paper_test=1678481,
    ),
    _netflow(
        "nf-uq-nids", "NF-UQ-NIDS", "NF-UQ-NIDS.csv", 11994893, merge_classes(_TON, _BOT, _UNSW, _CSE),
        paper_train=9595914, paper_test=2398979, parts=_V1_PARTS,
        notes=("the union of the four parts, row for row: the counts add up exactly",),
    ),
)  # fmt: skip

_NETFLOW_V2 = (
    _netflow("nf-bot-iot-v2", "NF-BoT-IoT-v2", "NF-BoT-IoT-v2.csv", 37763497, _BOT_V2, 2),
    _netflow("nf-ton-iot-v2", "NF-ToN-IoT-v2", "NF-ToN-IoT-v2.csv", 16940496, _TON_V2, 2),
    _netflow("nf-unsw-nb15-v2", "NF-UNSW-NB15-v2", "NF-UNSW-NB15-v2.csv", 2390275, _UNSW_V2, 2),
    _netflow("nf-cse-cic-ids2018-v2", "NF-CSE-CIC-IDS2018-v2", "NF-CSE-CIC-IDS2018-v2.csv", 18893708, _CSE_V2, 2),
    _netflow(
        "nf-uq-nids-v2", "NF-UQ-NIDS-v2", "NF-UQ-NIDS-v2.csv", 75987976,
        merge_classes(_TON_V2, _BOT_V2, _UNSW_V2, _CSE_V2), 2, parts=_V2_PARTS,
    ),
)  # fmt: skip

_NETFLOW_V3 = tuple(
    _netflow(
        f"{part}-v3", f"{title}-v3", f"{title}-v3.csv", sum(classes.values()), classes, 3,
        captures=f"{part}-v2", counted_by="a third party",
        notes=("each flow has its start: split=\"time\" tests on the last fifth", *notes),
    )
    for part, title, classes, notes in (
        ("nf-bot-iot", "NF-BoT-IoT", _BOT_V3, ()),
        ("nf-ton-iot", "NF-ToN-IoT", _TON_V3, ()),
        ("nf-unsw-nb15", "NF-UNSW-NB15", _UNSW_V3,
         ("the publisher's table is said to swap the counts of Backdoor, Shellcode and Analysis",)),
        ("nf-cse-cic-ids2018", "NF-CSE-CIC-IDS2018", _CSE_V3,
         ("most attacks are on one day each: with split=\"time\" the test has classes that training lacks",)),
    )
)  # fmt: skip

_CICFLOW = (
    Dataset(
        "iot-ds2", "IoT DS2", "cicflow", 1, "IoT-DS2.csv", 1438157,
        dict.fromkeys(
            (
                "Normal", "DoS", "DDoS", "Reconnaissance", "Theft", "Mirai", "MITM ARP Spoofing", "Scan", "scan_A",
                "scan_sU", "sparta", "mqtt_bruteforce", "Okiru", "Torii", "C&C", "HeartBeat",
                "PartOfAHorizontalPortScan",
            )
        ),
        "Normal", (*CICFLOW_COLUMNS, "Label"), _OT_PAGE, _OT_TERMS,
        label="Label", paper_train=1150525, paper_test=287632, paper_slug="iot-ds2", source="cic-ton-iot",
        notes=("17 classes; their names and counts are not published: these are the names of its four sources",),
    ),
    Dataset(
        "iot-network-intrusion", "IoT Network Intrusion", "cicflow", 1, "IoT Network Intrusion Dataset.csv", 625783,
        {"Normal": 40073, "Mirai": 415677, "Scan": 75265, "DoS": 59391, "MITM ARP Spoofing": 35377},
        "Normal", (*CICFLOW_COLUMNS, "Label", "Cat", "Sub_Cat"), _OT_PAGE, _OT_TERMS,
        label="Cat", paper_train=500626, paper_test=125157, paper_slug="iot-network-intrusion", source="cic-ton-iot",
        notes=("also called IoTID20; 26 % of its rows repeat an earlier one, 736 hold inf",),
    ),
    Dataset(
        "mqtt-iot-ids2020", "MQTT-IoT-IDS2020", "cicflow", 1, "MQTT-IoT-IDS2020.csv", 3654006,
        dict.fromkeys(("normal", "scan_A", "scan_sU", "sparta", "mqtt_bruteforce")),
        "normal", (*CICFLOW_COLUMNS, "Label"), _OT_PAGE, _OT_TERMS,
        label="Label", paper_train=2923204, paper_test=730802, paper_slug="mqtt-iot-ids2020", source="cic-ton-iot",
        notes=("class counts of the CICFlowMeter version are not published",),
    ),
    Dataset(
        "cic-ton-iot", "CIC-ToN-IoT", "cicflow", 1, "CIC-ToN-IoT.csv", 5351760,
        {
            "Benign": 2515236, "xss": 2149308, "password": 340208, "injection": 277696, "scanning": 36205,
            "backdoor": 27145, "ransomware": 5098, "mitm": 517, "ddos": 202, "dos": 145,
        },
        "Benign", (*(name.replace("_", " ") for name in CICFLOW_COLUMNS), "Label", "Attack"), _UQ_PAGE, _UQ_TERMS,
        label="Attack", paper_train=4281408, paper_test=1070352, paper_slug="cic-ton-iot", source="iot-ds2",
        notes=("1,177 rows hold inf",),
    ),
)  # fmt: skip

_TESTBED_CLASSES = {
    "Benign": 7273, "Intense scan": 4617, "SYN scan": 2794, "UDP scan": 1241, "SYN flood": 4752, "UDP flood": 4256,
    "HTTP flood": 2192, "Slow HTTP": 570, "MQTT brute force": 640, "SSH brute force": 674, "ARP MITM": 521,
}  # fmt: skip
_TESTBED = tuple(
    Dataset(
        slug, title, family, 1, f"{slug}.csv", sum(_TESTBED_CLASSES.values()), _TESTBED_CLASSES, "Benign", columns,
        "data/testbed in this repository; `make testbed` records it again", "the repository's licence",
        source=source, folder="testbed", l7="ndpi 4.2" if family == "netflow" else "", test_session="session2",
        notes=("two recorded sessions of edge/testbed: session1 to train on, session2 for the test",),
    )
    for slug, title, family, columns, source in (
        ("testbed", "Testbed", "netflow", TESTBED_COLUMNS, "nf-uq-nids"),
        ("testbed-cicflow", "Testbed (CICFlowMeter)", "cicflow", TESTBED_CICFLOW_COLUMNS, "cic-ton-iot"),
    )
)  # fmt: skip

_SECOND_CLASSES = {
    "Benign": 9708, "Intense scan": 1606, "SYN scan": 1811, "UDP scan": 565, "SYN flood": 1928, "UDP flood": 2225,
    "HTTP flood": 1145, "Slow HTTP": 162, "MQTT brute force": 260, "SSH brute force": 288, "ARP MITM": 42,
    "Telnet brute force": 393, "RTSP brute force": 112, "C2 beacon": 120, "DNS exfiltration": 357,
    "CoAP amplification": 700, "UPnP abuse": 290, "Slow scan": 95,
}  # fmt: skip
_SECOND_HOME = tuple(
    Dataset(
        slug, title, family, 1, f"{slug}.csv", sum(_SECOND_CLASSES.values()), _SECOND_CLASSES, "Benign", columns,
        "data/second-home in this repository; `make second-home` records it again", "the repository's licence",
        source=source, folder="second-home", l7="ndpi 4.2" if family == "netflow" else "",
        test_session="session2-late",
        notes=("another home than the testbed; the test is the second round of attacks, with the benign traffic",),
    )
    for slug, title, family, columns, source in (
        ("second-home", "Second home", "netflow", TESTBED_COLUMNS, "testbed"),
        ("second-home-cicflow", "Second home (CICFlowMeter)", "cicflow", TESTBED_CICFLOW_COLUMNS, "testbed-cicflow"),
    )
)  # fmt: skip

DATASETS = {dataset.slug: dataset for dataset in (
    *_NETFLOW_V1, *_CICFLOW, *_NETFLOW_V2, *_NETFLOW_V3, *_TESTBED, *_SECOND_HOME
)}  # fmt: skip
"""slug -> Dataset: the paper's nine first, then later versions of the NetFlow five, then our own homes."""
