"""Checks with the testbed's second session: the same incidents as on this machine, and a home that is learned."""

import json
import re
from pathlib import Path

import cargo
from arm.compare import TOLERANCE, compare, read_events
from checks_install import EVE, capturing, expect, journal, settings
from emulator import CheckError, Pi

LEARNING = "--learn 4m --learn-rows 100 --state /var/lib/tlids-edge"
CONTINUED = "journalctl -q -b -o cat -u tlids-edge | grep 'continuing: learning'"
REPLAY = "ip netns exec out tcpreplay -q -i out0 /cargo/{}.pcap"
MARGIN_S = 60  # an incident's line may come so long after an attack: it is renewed once a minute
SMALL = 20  # flows; an incident with fewer depends on how packets fall into batches


def plain(text: str, path: Path) -> dict:
    """EVE lines without what the two machines need not have in common, names of files, through `path`."""
    events = [{name: value for name, value in event.items() if name != "pcap_filename"} for event in cargo.events(text)]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return read_events(path)


def same_from_a_file(pi: Pi) -> str:
    """The session read from a file: each line of incidents and rules is this machine's, scores within float32 sums."""
    pi.must("rm -rf /tmp/run; mkdir /tmp/run; tlids-edge --model /usr/share/tlids-edge/models/testbed --source "
            "/cargo/session2.pcap --eve /tmp/run/eve.json", 1800)  # fmt: skip
    here = cargo.judged_here(pi.folder)
    ours = plain(here, pi.folder / "ours.json")
    theirs = plain(pi.must("cat /tmp/run/incidents.json"), pi.folder / "theirs.json")
    expect(len(ours) > 50, f"only {len(ours)} lines on this machine")
    found = compare("lines", ours, theirs)
    expect(not found.differences, f"{len(theirs)} lines there, {len(ours)} here; {'; '.join(found.differences[:3])}")
    opened = sum(event["alert"]["signature_id"] == 9300001 for event in cargo.events(here))
    return (
        f"{opened} incidents, {len(ours)} lines of incidents and rules, none differs but in its score, by "
        f"{found.largest:.0e} at most (allowed {TOLERANCE:.0e}: float32 sums in another order)"
    )


def subject(event: dict) -> str:
    """Whom an incident is about, by its signature: an address, a MAC address, or the host and port that many attack."""
    who = event["alert"]["signature"].rpartition(" from ")[2]
    return re.sub(r"^(about )?\d+ sources?|\s\(\w+\)$", "", who).strip()


def subjects(events: list[dict], least: int = 0) -> set[str]:
    """The subjects of closed incidents of so many flows at least."""
    closed = (event for event in events if event["alert"]["signature_id"] == 9300003)
    return {subject(event) for event in closed if int(event["alert"]["metadata"]["tlids_flows"][0]) >= least}


def told(events: list[dict], shift: float) -> set[int]:
    """Which attacks of the session, by number, have a line of an incident or a rule within their time."""
    times = [cargo.seconds(event["timestamp"]) + shift for event in events]
    return {
        number
        for number, (_, start, end) in enumerate(cargo.attacks())
        if any(start <= time <= end + MARGIN_S for time in times)
    }


def same_on_the_cable(pi: Pi) -> str:
    """The session sent over the cable at its own speed: each attack is reported with its source, as from the file."""
    settings(pi, TLIDS_LEARN="", TLIDS_OPTIONS="")
    pi.must(f"systemctl stop tlids-edge; rm -f {EVE}* /var/log/tlids/incidents.json*; systemctl start tlids-edge")
    capturing(pi)
    began = float(pi.must("date +%s.%N"))
    pi.must(REPLAY.format("session2"), 1500)
    pi.must("sleep 90; systemctl stop tlids-edge")  # its last incidents close
    live = cargo.events(pi.must("cat $(ls -tr /var/log/tlids/incidents.json*)"))
    here = cargo.events(cargo.judged_here(pi.folder))
    words = re.findall(r"packets [^\n]*", journal(pi))[-1]
    pi.must("systemctl start tlids-edge")
    from_file, on_cable = told(here, 0.0), told(live, cargo.first_second() - began)
    expect(
        from_file <= on_cable, f"attacks reported: {sorted(from_file)} from the file, {sorted(on_cable)} live; {words}"
    )
    # which incident a flow joins depends on how packets fall into batches: live, a subject counts at any size
    wanted, found = subjects(here, SMALL), subjects(live)
    missed, more = ", ".join(sorted(wanted - found)), len(subjects(live, SMALL) - subjects(here))
    expect(not missed, f"no incident of {missed}, {more} others; {words}")
    return (
        f"{len(on_cable)} of {len(cargo.attacks())} attacks reported; an incident of each of {len(wanted)} subjects "
        f"that have one of {SMALL} flows or more from the file, {more} others; {words}"
    )


def learned_over_a_reboot(pi: Pi) -> str:
    """Benign traffic, learning of four minutes, and a reboot in the middle of it: learning continues."""
    settings(pi, TLIDS_LEARN=LEARNING, TLIDS_MODEL="/cargo/thinned", TLIDS_OPTIONS="--status 5")
    pi.must(f"systemd-run -q --unit=traffic {REPLAY.format('quiet')}")
    some = "journalctl -q -o cat -u tlids-edge -n 5 | grep -qE 'learning: [1-3][.0-9]* min of 4 min, [1-9][0-9]+ rows'"
    pi.wait(some, "a minute and ten rows of learning", 600)
    pi.switch_off("reboot")
    pi.start()
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    pi.wait(CONTINUED, "learning to continue")
    capturing(pi)
    last = "journalctl -q -b -1 -o cat -u tlids-edge | grep learning: | tail -1"
    before, after = re.findall(r"learning: [^,]+, [\d,]+ rows", pi.must(f"{last}; {CONTINUED} | head -1"))
    return f"before: {before}; after: {after}"


def adapted(pi: Pi) -> str:
    """The rest of the learning: a model with a tenth of the stored rows is adapted, prints its promise, takes over."""
    pi.must(f"systemd-run -q --unit=traffic {REPLAY.format('quiet')}")
    pi.wait("journalctl -q -b -o cat -u tlids-edge | grep -qE 'adapted to this home|not adapted'", "an end", 7200)
    pi.run("systemctl stop traffic")
    line = re.findall(r"(?:adapted to this home|not adapted)[^\n]*", journal(pi))[-1]
    if line.startswith("not"):
        raise CheckError(line)
    pi.must("systemctl restart tlids-edge")
    capturing(pi)
    in_use = re.findall(r"adapted already, to \S+", journal(pi, lines=40))
    expect(in_use, "the adapted model is not in use after a restart")
    return f"{line}; {in_use[-1]} after a restart"
