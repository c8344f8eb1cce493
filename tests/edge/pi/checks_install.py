"""Checks that need nothing but a started system: the package, its units, an attack, the broker."""

import json
import re

from emulator import LIKE_RASPBERRY_PI_OS, CheckError, Pi

EVE = "/var/log/tlids/eve.json"
SETTINGS = "/etc/default/tlids-edge"
SCAN = "ip netns exec out nmap -n -Pn -sS -p {} 10.77.0.1"
CAPTURING = "pgrep -x tlids-ring && awk 'NR > 1 && $6 == 1 {{ found = 1 }} END {{ exit !found }}' /proc/net/packet"
CAPTURING = CAPTURING.replace("{{", "{").replace("}}", "}")

LIMITS = {"tlids-edge": (1024, 200), "tlids-ring": (256, 120)}  # MiB: address space, and MemoryMax


def expect(holds: object, seen: str) -> None:
    """Raise CheckError with what was seen unless it holds."""
    if not holds:
        raise CheckError(seen)


def journal(pi: Pi, unit: str = "tlids-edge", lines: int = 400) -> str:
    """The last lines of a unit's journal."""
    return pi.must(f"journalctl -q --no-pager -o cat -u '{unit}*' -n {lines}")


def capturing(pi: Pi, limit: int = 300) -> None:
    """Wait until the capture's packet socket is bound."""
    pi.wait(CAPTURING, "a running capture", limit)


def settings(pi: Pi, **changed: str) -> None:
    """Write /etc/default/tlids-edge with these settings and start the service again."""
    text = "".join(f'{name}="{value}"\n' for name, value in changed.items())
    pi.must(f"cat > {SETTINGS} <<'END'\n{text}END\nsystemctl restart tlids-edge")
    capturing(pi)


def count(pi: Pi, text: str, path: str = EVE) -> int:
    """How many lines of a file hold a text."""
    status, said = pi.run(f"cat {path}* 2>/dev/null | grep -c -- '{text}'")
    return int(said) if status in (0, 1) and said.isdigit() else 0


def booted(pi: Pi) -> str:
    """systemd is the first process, and no unit has failed."""
    pi.run("timeout 600 systemctl is-system-running --wait", 700)
    first, state = pi.must("cat /proc/1/comm"), pi.run("systemctl is-system-running")[1]
    failed = pi.must("systemctl list-units --failed --no-legend --plain | cut -d' ' -f1").split()
    expect(first == "systemd" and not failed, f"{first}, {state}, failed: {' '.join(failed) or 'none'}")
    kernel, release = pi.must("uname -r"), pi.must("systemctl --version | head -1")
    return f"{release}, Linux {kernel}, {state}, no failed unit"


def memory_control(pi: Pi) -> str:
    """Whether the kernel can limit a group's memory, as the command line asked."""
    there = "memory" in pi.must("cat /sys/fs/cgroup/cgroup.controllers").split()
    asked = LIKE_RASPBERRY_PI_OS not in pi.must("cat /proc/cmdline").split()
    expect(there == asked, f"memory control is {'on' if there else 'off'}")
    return f"memory control is {'on' if there else 'off'}"


def installed(pi: Pi) -> str:
    """apt install without a network, a terminal or an answer; both units then run and are enabled."""
    said = pi.must("apt-get install -y --no-install-recommends /cargo/tlids-edge_*.deb", 1200)
    expect("Setting up tlids-edge" in said, said[-300:])
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    capturing(pi)
    enabled = pi.must("systemctl is-enabled tlids-edge.service tlids-capture.socket").split()
    expect(enabled == ["enabled", "enabled"], f"enabled: {enabled}")
    words = re.search(r"watching \S+: model \S+", journal(pi))
    return f"asked nothing; {words[0] if words else 'no word of watching'}; enabled"


def default_route(pi: Pi) -> str:
    """The capture listens on the interface of the default route."""
    line = pi.must("tr '\\0' ' ' < /proc/$(pgrep -x tlids-ring)/cmdline")
    expect(line.split()[1:] == ["edge0"], line)
    return line.split()[1]


def limits(pi: Pi) -> str:
    """The limits on memory: that of the address space always, MemoryMax where the kernel has it; of both processes."""
    found = {"tlids-edge": "systemctl show -P MainPID tlids-edge", "tlids-ring": "pgrep -x tlids-ring"}
    return "; ".join(f"{name}: {limited(pi, pi.must(asked), LIMITS[name])}" for name, asked in found.items())


def limited(pi: Pi, pid: str, limits: tuple[int, int]) -> str:
    """One process's limits on address space and group, in MiB, and what it used of them."""
    space = re.search(r"Max address space\s+(\d+)", pi.must(f"cat /proc/{pid}/limits"))
    expect(space and int(space[1]) == limits[0] << 20, f"limit on the address space {space and space[1]}")
    group = pi.run(f"cat /sys/fs/cgroup$(cut -d: -f3 /proc/{pid}/cgroup)/memory.max")[1]
    expect(not group.isdigit() or int(group) == limits[1] << 20, f"memory.max {group}")
    sizes = pi.must(f"awk '/VmHWM|VmPeak/ {{ print $1 $2 / 1000 }}' /proc/{pid}/status").split()
    held = f"memory.max {limits[1]} MiB" if group.isdigit() else "no memory.max"
    return f"LimitAS {limits[0]} MiB, {held}, {', '.join(size.replace(':', ' ') + ' MB' for size in sizes)}"


def scanned(pi: Pi, ports: str = "1-200") -> str:
    """A scan from the other end of the cable raises the fan-out rule and opens an incident."""
    before = count(pi, '"signature_id":9200011'), count(pi, '"signature_id":9300001')
    pi.must(SCAN.format(ports), 600)
    pi.wait(f"[ $(grep -c '\"signature_id\":9200011' {EVE}) -gt {before[0]} ]", "a fan-out alert")
    pi.wait(f"[ $(grep -c '\"signature_id\":9300001' {EVE}) -gt {before[1]} ]", "an incident")
    line = pi.must(f"grep '\"signature_id\":9200011' {EVE} | tail -1")
    alert = json.loads(line)
    expect(alert["src_ip"] == "10.77.0.2", f"source {alert['src_ip']}")
    return f"{alert['alert']['signature']}, from {alert['src_ip']}; an incident"


def discovered(pi: Pi) -> str:
    """Home Assistant's four sensors and a state of online are retained at the broker, and an incident is published."""
    settings(pi, TLIDS_OPTIONS="--mqtt localhost --name kitchen")
    told = "mosquitto_sub -v -t homeassistant/# -t tlids/kitchen/state -C 5 -W 120"
    lines = dict(line.split(" ", 1) for line in pi.must(told).splitlines())
    expect(lines.get("tlids/kitchen/state") == "online", f"state: {lines.get('tlids/kitchen/state')}")
    sensors = {topic: json.loads(text) for topic, text in lines.items() if topic.startswith("homeassistant/")}
    expect(len(sensors) == 4 and all("state_topic" in sensor for sensor in sensors.values()), str(list(sensors)))
    pi.must("systemd-run -q --unit=listener sh -c 'mosquitto_sub -t tlids/kitchen/incident -C 1 -W 600 > /run/heard'")
    scanned(pi, "1000-1200")
    pi.wait("[ -s /run/heard ]", "an incident at the broker")
    signature = json.loads(pi.must("head -1 /run/heard"))["alert"]["signature"]
    return f"{', '.join(sorted(sensor['name'] for sensor in sensors.values()))}; online; {signature}"


def upgraded(pi: Pi) -> str:
    """Installing the package once more keeps settings and state, and the service runs on."""
    kept = "md5sum /etc/default/tlids-edge /var/lib/tlids-edge/key* /var/lib/tlids-edge/*/*/card.json 2>/dev/null"
    before = pi.run(kept)[1]
    pi.must("apt-get install -y --reinstall /cargo/tlids-edge_*.deb", 1200)
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    capturing(pi)
    after = pi.run(kept)[1]
    expect(before == after and before, f"before {before}, after {after}")
    return f"{len(before.splitlines())} files of settings and state as before; active"


def purged(pi: Pi) -> str:
    """Nothing of the package is left: files, units, user, processes."""
    pi.must("apt-get purge -y tlids-edge", 900)
    others = " ".join(
        f"-not -path '{path}/*'" for path in ("/cargo", "/var/lib/dpkg", "/var/cache", "/var/log/journal")
    )
    names = "\\( -name '*tlids*' -o -path '*/tlids*' \\)"
    left = pi.must(
        f"find / -xdev {names} {others}; find /run -name '*tlids*' -not -path '/run/udev/*'; "  # the checks' own port
        "getent passwd tlids tlids-capture; pgrep -x 'tlids-ring|tcpdump'; pgrep -f '[t]lids_edge|[t]lids-edge'; true"
    )
    expect(not left, f"left: {' '.join(left.split()[:12])}")
    units = pi.run("systemctl list-unit-files --no-legend 'tlids*'")[1]
    expect(not units or "0 unit" in units, units)
    return "no file, unit, user or process of it is left"
