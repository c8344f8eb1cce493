"""Numbers of 20 bits that stand for a device, and for a service or network together with its device (see `profiles`).

They are mixed with random bytes, the salt, that are drawn when learning begins. That keeps addresses out of files, but
it does not keep them secret from whoever has the salt: the MAC addresses of one maker can be tried one by one, then the
services, and of the 2^24 IPv4 networks some 16 fit each number.
"""

import numpy as np

from tlids_edge.flows.rows import mac_numbers

BITS = 20
CODES = 1 << BITS
SALT_BYTES = 16
LISTENING = 32_768  # a smaller port of the destination names the service: Linux chooses source ports from here on
SERVICES, NETWORKS = KINDS = ("services", "networks")
_MAC = np.uint64((1 << 48) - 1)
_ADDRESS = np.uint64(1 << 63)  # what stands for an address is no link-layer address
_STEP, _FIRST, _SECOND = (np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def owners_of(rows: np.ndarray) -> np.ndarray:
    """A number for the device that initiated each row of a ROW array, never 0: uint64 (n,)."""
    owners = mac_numbers(rows)
    bare = owners & _MAC == 0
    if bare.any():
        halves = np.ascontiguousarray(rows["src"][bare]).view("<u8").reshape(-1, 2)
        owners[bare] = _mixed(halves[:, 0], halves[:, 1], rows["address_bytes"][bare].astype(np.uint64)) | _ADDRESS
    return owners


def used_services_of(rows: np.ndarray) -> np.ndarray:
    """The service that each row of a ROW array uses, protocol << 16 | port: uint32 (n,).

    The port is the destination's, or the smaller one where that is LISTENING or more: a capture that begins within a
    flow may have its sides exchanged. `rows.services_of` would take a device's own small port for a service.
    """
    smaller = np.minimum(rows["src_port"], rows["dst_port"])
    return rows["protocol"].astype(np.uint32) << 16 | np.where(rows["dst_port"] < LISTENING, rows["dst_port"], smaller)


def networks_of(rows: np.ndarray) -> np.ndarray:
    """A number for the network that each row of a ROW array goes to: uint64 (n,)."""
    first = np.ascontiguousarray(rows["dst"]).view("<u8").reshape(-1, 2)[:, 0]
    longer = rows["address_bytes"] == 16
    mask = np.where(longer, np.uint64(0xFFFF_FFFF), np.uint64(0xFF_FFFF))
    return first & mask | longer.astype(np.uint64) << np.uint64(32)


class Codes:
    """The numbers of 20 bits under one salt; int64 (n,)."""

    def __init__(self, salt: bytes) -> None:
        """`salt` has SALT_BYTES."""
        words = np.frombuffer(salt, "<u8")
        begun = [_mixed(words[:1], words[1:], np.array([kind], np.uint64)) for kind in range(3)]
        self._device, self._kinds = begun[0], dict(zip(KINDS, begun[1:], strict=True))

    def devices(self, owners: np.ndarray) -> np.ndarray:
        """Of devices, by their numbers (n,)."""
        return _top(_mixed(self._device, owners))

    def pairs(self, kind: str, devices: np.ndarray, owners: np.ndarray, things: np.ndarray) -> np.ndarray:
        """Device's number << 20 | number of what it uses; `things` are services or networks, all (n,)."""
        return devices << BITS | _top(_mixed(self._kinds[kind], owners, things.astype(np.uint64)))


def _mixed(*words: np.ndarray) -> np.ndarray:
    """64 bits in which every bit depends on all of these uint64 columns: SplitMix64 (Steele et al. 2014) in a chain."""
    total = np.zeros(1, np.uint64)
    for word in words:
        total = (total ^ word) + _STEP
        total = (total ^ total >> np.uint64(30)) * _FIRST
        total = (total ^ total >> np.uint64(27)) * _SECOND
        total ^= total >> np.uint64(31)
    return total


def _top(mixed: np.ndarray) -> np.ndarray:
    """The highest 20 of 64 bits."""
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)
