"""The names of link types, and the refusal of a capture that holds none that can be read.

Numbers and names are those of https://www.tcpdump.org/linktypes.html.
"""

from collections.abc import Iterable

from tlids_edge.capture.link_layers import LINK_TYPES
from tlids_edge.errors import InputError

_EXPECTED = "expected a link type whose IP packets can be read (Ethernet, Wi-Fi, Linux cooked, PPP, raw IP, ...)"
_REMEDY = "record on an interface of the IP network"
NAMES = {
    0: "BSD loopback", 1: "Ethernet", 3: "AX.25", 6: "IEEE 802.5 Token Ring", 7: "ARCNET", 8: "SLIP", 9: "PPP",
    10: "FDDI", 12: "raw IP", 14: "raw IP", 50: "PPP", 51: "PPPoE", 99: "Symantec firewall", 100: "ATM RFC 1483",
    101: "raw IP", 104: "Cisco HDLC", 105: "IEEE 802.11 Wi-Fi", 107: "Frame Relay", 108: "OpenBSD loopback",
    109: "OpenBSD IPsec", 113: "Linux cooked", 114: "Apple LocalTalk", 117: "OpenBSD pflog", 119: "Prism Wi-Fi",
    122: "IP over Fibre Channel", 123: "SunATM", 127: "radiotap Wi-Fi", 129: "Linux ARCNET",
    138: "Apple IP over IEEE 1394", 139: "SS7 MTP2 with a header", 140: "SS7 MTP2", 141: "SS7 MTP3", 142: "SS7 SCCP",
    143: "DOCSIS", 144: "Linux IrDA", 161: "Siemens KNX", 163: "AVS Wi-Fi", 165: "BACnet MS/TP",
    166: "PPP of pppd", 169: "GPRS LLC", 170: "GFP-T", 171: "GFP-F", 177: "Linux LAPD",
    182: "Frame Relay with MFR", 187: "Bluetooth HCI H4", 189: "Linux USB", 190: "CAN 2.0B",
    191: "IEEE 802.15.4 of Linux", 192: "PPI", 195: "IEEE 802.15.4 (Zigbee, Thread) with FCS", 196: "SITA",
    197: "Endace ERF", 199: "IPMB", 201: "Bluetooth HCI H4 with direction", 202: "AX.25 KISS", 203: "LAPD",
    204: "PPP with direction", 205: "Cisco HDLC with direction", 206: "Frame Relay with direction", 209: "I2C",
    210: "FlexRay", 211: "MOST", 212: "LIN", 215: "IEEE 802.15.4 non-ASK PHY", 216: "Linux evdev", 219: "MPLS",
    220: "Linux USB, memory-mapped", 223: "DECT", 224: "AOS Space Data Link", 225: "WirelessHART",
    226: "Solaris ipnet", 227: "SocketCAN", 228: "raw IPv4", 229: "raw IPv6",
    230: "IEEE 802.15.4 (Zigbee, Thread) without FCS", 231: "D-Bus", 235: "DVB-CI", 236: "3GPP 27.010 multiplexing",
    237: "STANAG 5066", 239: "NFLOG", 240: "Hilscher netANALYZER", 241: "Hilscher netANALYZER, transparent",
    242: "IP over InfiniBand", 243: "MPEG-2 transport stream", 244: "nsclick Ethernet", 245: "NFC LLCP",
    247: "InfiniBand", 248: "SCTP", 249: "USBPcap", 250: "Schweitzer RTAC serial", 251: "Bluetooth Low Energy",
    253: "Linux netlink", 254: "Bluetooth monitor of Linux", 255: "Bluetooth BR/EDR baseband",
    256: "Bluetooth Low Energy with a header", 257: "PROFIBUS", 258: "Apple PKTAP", 259: "EPON preamble",
    260: "IPMI HPM.2", 261: "Z-Wave R1/R2", 262: "Z-Wave R3", 263: "WattStopper DLM", 264: "ISO 14443 (NFC)",
    265: "RDS radio", 266: "macOS USB", 268: "SDLC", 270: "LoRaTap", 271: "VSOCK", 272: "Nordic BLE sniffer",
    273: "DOCSIS 3.1 XRA", 274: "Ethernet mPacket", 275: "DisplayPort AUX", 276: "Linux cooked v2",
    278: "OpenVizsla USB", 279: "Elektrobit EBHSCR", 280: "VPP trace", 281: "DSA tag of Broadcom",
    282: "DSA tag of Broadcom, in front", 283: "IEEE 802.15.4 TAP", 284: "DSA tag of Marvell",
    285: "EtherType DSA tag of Marvell", 286: "ELEE lawful interception", 287: "Z-Wave serial", 288: "USB 2.0",
    289: "ATSC ALP", 290: "Event Tracing for Windows", 292: "ZBOSS NCP (Zigbee)", 293: "USB 2.0 low speed",
    294: "USB 2.0 full speed", 295: "USB 2.0 high speed", 296: "Auerswald log", 298: "Silicon Labs debug channel",
}  # fmt: skip


def link_name(link_type: int) -> str:
    """The name of a link type and its number, or the number alone."""
    return f"{NAMES[link_type]} ({link_type})" if link_type in NAMES else f"link type {link_type}"


def refuse_unreadable(link_types: Iterable[int], where: str = "") -> None:
    """Refuse a capture that holds packets of these link types alone; `where` it was found ends the first half.

    Raises:
        InputError: there are some, and none of them can be read; at most five are named.
    """
    found = sorted(set(link_types))
    if found and not any(link_type in LINK_TYPES for link_type in found):
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise InputError(f"{_EXPECTED}, found {', '.join(map(link_name, found[:5]))}{more}{where}", _REMEDY)
