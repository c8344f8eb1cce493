"""The second home's hosts and the sites outside it that they know."""

import ipaddress

from testbed.network import Layout, Network

# host -> vendor prefixes (IEEE OUI) that such a device may have
VENDORS = {
    "router": ("3c:a6:2f", "c8:0e:14"),  # AVM
    "nas": ("00:11:32",),  # Synology
    "hub": ("00:17:88", "ec:b5:fa"),  # Signify: bulbs and switches on Zigbee behind it
    "camera": ("44:19:b6", "c0:56:e3"),  # Hikvision
    "thermostat": ("18:b4:30", "64:16:66"),  # Nest
    "air-sensor": ("00:0b:57", "84:2e:14"),  # Silicon Labs
    "water-meter": ("00:12:4b",),  # Texas Instruments
    "plug": ("10:d5:61", "68:57:2d"),  # Tuya
    "speaker": ("00:0e:58", "5c:aa:fd"),  # Sonos
    "console": ("00:d9:d1", "98:b6:e9"),  # Sony, Nintendo
    "phone": ("f0:18:98", "a4:83:e7"),  # Apple
    "laptop": ("f8:b1:56", "34:02:86"),  # Dell, Intel
    "tablet": ("f0:18:98", "a4:83:e7"),
    "attacker": ("00:e0:4c", "50:3e:aa"),  # Realtek, TP-Link: USB radios
}
LAYOUT = Layout(
    "second", VENDORS, ipaddress.ip_network("192.0.2.0/24"), "router", ipaddress.ip_network("2001:db8:ffff::/64"),
    servers=("c2", "c2-names"), settled=True,
)  # fmt: skip
SUBNET = "172.20.5.0/24"
SITES = (
    "cloud.thermostat.example", "api.plugs.example", "voice.speaker.example", "music.example", "video.example",
    "news.example", "mail.example", "shop.example", "photos.example", "social.example", "updates.example",
    "games.example", "cams.example", "bridge.example", "apps.example", "weather.example",
)  # fmt: skip
DNS, TIME, STUN, GAME, MEDIA, BROKER = (
    f"{name}.example" for name in ("dns", "time", "stun", "match.games", "media", "mqtt.bridge")
)
SERVICES = (DNS, TIME, STUN, GAME, MEDIA, BROKER)
PAGES = ("news.example", "mail.example", "shop.example", "social.example", "weather.example", "photos.example")
FOUR_ONLY = ("camera", "plug", "water-meter", "router")  # the home's names of these have no IPv6 address
TUNNEL = "x7.example"  # the zone of the attacker's name server
MQTT_USERS = ("hub", "nas", "phone", "thermostat")
MAINTAINER = "maintainer"
WEAK = ("root", "xc3511")  # the camera's factory login, of which its owner knows nothing


def address(name: str) -> str:
    """The IPv4 address of a site or service outside."""
    return str(LAYOUT.outside[10 + (*SITES, *SERVICES).index(name)])


def address6(name: str) -> str:
    """Its IPv6 address; empty for one in three, which has none."""
    number = (*SITES, *SERVICES).index(name)
    return "" if number % 3 == 2 else str(LAYOUT.outside6[10 + number])


def addresses(name: str, network: Network | None = None) -> list[str]:
    """All addresses of a name outside or, when the network is given, of one of the home's."""
    if network is not None and name.removesuffix(".home") in network.hosts:
        host = network.hosts[name.removesuffix(".home")]
        return [one for one in (host.address, host.address6 if host.name not in FOUR_ONLY else "") if one]
    if name not in (*SITES, *SERVICES):
        return []
    return [one for one in (address(name), address6(name)) if one]
