"""Application ids from nDPI, Debian's libndpi, through ctypes.

Bookworm and trixie both ship nDPI 4.2 (`apt install libndpi4.2`, on trixie `libndpi4.2t64`). Other releases number
applications otherwise and pass arguments otherwise, so they are refused rather than called wrongly. Sizes come from
the library; the only layout relied on is that of `ndpi_protocol`, which 4.2's public functions return.

Each flow's first packets are shown to nDPI, as ndpiReader does it: until the application is known and nothing more is
to be learnt of it, or 80 packets of TCP or 24 of another protocol have passed; what is unknown by then, or when the
flow ends, nDPI guesses from addresses and ports.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from functools import lru_cache

from tlids_edge.capture.packets import TCP, Packet

LIBRARY = "libndpi.so.4.2"
RELEASE = "4.2"
MAX_TCP_PACKETS, MAX_OTHER_PACKETS = 80, 24  # ndpiReader's limits
_MASTER, _APP = 0xFFFF, 0xFFFF0000  # for DNS to Google master is 5 and app 126; both machines are little-endian
_PROTOCOL_BITS = 512  # NDPI_NUM_BITS: a bit for each protocol to look for


class NdpiUnavailable(RuntimeError):  # noqa: N818 - it says a state, and the state is not always an error
    """The nDPI library is absent or of another release; L7_PROTO is 0 then."""


# `ndpi_protocol` of 4.2 is { uint16 master, app; enum category }. x86-64 and aarch64 return a struct of eight bytes in
# one register, so it is read as an integer, which is cheaper than a ctypes.Structure made for every packet.
_Protocol = c_uint64


class Dissection:
    """What nDPI holds for one flow whose application is not known yet."""

    __slots__ = ("pointer", "packets")

    def __init__(self, pointer: int) -> None:
        """Take over an `ndpi_flow_struct`."""
        self.pointer, self.packets = pointer, 0


class Ndpi:
    """One nDPI detection module."""

    def __init__(self, library: str | None = None) -> None:
        """Load the library.

        Raises:
            NdpiUnavailable: it is absent or not release 4.2.
        """
        try:
            self._library = ctypes.CDLL(library or LIBRARY)
        except OSError as error:
            raise NdpiUnavailable(
                f"expected nDPI {RELEASE}, found none ({error}): install it with `apt install libndpi4.2`"
            ) from error
        self._library.ndpi_revision.restype = c_char_p
        self.version = self._library.ndpi_revision().decode()
        if self.version.split(".")[:2] != RELEASE.split("."):
            raise NdpiUnavailable(
                f"expected nDPI {RELEASE}, found {self.version}: install it with `apt install libndpi4.2`"
            )
        self._declare()
        self._module = self._start_module()
        self._flow_size = self._library.ndpi_detection_get_sizeof_ndpi_flow_struct()
        self._was_guessed = byref(c_uint8())  # the function wants somewhere to say so
        self._process = self._library.ndpi_detection_process_packet

    def _declare(self) -> None:
        """State the types of the functions used (ndpi_api.h of 4.2)."""
        prototypes = {
            "ndpi_init_detection_module": (c_void_p, [c_uint32]),
            "ndpi_set_protocol_detection_bitmask2": (None, [c_void_p, c_char_p]),
            "ndpi_finalize_initialization": (None, [c_void_p]),
            "ndpi_exit_detection_module": (None, [c_void_p]),
            "ndpi_detection_get_sizeof_ndpi_flow_struct": (c_uint32, []),
            "ndpi_calloc": (c_void_p, [c_size_t, c_size_t]),
            "ndpi_free_flow": (None, [c_void_p]),
            "ndpi_detection_process_packet": (_Protocol, [c_void_p, c_void_p, c_char_p, c_uint16, c_uint64]),
            "ndpi_extra_dissection_possible": (c_uint8, [c_void_p, c_void_p]),
            "ndpi_detection_giveup": (_Protocol, [c_void_p, c_void_p, c_uint8, POINTER(c_uint8)]),
        }
        for name, (result, arguments) in prototypes.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments

    def _start_module(self) -> int:
        """Create a detection module that looks for every protocol."""
        module = self._library.ndpi_init_detection_module(0)
        if not module:
            raise NdpiUnavailable("expected nDPI to start, found no memory for it")
        self._library.ndpi_set_protocol_detection_bitmask2(module, b"\xff" * (_PROTOCOL_BITS // 8))
        self._library.ndpi_finalize_initialization(module)
        return module

    @property
    def module(self) -> int:
        """Where the library's module is, for the compiled meter."""
        return self._module

    @property
    def flow_size(self) -> int:
        """Bytes of the library's `ndpi_flow_struct`."""
        return self._flow_size

    def address(self, function: str) -> int:
        """Where one of the library's functions is."""
        return ctypes.cast(getattr(self._library, function), c_void_p).value

    def open(self) -> Dissection:
        """Begin a flow."""
        return Dissection(self._library.ndpi_calloc(1, self._flow_size))

    def inspect(self, dissection: Dissection, packet: Packet) -> float | None:
        """Show nDPI a packet. Returns the id and ends the dissection once the application is known, else None."""
        network = packet.frame[packet.ip_offset : packet.ip_offset + packet.length]
        pointer = dissection.pointer
        found = self._process(self._module, pointer, network, len(network), packet.time_us // 1000)
        dissection.packets += 1
        if dissection.packets > (MAX_TCP_PACKETS if packet.protocol == TCP else MAX_OTHER_PACKETS):
            return self.give_up(dissection)
        if not found & _APP or self._library.ndpi_extra_dissection_possible(self._module, pointer):
            return None
        return self._end(dissection, found)

    def give_up(self, dissection: Dissection) -> float:
        """End a dissection with what is known, or else with a guess from addresses and ports; 0 for unknown."""
        return self._end(
            dissection,
            self._library.ndpi_detection_giveup(self._module, dissection.pointer, 1, self._was_guessed),
        )

    def _end(self, dissection: Dissection, found: int) -> float:
        """Free what nDPI holds for the flow."""
        self._library.ndpi_free_flow(dissection.pointer)
        dissection.pointer = None
        return application_id(found & _MASTER, (found & _APP) >> 16)

    def close(self) -> None:
        """Free the module; open dissections must have ended."""
        if self._module:
            self._library.ndpi_exit_detection_module(self._module)
            self._module = None


@lru_cache(maxsize=1024)  # by way of text; the ids seen on one network are few
def application_id(master: int, app: int) -> float:
    """master.app as the datasets print it: 5.126 for DNS to Google, 7.0 for plain HTTP, 0.0 for unknown."""
    if master and app and master != app:
        return float(f"{master}.{app}")
    return float(app or master)


def numbers_of(application: float) -> tuple[int, int]:
    """A master and an app that `application_id` prints so."""
    master, app = map(int, str(application).split("."))
    if not app:
        return 0, master
    return master, app * 10 if app == master else app  # 1.1 is 1.10 or 1.100: 1.1 would be printed 1.0


def open_ndpi() -> Ndpi | None:
    """Load nDPI, or warn once on standard error and return None: L7_PROTO is then 0 in every flow."""
    try:
        return Ndpi()
    except NdpiUnavailable as reason:
        print(f"warning: {reason}; L7_PROTO is 0 in every flow", file=sys.stderr)
        return None
