"""The table of edge/SECURITY.md, from docs/results/attack.json."""

from collections.abc import Mapping

import page

NOBODY = "nobody"


def figures(results: Mapping) -> dict[str, str]:
    """The table, how many of its rows are right (what edge/DETAILS.md lists as missed is not), the flood, the load."""
    attacks = results["attacks"]
    right = sum(one["verdict"] == "right" and not one["missed"] for one in attacks)
    rows = [cells(one) for one in attacks]
    names = ("attack", "finding", "seen as", "MAC address named", "IP address", "verdict")
    flood = next(one["rate"] for one in attacks if one["row"] == "H4")
    return {
        "attacks": f"\n{page.table(names, rows)}", "attacks-right": f"{right} of {len(attacks)}",
        "attacks-rate": f"{flood:,}", "attacks-load": f"{results['load']:g}",
    }  # fmt: skip


def cells(one: Mapping) -> tuple[str, ...]:
    """One attack as a row: what its alerts say, whose MAC address they name, and whether the address is proven."""
    seen = one["seen"]
    alerts = "; ".join(dict.fromkeys(alert["alert"] for alert in seen)) or ("-" if one["told"] else "no alert")
    alerts = f"{one['told']}. {alerts}".removesuffix(". -") if one["told"] else alerts
    macs = ", ".join(dict.fromkeys(alert["mac"] or NOBODY for alert in seen)) or NOBODY
    sources = ", ".join(dict.fromkeys(alert["source"] for alert in seen if alert["address"])) or "-"
    return one["attack"], one["row"] or "-", alerts, macs, sources, "missed" if one["missed"] else one["verdict"]
