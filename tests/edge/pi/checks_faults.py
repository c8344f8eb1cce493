"""Checks of what a Pi meets in years: files moved, processes killed, a cable pulled, a full disk, power that fails."""

import re

from checks_install import CAPTURING, EVE, SCAN, capturing, expect, journal, scanned, settings
from emulator import CheckError, Pi
from system import run

LOGS = "/var/log/tlids"


def rotated(pi: Pi) -> str:
    """Debian's logrotate moves the file and signals the service, which then writes to a new one."""
    settings(pi, TLIDS_OPTIONS="--eve-max-mb 0 --keep-days 0")
    scanned(pi, "1300-1500")
    rule = f"{LOGS}/*.json {{ su tlids tlids\n rotate 2\n postrotate\n systemctl reload tlids-edge\n endscript\n }}"
    pi.must(f"cat > /tmp/rule <<'END'\n{rule}\nEND\nchmod 0644 /tmp/rule; logrotate -f -s /tmp/state /tmp/rule")
    moved = int(pi.must(f"stat -c %s {EVE}.1"))
    pi.wait(f"[ -e {EVE} ]", "a new EVE file")
    pi.must(SCAN.format("1600-1800"), 600)
    # a rule alerts once a minute, so it is the flows of the second scan that must be there
    pi.wait(f"grep -qE '\"dest_port\":1[678][0-9][0-9],' {EVE}", "an alert in the new file")
    expect(int(pi.must(f"stat -c %s {EVE}.1")) == moved, "the old file grew")
    return f"{moved} bytes in eve.json.1, which no longer grows; alerts in the new eve.json"


def capture_killed(pi: Pi) -> str:
    """kill -9 of the capture: the gap is reported, capture starts again, the program runs on, and attacks are seen."""
    settings(pi, TLIDS_OPTIONS="")
    main, old = pi.must("systemctl show -P MainPID tlids-edge"), pi.must("pgrep -x tlids-ring")
    pi.must(f"kill -9 {old}")
    pi.wait(f"pgrep -x tlids-ring | grep -qvx {old}", "another capture")
    capturing(pi)
    pi.wait("journalctl -q -o cat -u tlids-edge -n 40 | grep -q 'capturing again'", "the word of a gap")
    expect(pi.must("systemctl show -P MainPID tlids-edge") == main, "the program did not survive")
    gap = re.findall(r"capturing again after a gap of ([0-9.]+ s)", journal(pi))[-1]
    scanned(pi, "2000-2200")
    return f"a gap of {gap}, the program kept its process; a scan is reported"


def program_killed(pi: Pi) -> str:
    """kill -9 of the program: systemd starts it again, the capture of before ends, and attacks are seen."""
    main, old = pi.must("systemctl show -P MainPID tlids-edge"), pi.must("pgrep -x tlids-ring")
    pi.must(f"kill -9 {main}")
    pi.wait(f"p=$(systemctl show -P MainPID tlids-edge); [ $p -gt 0 ] && [ $p != {main} ]", "another process")
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    pi.wait(f"! pgrep -x tlids-ring | grep -qx {old}", "the end of the old capture")
    capturing(pi)
    expect(len(pi.must("pgrep -x tlids-ring").split()) == 1, "more than one capture")
    scanned(pi, "2300-2500")
    restarts = pi.must("systemctl show -P NRestarts tlids-edge")
    return f"restarted (NRestarts {restarts}), one capture; a scan is reported"


def interface_gone(pi: Pi) -> str:
    """The interface is deleted and made again: the program waits, captures again, and attacks are seen."""
    main = pi.must("systemctl show -P MainPID tlids-edge")
    pi.must("ip link del edge0")
    pi.wait("! pgrep -x tlids-ring", "the end of the capture")
    pi.must("sleep 15; systemctl is-active tlids-edge; systemctl is-active tlids-capture.socket")
    pi.must("sh /usr/local/lib/home.sh")
    pi.wait(CAPTURING, "a capture on the new interface")
    expect(pi.must("systemctl show -P MainPID tlids-edge") == main, "the program did not survive")
    gap = re.findall(r"capturing again after a gap of ([0-9.]+ s)", journal(pi))[-1]
    scanned(pi, "2600-2800")
    return f"a gap of {gap}, the program kept its process; a scan is reported"


def disk_full(pi: Pi) -> str:
    """The logs on a disk of 1 MB that fills: the journal reports it, capture continues, writing resumes with room."""
    pi.must(f"systemctl stop tlids-edge; mount -t tmpfs -o size=1M,mode=0750,uid=$(id -u tlids) none {LOGS}")
    try:
        settings(pi, TLIDS_OPTIONS="--all-flows --flow-alerts all")
        main = pi.must("systemctl show -P MainPID tlids-edge")
        pi.run(f"dd if=/dev/zero of={LOGS}/ballast bs=64k; chown tlids {LOGS}/ballast")
        pi.must(SCAN.format("3000-3200"), 600)
        pi.wait("journalctl -q -o cat -u tlids-edge -n 60 | grep -q 'No space left'", "the word of a full disk")
        pi.must(f"rm {LOGS}/ballast")
        pi.must(SCAN.format("3300-3500"), 600)
        # a rule alerts once a minute, so it is the flows of the second scan that must be there
        pi.wait(f"grep -qE '\"dest_port\":3[345][0-9][0-9],' {EVE}", "flows after room was made")
        expect(pi.must("systemctl show -P MainPID tlids-edge") == main, "the program did not survive")
        said = re.findall(r"[^\n]*No space left[^\n]*", journal(pi))[0]
    finally:
        pi.run(f"systemctl stop tlids-edge; umount {LOGS}; systemctl start tlids-edge")
    return f"said: {said.removeprefix('tlids-edge: ')[:110]}; then wrote again"


def power_cut(pi: Pi) -> str:
    """QEMU is killed while alerts are written; fsck repairs the disk without a question, and the service comes up."""
    settings(pi, TLIDS_OPTIONS="--all-flows --flow-alerts all")
    pi.must(f"systemd-run -q --unit=scans sh -c 'for n in 1 2 3 4 5 6; do {SCAN.format('1-400')}; done'")
    pi.wait(f"[ $(wc -l < {EVE}) -gt 50 ]", "lines being written")
    pi.cut()
    try:
        said = run("fsck.ext4", "-p", "-f", str(pi.disk))
    except Exception as error:  # status 1: repaired
        said = str(error)
        if "status 1:" not in said:
            raise CheckError(said[:300]) from error
    pi.start()
    pi.wait("systemctl is-active -q tlids-edge", "an active tlids-edge")
    capturing(pi)
    whole = pi.must(
        'python3 -c \'import json, glob\nfor path in glob.glob("/var/log/tlids/*.json"):\n'
        '    lines = open(path, "rb").read().split(b"\\n")\n    bad = 0\n    for line in lines:\n'
        "        try:\n            line and json.loads(line)\n        except ValueError:\n            bad += 1\n"
        '    print(path.rsplit("/", 1)[1], len(lines) - 1, bad)\''
    )
    scanned(pi, "3600-3800")
    fsck = said.strip().splitlines()[-1].removeprefix("expected fsck.ext4 to succeed, found ")[:90]
    return f"fsck -p: {fsck}; lines and damaged ones: {', '.join(whole.splitlines())}; a scan is reported"
