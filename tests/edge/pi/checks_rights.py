"""Checks of what the two processes may do, who owns what was installed, and where the broker's password is seen."""

import json
import re

from checks_install import expect, settings
from emulator import Pi

EXPOSURE = 2.3
OWN_FOLDERS = {"/var/lib/tlids-edge", "/var/log/tlids"}
PRIVATE_FOLDERS = {"/tmp", "/var/tmp"}  # this unit's alone
UNIT, PROBE_UNIT = "/usr/lib/systemd/system/tlids-edge.service", "/run/systemd/system/probe.service"
AS_A_PROBE = (
    "s|^Type=.*|Type=oneshot|; s|^ExecStart=.*|ExecStart=/usr/bin/python3 /cargo/probe.py|; /^Restart/d; /^Watchdog/d"
)
MODEL = "/usr/share/tlids-edge/models/testbed/model.tflite"
NET_RAW = 1 << 13  # CAP_NET_RAW of linux/capability.h
PASSWORD = "quiet-word-731"
BROKER = "listener 1884 127.0.0.1\\nallow_anonymous false\\npassword_file /etc/mosquitto/login\\n"


def confined(pi: Pi) -> str:
    """No capability; at most CAP_NET_RAW in the bounding sets, no new privileges, other users; units' exposure."""
    seen = []
    for name, bound in (("tlids-edge", 0), ("tlids-ring", NET_RAW)):
        asked = ("systemctl show -P MainPID tlids-edge", "pgrep -x tlids-ring")[name == "tlids-ring"]
        status = dict(re.findall(r"(\w+):\s+(.*)", pi.must(f"cat /proc/$({asked})/status")))
        user = status["Uid"].split()[0]
        expect(int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, f"{name}: capabilities {status['CapPrm']}")
        expect(int(status["CapBnd"], 16) == bound, f"{name}: bounding set {status['CapBnd']}")
        expect(status["NoNewPrivs"] == "1" and user != "0", f"{name}: user {user}, NoNewPrivs {status['NoNewPrivs']}")
        seen.append(f"{name} no capability")
    unit = pi.must("systemctl list-units --plain --no-legend 'tlids-capture@*.service' | cut -d' ' -f1").split()[0]
    for name in ("tlids-edge.service", unit):
        figure = float(re.search(r"exposure level for .*: ([0-9.]+)", pi.run(f"systemd-analyze security {name}")[1])[1])
        expect(figure <= EXPOSURE, f"{name}: exposure {figure}")
        seen.append(f"exposure {figure}")
    return ", ".join(seen)


def owned(pi: Pi) -> str:
    """Nobody but root may write what the package installed."""
    listed = "dpkg -L tlids-edge | grep tlids | while read f; do find $f -maxdepth 0 {0}; done"
    below = "find /usr/lib/tlids-edge /usr/share/tlids-edge {0}"
    found = pi.must(f"{listed}; {below}".replace("{0}", "\\( ! -user root -o -perm /022 \\) ! -type l"))
    expect(not found, found[:300])
    return "every file is root's alone to write"


def pinned(pi: Pi) -> str:
    """A model with another byte at its end: the service does not start, and does with the package's own."""
    pi.must(f"cp -p {MODEL} /run/kept.tflite; printf x >> {MODEL}")
    pi.run("systemctl restart tlids-edge", 300)
    heard = "journalctl -q -o cat -u tlids-edge | grep 'model.tflite: FAILED'"
    pi.wait(heard, "the name of the changed file")
    expect(pi.run("systemctl is-active -q tlids-edge")[0] != 0, "the service runs with the changed model")
    pi.must(f"cp -p /run/kept.tflite {MODEL}; systemctl restart tlids-edge", 300)
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    return f"not started: {pi.must(heard).splitlines()[-1]}; started with the package's own"


def probed(pi: Pi) -> str:
    """A probe in the unit's place: no AF_PACKET, nothing gained by a set-uid program, writing in its folders alone."""
    pi.must("install -m 4755 /usr/bin/id /usr/local/lib/root-id")
    outside = pi.must("setpriv --reuid tlids --regid tlids --clear-groups /usr/local/lib/root-id -u")
    expect(outside == "0", f"a set-uid program outside the unit ran as {outside}")
    pi.must(f"sed '{AS_A_PROBE}' {UNIT} > {PROBE_UNIT}; systemctl daemon-reload; systemctl start probe", 600)
    heard = "journalctl -q -o cat -u probe | grep '^probe: '"
    pi.wait(heard, "the probe's word")
    packets, user, writable = json.loads(pi.must(heard).removeprefix("probe: "))
    pi.must(f"rm {PROBE_UNIT} /usr/local/lib/root-id; systemctl daemon-reload")
    expect(packets != "open", "AF_PACKET can be opened")
    expect(user == pi.must("id -u tlids"), f"a set-uid program ran as {user}")
    expect(set(writable) == OWN_FOLDERS | PRIVATE_FOLDERS, f"may write in {' '.join(writable)}")
    return f"AF_PACKET: {packets}; set-uid: user {user}; may write in {' '.join(writable)}"


def secret(pi: Pi) -> str:
    """The broker's password, handed over by systemd, opens the door and is in no environment or journal."""
    pi.must(f"printf '{BROKER}' > /run/broker.conf; mosquitto_passwd -b -c /etc/mosquitto/login sensor {PASSWORD}; "
            "chown mosquitto /etc/mosquitto/login; systemd-run -q --unit=broker mosquitto -c /run/broker.conf; "
            f"printf {PASSWORD} | install -D -m 0600 /dev/stdin /etc/credstore/mqtt-password")  # fmt: skip
    settings(pi, TLIDS_OPTIONS="--mqtt localhost:1884 --name kitchen", TLIDS_MQTT_USER="sensor")
    login = f"-p 1884 -u sensor -P {PASSWORD}"
    state = pi.must(f"mosquitto_sub {login} -t tlids/kitchen/state -C 1 -W 120")
    expect(state == "online", f"state at the broker that asks for a login: {state}")
    word = f"[{PASSWORD[0]}]{PASSWORD[1:]}"  # a pattern that does not find itself
    expect(pi.must(f"grep -l '{word}' /etc/credstore/*"), "the pattern does not find the password where it is")
    found = pi.run(
        f"grep -salE '{word}' /proc/[0-9]*/environ /proc/[0-9]*/cmdline; systemctl show 'tlids-*' | grep '{word}'; "
        f"journalctl -q | grep '{word}'"
    )[1]
    pi.must("systemctl stop broker; rm /etc/credstore/mqtt-password /etc/mosquitto/login")
    settings(pi, TLIDS_OPTIONS="")
    expect(not found, f"the password is in {found[:200]}")
    return "online at a broker that asks for a login; in no environment, command line, journal or `systemctl show`"
