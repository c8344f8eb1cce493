"""What is read of a capture."""

import io

from tlids_edge.capture.packets import PacketStats, address_text, read_packets


def decode(capture: bytes, **options):
    stats = PacketStats(**options)
    return list(read_packets(io.BytesIO(capture), stats)), stats


def facts(packets) -> list[tuple]:
    """Addresses, ports and IP bytes."""
    return [(address_text(p.src), p.src_port, address_text(p.dst), p.dst_port, p.length) for p in packets]
