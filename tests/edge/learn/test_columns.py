"""Learning by column beside the plain way, one flow at a time: the same rows are kept, the same flows are new."""

import hashlib
from collections import Counter
from ipaddress import ip_address

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from home_flows import MODEL, REPOSITORY, drawn
from tlids_edge.detect.card import read_card
from tlids_edge.detect.detector import Verdicts
from tlids_edge.flows.rows import ROW, features, flow, mac_number
from tlids_edge.learn import keep, novelty, rows
from tlids_edge.learn.keep import FEATURES, SEEN, Keeper
from tlids_edge.learn.learner import Learner, Plan
from tlids_edge.learn.screen import BURST_S, Screen

CARD = read_card(MODEL)


class OneByOne:
    """The keeper as its docstring has it, in lists and loops; rows are tuples in the order of `keep.ROW`."""

    def __init__(self, learn_s: float, draw) -> None:
        self.learn_s, self.window_s, self.draw = learn_s, learn_s / keep.WINDOWS, draw
        self.elapsed, self.clock, self.screen = 0.0, None, Screen()
        self.kept, self.open, self.bars = np.empty(0, keep.ROW), {}, {}
        self.proven, self.left_out, self.began = set(), Counter(), []

    def see(self, flows: list[tuple]) -> None:
        for one in sorted(flows, key=lambda each: each[0]):
            passed = 0.0 if self.clock is None else (one[0] - self.clock) / 1e6
            if self.clock is None or passed > 0 or passed < -keep.BACK_S:
                self.clock = one[0]
            self.elapsed += min(max(passed, 0.0), max(self.learn_s / 24, keep.STEP_S))
            for window in [each for each in self.open if (each + 1) * self.window_s + BURST_S < self.elapsed]:
                ended = np.array(self.capped(self.open.pop(window)), keep.ROW)
                self.bars.pop(window, None)
                self.kept = keep._thinned(np.concatenate([self.kept, ended]))
            self.take(*one[1:])

    def take(self, source, device, service, alarm, proven, values, *_) -> None:
        if proven and len(self.proven) < keep.MAX_DEVICES:
            self.proven.add(device)
        screened, burst = self.screen.see(source, service, alarm, proven, self.elapsed)
        if burst is not None:
            self.began.append(source)
            for window, held in self.open.items():
                stay = [row for row in held if row[0] != source or row[3] < burst.since
                        or not burst.covers(row[5], row[6], row[2])]  # fmt: skip
                self.left_out[source] += len(held) - len(stay)
                self.open[window] = stay
        if screened:
            self.left_out[source] += 1
            return
        rank, window = self.draw(), int(self.elapsed // self.window_s)
        if rank <= self.bars.get(window, 1.0):
            held = self.open.setdefault(window, [])
            held.append((source, device, service, self.elapsed, rank, alarm, proven, values))
            if len(held) >= 2 * keep.MAX_OPEN:
                held = self.capped(held)
                if len(held) > keep.MAX_OPEN:
                    held = held[: keep.MAX_OPEN]
                    self.bars[window] = held[-1][4]
                self.open[window] = held

    @staticmethod
    def capped(held: list[tuple]) -> list[tuple]:
        counts, taken = Counter(), []
        for row in sorted(held, key=lambda each: each[4]):
            whose = (("pair", *row[0:3:2]), ("source", row[0]), ("service", row[2]))
            if all(counts[one] < cap for one, cap in zip(whose, (10, 30, 30), strict=True)):
                counts.update(whose)
                taken.append(row)
        return taken


def home(seed: int, count: int) -> np.ndarray:
    """Flows of a few devices, with bursts of alarms, a step back of the clock now and then, and a leap."""
    chance = np.random.default_rng(seed)
    seen = np.zeros(count, SEEN)
    steps = chance.choice(
        [0.0, 0.125, 1, 7.5, 40, -3, -400, 4000], count, p=[0.3, 0.3, 0.2, 0.1, 0.08, 0.01, 0.005, 0.005]
    )
    seen["time_us"] = 1_700_000_000_000_000 + np.cumsum(steps) * 1e6
    seen["source"] = seen["device"] = chance.integers(1, 9, count)
    seen["service"] = chance.choice([53, 80, 443, 8883], count)
    attack = np.arange(count) // 50 % 7 == 3
    seen["alarm"] = attack & (chance.random(count) < 0.6)
    seen["source"][attack] = chance.choice([3, 4], np.count_nonzero(attack), p=[0.9, 0.1])
    seen["proven"] = chance.random(count) < 0.7
    seen["features"] = np.arange(count)[:, None]
    return seen


def flood(seed: int, count: int) -> np.ndarray:
    """A flood from as many sources as there are flows, in the middle of a home's own flows."""
    chance = np.random.default_rng(seed)
    seen = np.concatenate([home(seed, 300), home(seed + 1, count)])
    forged = seen[300:]
    forged["time_us"] = seen["time_us"][299] + np.arange(count) * 100
    forged["source"] = forged["device"] = chance.integers(100, 2**63, count)
    forged["service"] = np.where(chance.random(count) < 0.9, 80, chance.integers(1, 60_000, count))
    forged["alarm"], forged["proven"] = chance.random(count) < 0.2, False
    return np.concatenate([seen, home(seed + 2, 300)])


def kept_by(keeper: object, flows: np.ndarray, batch: int) -> tuple:
    """What a keeper has after flows, a batch at a time."""
    for start in range(0, len(flows), batch):
        keeper.see(
            flows[start : start + batch] if isinstance(keeper, Keeper) else flows[start : start + batch].tolist()
        )
    opened = [np.array(held, keep.ROW) if isinstance(held, list) else held.astype(keep.ROW)
              for held in keeper.open.values()]  # fmt: skip
    kept = np.concatenate([keeper.kept, *opened]).tolist()
    return [(*row[:7], tuple(row[7])) for row in kept], keeper.left_out, keeper.proven, keeper.elapsed, [*keeper.open]


@pytest.mark.parametrize("batch", [1, 256])
@pytest.mark.parametrize("learn_s", [86_400.0, 7_200.0])
def test_the_same_flows_of_a_home_are_kept(batch, learn_s):
    flows = home(batch, 2000)
    plain = kept_by(OneByOne(learn_s, drawn()), flows, batch)
    assert kept_by(Keeper(learn_s, drawn()), flows, batch) == plain
    assert len(plain[0]) > 100 and plain[1]


def test_the_same_flows_of_a_flood_are_kept_and_the_same_bursts_begin():
    flows, plain, columns = flood(1, 9000), OneByOne(86_400.0, drawn()), Keeper(86_400.0, drawn())
    expected = kept_by(plain, flows, 256)
    began = [source for start in range(0, len(flows), 256) for source in columns.see(flows[start : start + 256])]
    assert began == plain.began
    assert kept_by(Keeper(86_400.0, drawn()), flows, 256) == expected
    assert 100 < len(expected[0]) < 4096  # a full window was thinned


@pytest.fixture(scope="module")
def session2() -> np.ndarray:
    """The second session of the testbed as rows of ended flows, in the order of their ends."""
    told = pq.read_table(REPOSITORY / "data" / "testbed" / "testbed.parquet")
    told = told.filter(pc.equal(told["Session"], "session2"))
    made = np.zeros(told.num_rows, ROW)
    for name, column in {
        "src_port": "L4_SRC_PORT", "dst_port": "L4_DST_PORT", "protocol": "PROTOCOL", "tcp_flags": "TCP_FLAGS",
        "in_bytes": "IN_BYTES", "out_bytes": "OUT_BYTES", "in_packets": "IN_PKTS", "out_packets": "OUT_PKTS",
    }.items():  # fmt: skip
        made[name] = told[column].to_numpy()
    made["l7_app"] = [int(number) for number in told["L7_PROTO"].to_pylist()]
    made["last_us"] = told["LAST_SWITCHED_MS"].to_numpy() * 1000
    for end, (address, mac) in {"src": ("IPV4_SRC_ADDR", "SRC_MAC"), "dst": ("IPV4_DST_ADDR", "DST_MAC")}.items():
        packed = [ip_address(one).packed for one in told[address].to_pylist()]
        made[end], made["address_bytes"] = np.array(packed, "S16").view("V16"), [*map(len, packed)]
        made[f"{end}_mac"] = [bytes.fromhex(one.replace(":", "")) for one in told[mac].to_pylist()]
        made[f"{end}_mac_bytes"] = 6
    made["proven"] = made["out_packets"] > 1
    return made[np.argsort(made["last_us"], kind="stable")]


def test_what_the_learner_notes_of_the_testbeds_flows_is_what_each_flow_says(session2, tmp_path):
    learner = Learner(Plan(tmp_path / "state", MODEL, adapts=False, draw=drawn()), CARD, lambda _: None)
    key = (tmp_path / "state" / "key").read_bytes()
    some = session2[::29]
    alerts = np.arange(len(some)) % 3 == 0
    seen, _ = learner._seen(Verdicts(some, np.zeros((len(some), 1)), [""] * len(some), alerts, alerts * 1.0))
    learner.close()

    def hashed(kind: bytes, *parts: bytes) -> int:
        text = b"".join(bytes([len(part)]) + part for part in parts)
        return int.from_bytes(hashlib.blake2b(text, key=key, person=kind, digest_size=8).digest(), "little")

    for row, one, alarm in zip(seen.tolist(), map(flow, some), alerts.tolist(), strict=True):
        service = one.protocol << 16 | min(one.src_port, one.dst_port)
        source, device = hashed(b"source", one.key[0], one.src_hw), hashed(b"device", one.src_hw)
        assert row[:6] == (one.last_us, source, device, service, alarm, one.proven)
        assert tuple(row[6]) == tuple(np.float32(one.netflow()).tolist())
        network = int.from_bytes(one.key[1][:3] if len(one.key[1]) == 4 else one.key[1][:4] + b"\1", "little")
        used = one.protocol << 16 | (one.dst_port if one.dst_port < 32_768 else min(one.src_port, one.dst_port))
        assert row[7:] == (mac_number(one.src_hw), used, network)


def test_the_same_flows_of_the_testbed_are_new_as_by_plain_distances(session2):
    stored, codes = rows.read(MODEL, CARD)
    learned = novelty.fit(stored[codes == CARD.classes.index(CARD.benign)], seed=1)
    raw = features(session2[::4], "netflow")
    new = learned.is_new(raw)
    store = learned.store.astype(np.float64)
    plain = np.array([np.sqrt(((store - one) ** 2).sum(axis=1).min()) for one in novelty.described(raw)])
    sure = abs(plain - learned.threshold) > 1e-3  # so much float32 may be off
    assert (new == (plain >= learned.threshold))[sure].all()
    assert sure.mean() > 0.98 and 0.01 < new.mean() < 0.99 and raw.shape[1] == FEATURES
