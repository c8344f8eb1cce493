"""sources.py: which pairs of address and MAC address are proven, for how long, and who can push out whom."""

from tlids_edge.detect.sources import MAX_ADDRESSES, MAX_MACS, PROVEN_S, ProvenSources

PHONE, MAC, OTHER = b"\x0a\0\0\1", b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"


def test_a_proof_holds_for_its_pair_alone_and_for_its_time():
    sources = ProvenSources()
    sources.prove(PHONE, MAC, 0)
    assert sources.is_proven(PHONE, MAC, PROVEN_S * 1_000_000)
    assert not sources.is_proven(PHONE, MAC, PROVEN_S * 1_000_000 + 1)
    assert not sources.is_proven(PHONE, OTHER, 0) and not sources.is_proven(b"\x0a\0\0\2", MAC, 0)


def test_addresses_that_one_mac_takes_on_push_out_no_other_macs():
    sources = ProvenSources()
    sources.prove(PHONE, MAC, 0)
    for n in range(100_000):
        sources.prove(n.to_bytes(4, "big"), OTHER, n)
    assert sources.is_proven(PHONE, MAC, 0)
    assert len(sources) == 1 + MAX_ADDRESSES


def test_memory_is_bounded_however_many_macs_there_are():
    sources = ProvenSources()
    for n in range(5000):
        sources.prove(PHONE, n.to_bytes(6, "big"), n)
    assert len(sources) == MAX_MACS
