"""The home's network: a bridge and one network namespace for each host, all inside namespaces of their own.

`isolated` puts a command under `unshare`: fresh network, mount and PID namespaces. Whatever is built in there, the
kernel removes with the PID namespace's first process: on success, on failure, on Ctrl-C, even after SIGKILL. There is
no link and no route out of it, and files are written to a tmpfs that goes with it.
"""

import ipaddress
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tlids_edge.errors import InputError

OUTSIDE = "TLIDS_TESTBED_OUTSIDE"  # the inodes of the namespaces that `isolated` was called in
BRIDGE = "br0"
PORT_PREFIX = "tl-"  # the bridge's end of a host's veth pair
FOLDER = Path("/run/testbed")  # in a tmpfs of our own mount namespace
OUTSIDE_NETWORK = ipaddress.ip_network("198.51.100.0/24")  # TEST-NET-2 (RFC 5737) stands for the world outside
# host -> vendor prefixes (IEEE OUI) that such a device may have
VENDORS = {
    "router": ("b0:be:76", "c4:e9:84"),  # TP-Link
    "pi-server": ("b8:27:eb", "dc:a6:32", "e4:5f:01"),  # Raspberry Pi
    "fire-alarm": ("5c:cf:7f", "84:f3:eb", "ec:fa:bc"),  # Espressif
    "room-light": ("5c:cf:7f", "84:f3:eb", "ec:fa:bc"),
    "phone": ("ac:37:43", "40:4e:36"),  # HTC
    "laptop": ("8c:16:45", "54:e1:ad"),  # LCFC (Lenovo)
    "television": ("8c:79:f5", "c0:97:27"),  # Samsung
    "attacker": ("00:c0:ca", "9c:ef:d5"),  # Alfa, Panda: USB radios
}
PROGRAMS = {
    "ip": "iproute2",
    "sysctl": "procps",
    "ethtool": "ethtool",
    "tcpdump": "tcpdump",
    "unshare": "util-linux",
    "mount": "mount",
}


@dataclass(frozen=True)
class Layout:
    """What tells one kind of home from another: its hosts, and the world outside its router."""

    name: str
    vendors: dict[str, tuple[str, ...]]  # host -> vendor prefixes, as VENDORS
    outside: ipaddress.IPv4Network  # ends at the router's loopback
    resolver: str  # the host that answers DNS
    outside6: ipaddress.IPv6Network | None = None  # None: a home without IPv6 addresses
    servers: tuple[str, ...] = ()  # names of addresses outside that have one of their own, from outside[200] on
    settled: bool = False  # one household: the same hosts whatever the session's seed is

    def server(self, name: str) -> str:
        """The address of a server outside that an attack's commands name."""
        return str(self.outside[200 + self.servers.index(name)])


FIRST = Layout("first", VENDORS, OUTSIDE_NETWORK, "pi-server")


@dataclass(frozen=True)
class Plan:
    """What tells one recording from another: a seed, the network the hosts live in, the kind of home."""

    seed: int
    subnet: str = "192.168.7.0/24"
    layout: Layout = FIRST

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self.seed} {purpose}")


@dataclass(frozen=True)
class Host:
    """A host of the home; its network namespace bears its name."""

    name: str
    address: str
    mac: str
    address6: str = ""  # where the home has IPv6


@dataclass
class Network:
    """A built network: the hosts by name, and what was started in it."""

    plan: Plan
    hosts: dict[str, Host]
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, host: str, argv: list[str], **popen: object) -> subprocess.Popen:
        """Start a program in a host's namespace, in a process group of its own."""
        refuse_outside()
        command = ["ip", "netns", "exec", self.hosts[host].name, *argv]
        process = subprocess.Popen(command, **{"start_new_session": True, "stdin": subprocess.DEVNULL, **popen})
        self.started.append(process)
        return process

    def run(self, host: str, argv: list[str], timeout: float) -> subprocess.CompletedProcess:
        """Run a program in a host's namespace to its end; standard output and error as text.

        Raises:
            subprocess.TimeoutExpired: it took longer than `timeout` seconds and was killed, children included.
        """
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        process = self.start(host, argv, **pipes)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            self.stop(process)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def capture(self, path: str | Path) -> subprocess.Popen:
        """Record every frame on the bridge, once and whole, from the moment this returns until `stop`."""
        refuse_outside()
        # immediate: else what the kernel has not yet handed over is lost, uncounted, when tcpdump is stopped
        options = ["-n", "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-Z", "root"]
        command = ["tcpdump", "-i", BRIDGE, *options, "-w", str(path)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        self.started.append(process)
        for line in process.stderr:
            if b"listening on" in line:
                return process
        raise InputError(f"expected tcpdump to listen on {BRIDGE}, found it ended: run it by hand to see why")

    def stop(self, process: subprocess.Popen, seconds: float = 5) -> str:
        """End a process and its group, by force after `seconds`; what it last wrote to a piped standard error."""
        said = ""
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal_group(process, number)
            try:
                said = drained(process, seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        signal_group(process, signal.SIGKILL)  # a child that outlived its parent
        if process in self.started:
            self.started.remove(process)
        return said

    def close(self) -> None:
        """End everything that was started, the last first."""
        for process in reversed(self.started):
            signal_group(process, signal.SIGTERM)
        for process in list(reversed(self.started)):
            self.stop(process)


def signal_group(process: subprocess.Popen, number: int) -> None:
    """Signal a process and what it started; nothing when they are gone."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def drained(process: subprocess.Popen, seconds: float) -> str:
    """Wait for a process; the rest of its standard error, empty when that is no pipe."""
    if process.stderr is None or process.stderr.closed:
        process.wait(seconds)
        return ""
    _, said = process.communicate(timeout=seconds)
    return (said.decode(errors="replace") if isinstance(said, bytes) else said) or ""


def isolated(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command and environment that run `argv` in fresh namespaces.

    Raises:
        InputError: not root, or a program is missing.
    """
    if os.geteuid() != 0:
        raise InputError("expected root, who may make network namespaces, found another user: run it with sudo")
    need_programs(PROGRAMS)
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    return [*unshare, *argv], {**os.environ, OUTSIDE: namespace_inodes()}


def need_programs(programs: dict[str, str]) -> None:
    """Refuse to start without programs; `programs` names the Debian package of each.

    Raises:
        InputError: the sentence names what is missing and the command that installs it.
    """
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if missing:
        packages = " ".join(sorted({programs[name] for name in missing}))
        raise InputError(
            f"expected the programs of testbed/apt-packages.txt, found no {', '.join(missing)}: "
            f"run `sudo apt install {packages}`"
        )


def namespace_inodes() -> str:
    """What tells these network, mount and PID namespaces from others."""
    return " ".join(str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("net", "mnt", "pid"))


def may_be_outside() -> bool:
    """Whether one of these namespaces is that of who called `isolated`, or nobody did."""
    outside = os.environ.get(OUTSIDE, "").split()
    return len(outside) != 3 or any(map(str.__eq__, outside, namespace_inodes().split()))


def links() -> list[str]:
    """The names of the network interfaces here."""
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split(":")[1].strip().split("@")[0] for line in shown.splitlines()]


def refuse_outside() -> None:
    """Go on only in namespaces that `isolated` made: others than its caller's, without foreign links.

    Raises:
        InputError: this is, or might be, a network that others use.
    """
    foreign = [name for name in links() if name not in ("lo", BRIDGE) and not name.startswith(PORT_PREFIX)]
    if may_be_outside() or foreign:
        found = f"the links {', '.join(foreign)}" if foreign else "the namespace it was started from"
        raise InputError(
            f"expected a network namespace made by the testbed, found {found}: start it with `python -m testbed`"
        )


def refuse_outside_host() -> None:
    """Go on only in the namespace of one of the testbed's hosts, which has a link of its own and no other.

    Raises:
        InputError: this is, or might be, a network that others use.
    """
    if may_be_outside() or set(links()) != {"lo", "eth0"} or not FOLDER.is_dir():
        raise InputError(
            "expected the network namespace of one of the testbed's hosts, found another: only the testbed starts this"
        )


def lab_address(network: Network, address: str) -> str:
    """The address itself, when it is that of a host of the home or of a server that its layout names.

    Raises:
        InputError: it is not; nothing may be sent there.
    """
    layout = network.plan.layout
    servers = {layout.server(name) for name in layout.servers}  # on the router's loopback
    if address not in {host.address for host in network.hosts.values()} | servers:
        raise InputError(f"expected the address of a host of the testbed, found {address!r}: nothing was sent")
    return address


def draw_hosts(plan: Plan) -> dict[str, Host]:
    """Addresses and MAC addresses of the home's hosts, drawn from the plan's seed.

    Raises:
        InputError: the subnet is not a private /24 network.
    """
    try:
        subnet = ipaddress.IPv4Network(plan.subnet)
    except ValueError as error:
        raise InputError(
            f"expected a subnet like 192.168.7.0/24, found {plan.subnet!r} ({error}): correct --subnet"
        ) from error
    layout = plan.layout
    if subnet.prefixlen != 24 or not subnet.is_private or subnet.overlaps(layout.outside):
        raise InputError(f"expected a private /24 network like 192.168.7.0/24, found {plan.subnet}: correct --subnet")
    draw = random.Random(f"{layout.name} hosts") if layout.settled else plan.random("hosts")
    numbers = [1, *draw.sample(range(2, 254), len(layout.vendors) - 1)]  # the router is .1, as in most homes
    hosts = {}
    for number, (name, prefixes) in zip(numbers, layout.vendors.items(), strict=True):
        tail = ":".join(f"{draw.randrange(256):02x}" for _ in range(3))
        mac = f"{draw.choice(prefixes)}:{tail}"
        hosts[name] = Host(name, str(subnet[number]), mac, address6(layout, mac) if name != "attacker" else "")
    return hosts


def address6(layout: Layout, mac: str) -> str:
    """The IPv6 address that a host gives itself from its MAC address (EUI-64, RFC 4291); empty without IPv6."""
    if layout.outside6 is None:
        return ""
    high, low = (int(mac.replace(":", "")[part], 16) for part in (slice(0, 6), slice(6, 12)))
    identifier = ((high ^ 0x020000) << 40) | (0xFFFE << 24) | low
    return str(ipaddress.IPv6Network("2001:db8:5::/64")[identifier])  # RFC 3849: addresses of examples


def build(plan: Plan) -> Network:
    """Make the bridge and the hosts; call it once, in what `isolated` started.

    Raises:
        InputError: not in fresh namespaces, an unusable subnet, or the kernel refused.
    """
    refuse_outside()
    hosts = draw_hosts(plan)
    try:
        mount_private()
        make_bridge()
        for host in hosts.values():
            join_host(host)
        make_routes(hosts, plan.layout)
    except subprocess.CalledProcessError as error:
        raise InputError(f"expected `{' '.join(error.cmd)}` to work, found: {error.stderr.decode().strip()}") from error
    network = Network(plan, hosts)
    wait_until_joined(network)
    return network


def command(*argv: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)


def mount_private() -> None:
    """Put a tmpfs over /run and a resolver's address over /etc/resolv.conf, for this mount namespace alone."""
    resolver = Path("/etc/resolv.conf").resolve()
    command("mount", "--make-rprivate", "/")
    command("mount", "-t", "sysfs", "sysfs", "/sys")  # else it lists the links of the namespace outside
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in ("netns", "sshd", "testbed"):
        Path("/run", folder).mkdir()
    FOLDER.chmod(0o755)
    (FOLDER / "resolv.conf").touch()
    if not resolver.exists():  # it pointed into the /run that is now hidden
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.touch()
    command("mount", "--bind", str(FOLDER / "resolv.conf"), str(resolver))


def make_bridge() -> None:
    """A bridge that forwards everything and says nothing itself."""
    command("ip", "link", "set", "lo", "up")
    command("ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
    command("sysctl", "-qw", f"net.ipv6.conf.{BRIDGE}.disable_ipv6=1")
    command("ip", "link", "set", BRIDGE, "up")


def join_host(host: Host) -> None:
    """A namespace of the host's name, joined to the bridge by a veth pair, with the stack of a host on a wire."""
    port = f"{PORT_PREFIX}{host.name}"
    inside = ["ip", "-n", host.name]
    command("ip", "netns", "add", host.name)
    command("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    command("sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1")
    command(*inside, "link", "set", "lo", "up")
    if host.name == "attacker":  # it says nothing unasked, so that all it sends is an attack
        command("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    command(*inside, "link", "set", "eth0", "address", host.mac)
    # frames must be as a wire carries them: 1,500 bytes at most, with their checksums
    off = ["tso", "off", "gso", "off", "gro", "off", "tx", "off", "rx", "off"]
    command("ip", "netns", "exec", host.name, "ethtool", "-K", "eth0", *off)
    command("ip", "link", "set", port, "master", BRIDGE, "up")
    command(*inside, "addr", "add", f"{host.address}/24", "brd", "+", "dev", "eth0")
    if host.address6:
        command(*inside, "addr", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
    command(*inside, "link", "set", "eth0", "up")
    # a home's devices answer pings of everyone, whatever the machine's own setting is
    command("ip", "netns", "exec", host.name, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")


def make_routes(hosts: dict[str, Host], layout: Layout = FIRST) -> None:
    """The router is everybody's gateway; the world outside is a few addresses on its loopback, and ends there."""
    for host in hosts.values():
        if host.name != "router":
            command("ip", "-n", host.name, "route", "add", "default", "via", hosts["router"].address)
            if host.address6:
                command("ip", "-6", "-n", host.name, "route", "add", "default", "via", hosts["router"].address6)
    command("ip", "-n", "router", "addr", "add", str(layout.outside), "dev", "lo")
    command("ip", "-n", "router", "route", "add", "unreachable", "default")
    if layout.outside6 is not None:
        command("ip", "-6", "-n", "router", "route", "add", "local", str(layout.outside6), "dev", "lo")
        command("ip", "-6", "-n", "router", "route", "add", "unreachable", "default")
    resolver = hosts[layout.resolver].address
    (FOLDER / "resolv.conf").write_text(f"nameserver {resolver}\nsearch home\noptions timeout:2\n")


def wait_until_joined(network: Network, seconds: float = 20) -> None:
    """Wait until the bridge forwards and every host is reached.

    Raises:
        InputError: a host was not reached in time.
    """
    end = time.monotonic() + seconds
    for host in network.hosts.values():
        ready = ["ip", "-n", host.name, "-o", "link", "show", "eth0"]
        while b"state UP" not in subprocess.run(ready, capture_output=True, check=True).stdout:
            if time.monotonic() > end:
                raise InputError(
                    f"expected the link of {host.name} to come up in {seconds:g} s, found it down: try again"
                )
            time.sleep(0.05)
