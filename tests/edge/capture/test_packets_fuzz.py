"""Whatever comes in, the decoder and the meter raise nothing but InputError, and their counts add up."""

import io

from bench import fuzz_packets
from build_pcap import ethernet, pcap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.pcap import PCAP_MAGIC, PCAPNG_MAGIC

EXAMPLES = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
MAGIC = st.sampled_from([*PCAP_MAGIC, PCAPNG_MAGIC, b""])


@EXAMPLES
@given(MAGIC, st.binary(max_size=400))
def test_any_bytes_are_a_capture_or_an_input_error(magic, data):
    fuzz_packets.check(magic + data)


@EXAMPLES
@given(st.sampled_from(fuzz_packets.LINK_TYPES), st.lists(st.binary(max_size=120), max_size=5))
def test_any_frames_on_any_link_layer_are_counted(link_type, frames):
    fuzz_packets.check(pcap(*frames, link_type=link_type))


@EXAMPLES
@given(st.sampled_from([0x0800, 0x86DD, 0x0806, 0x8100, 0x8847, 0x8864, 0x0026]), st.binary(max_size=120))
def test_any_payload_of_any_ethertype_is_counted(ethertype, payload):
    fuzz_packets.check(pcap(ethernet(payload, ethertype)))


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 255)), max_size=30))
def test_any_order_of_times_and_flags_keeps_every_packet_in_exactly_one_flow(events):
    frames = []
    for seconds, host, flags in events:
        segment = fuzz_packets.tcp(40000 + host, 80, flags)
        frames.append((seconds * 1_000_000, ethernet(fuzz_packets.ipv4(segment))))
    fuzz_packets.check(pcap(*frames))


@EXAMPLES
@given(st.integers(1, 40), st.data())
def test_a_capture_read_in_pieces_gives_the_same_packets(size, data):
    capture = pcap(*data.draw(st.lists(st.sampled_from([frame for _, frame in fuzz_packets.BUILT]), max_size=6)))

    class Pieces(io.BytesIO):
        def read1(self, _):
            return self.read(size)

    whole, pieces = PacketStats(), PacketStats()
    assert list(read_packets(io.BytesIO(capture), whole)) == list(read_packets(Pieces(capture), pieces))
    assert whole == pieces


def test_twenty_thousand_mutated_captures_raise_nothing_and_add_up():
    corpus = fuzz_packets.seeds(per_capture=5)
    flows = sum(map(fuzz_packets.check, fuzz_packets.inputs(20_000, 7, corpus)))
    assert flows > 10_000  # most inputs still hold packets: the fuzz reaches the meter
