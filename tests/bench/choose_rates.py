"""How many flows are too many (`tlids_edge.learn.rates.Rule`): for `make choose-recipe`, on what judges nothing.

False novelty is counted on the last eight hours of the four devices' first day, where the first sixteen are learned, on
its last eighteen, where the first six are learned, and on each half of the testbed's first session, where the other
half's benign flows are learned. Attacks are those of that session; no model takes part, so each of their flows counts
as benign. Of the rules within the aim that find the most attacks, the most cautious is taken: with the largest rank,
then floor, then factor.
"""

from dataclasses import asdict
from itertools import product

import numpy as np
from adapt_homes import NOVELTY_FLOWS, PAUSE_S, any_burst, bursts
from tlids_edge.flows.labels import BENIGN
from tlids_edge.flows.meter import Flow
from tlids_edge.flows.rows import of_flows, services_of
from tlids_edge.learn.keep import SEEN, WINDOWS
from tlids_edge.learn.rates import Peaks, Rates, Rule

AIM = 2.0  # novelty incidents a day at most
GRID = [Rule(floor, factor, rank) for rank, floor, factor in
        product((1, 2, 3), (10, 20, 30, 40, 60), (1.5, 2.0, 3.0, 4.0))]  # fmt: skip
HOURS = 3.6e9  # microseconds of one
LEARNED = (2 / 3, 1 / 4)  # of the day; the rest is judged


def chosen(day: list[Flow], session: list[Flow], classes: list[str]) -> dict:
    """Each rule's figures, and those of the rule that is taken."""
    table = [asdict(rule) | figures(rule, day, session, np.array(classes)) for rule in GRID]
    within = [each for each in table if each["incidents a day"] <= AIM and not each["in the session"]]
    found = max(each["found"] for each in within)
    best = max((each for each in within if each["found"] == found),
               key=lambda each: (each["rank"], each["floor"], each["factor"]))  # fmt: skip
    return {"rules": table, "taken": best}


def figures(rule: Rule, day: list[Flow], session: list[Flow], classes: np.ndarray) -> dict:
    """False novelty of the day and of the session, and the attacks that are found, over both halves."""
    false, hours = 0, 0.0
    for share in LEARNED:
        early, late = parted(day, share)
        false += bursts(taken(late, judged(rule, early, late)), NOVELTY_FLOWS)
        hours += (1 - share) * (day[-1].last_us - day[0].last_us) / HOURS
    told = {"incidents a day": false * 24 / hours}
    ends = np.array([flow.last_us for flow in session])
    benign, first = classes == BENIGN, ends < (ends.min() + ends.max()) / 2
    told |= {"in the session": 0, "found": 0, "attacks": 0}
    for half in (first, ~first):
        many = judged(rule, taken(session, benign & half), session)
        told["in the session"] += bursts(taken(session, benign & ~half & many), NOVELTY_FLOWS)
        for name in sorted(set(classes) - {BENIGN}):
            own = np.flatnonzero(classes == name)
            own = own[np.argsort(ends[own], kind="stable")]
            for run in np.split(own, np.flatnonzero(np.diff(ends[own]) > PAUSE_S * 1e6) + 1):
                told["attacks"] += 1
                told["found"] += any_burst(ends[run][many[run]] / 1e6, NOVELTY_FLOWS)
    return told


def parted(day: list[Flow], share: float) -> tuple[list[Flow], list[Flow]]:
    """The flows of the first `share` of a recording's time, and the others."""
    start, end = day[0].last_us, day[-1].last_us
    cut = start + share * (end - start)
    early = np.array([flow.last_us < cut for flow in day])
    return taken(day, early), taken(day, ~early)


def taken(flows: list[Flow], wanted: np.ndarray) -> list[Flow]:
    """The flows for which `wanted` (n,) is true."""
    return [flow for flow, each in zip(flows, wanted, strict=True) if each]


def judged(rule: Rule, early: list[Flow], late: list[Flow]) -> np.ndarray:
    """Which of `late` are too many after `early` was learned, (n,)."""
    rows = of_flows(early)
    seen = np.zeros(len(rows), SEEN)
    seen["source"], seen["service"] = [hash(flow.key[0]) & (1 << 63) - 1 for flow in early], services_of(rows)
    elapsed = np.maximum.accumulate((rows["last_us"] - rows["last_us"][0]) / 1e6)
    peaks = Peaks(elapsed[-1] / WINDOWS, rule)
    peaks.add(seen, elapsed)
    return Rates(peaks.learned(), rule).are_many(of_flows(late))


def lines(found: dict) -> list[str]:
    """A Markdown table: the rule that is taken, and those that differ from it in one number."""
    best = found["taken"]
    heads = ("rank", "floor", "factor", "incidents a day", "in the session", "found")
    rows = ["| learned count | floor | factor | false incidents a day, four devices | false incidents, testbed | "
            "attacks found |", "|---" * len(heads) + "|"]  # fmt: skip
    for each in found["rules"]:
        if sum(each[name] != best[name] for name in heads[:3]) <= 1:
            told = [f"{each['rank']}. highest", str(each["floor"]), f"{each['factor']:g}",
                    f"{each['incidents a day']:.1f}", str(each["in the session"]),
                    f"{each['found']} of {each['attacks']}"]  # fmt: skip
            mark = "**" if each == best else ""
            rows.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in told) + " |")
    return rows
