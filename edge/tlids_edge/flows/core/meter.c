/* The meter of flows/meter.py, compiled: the same flows, in the same order. Python's is the reference, and says what a
 * flow is; this file says how the same is done with memory that is fixed from the start.
 *
 * It is given bytes by others. Every read is bounded by the bytes that were captured, the table's hash is keyed, and
 * no address that was given is kept after a function returns. A record that is anything but a plain packet is left to
 * Python. */

#include "meter.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { ICMP = 1, IGMP = 2, TCP = 6, UDP = 17, ICMPV6 = 58, OSPF = 89 };
enum { IPV4 = 0x0800, IPV6 = 0x86DD };

#define LINGER_US 1e6
#define UNANSWERED_US 1e6
#define MIN_CLOCK_STEP_US 1e7
#define MAX_CAPTURED 262144u
#define RECORD_HEADER 16u
#define LOOKED_AT 32        /* flows in order of silence, when the table is full */
#define PROBATION_SHARE 4u  /* one part in so many of a full table has to be on probation to go first */
#define MAX_RESETS 1024u   /* directions of flows that a RST closed */
#define MAX_WAYS 64u        /* pairs of VLANs that answers have passed between */
#define SPARE 4096u        /* rows and notes beyond one for each open flow */
#define LONGEST_CHAIN 32   /* flows in one bucket before the key of the hash is changed */
#define MAX_IN_LINE 8320u  /* packets that wait for older ones: Python's HELD and BLOCK */
#define ANSWER_SLOTS 65536u /* SYN-ACKs that are held; a power of two, more than twice the packets held */
#define NO_ANSWER UINT32_MAX
#define ASKED_SLOTS 32768u /* SYNs and SYN-ACKs that are held; likewise */
#define TCP_SHOWN 80u      /* packets shown to nDPI, as ndpiReader does */
#define OTHERS_SHOWN 24u
#define OPENING_BYTES 80u /* of a SYN that is kept: IPv6 or IPv4, and TCP with the options that systems send */

/* ---- what a meter holds */

/* The flows are on up to five lists at once; number 0 is the lists' head and no flow. */
enum list { BY_SILENCE, BY_AGE, CLOSING, WAITING, PROBATION, LISTS };

/* And in up to three tables: under their own ends in both directions; under a way back that is in another VLAN; and,
 * while they wait for an answer, under their ends in whatever VLAN. */
enum table { BY_ENDS, BY_OTHER_WAY, BY_ANSWER, TABLES };

struct link {
    uint32_t before, after;
};

struct chain {
    uint64_t hash;
    uint32_t next;
    bool is_in;
};

struct flow {
    struct tlids_flow row; /* as it will be handed over */
    int64_t closing_us;
    void *dissection; /* what nDPI holds once it has seen a packet, while the application is unknown */
    struct link links[LISTS];
    uint32_t next_free;
    uint32_t shown;      /* packets, to nDPI */
    uint32_t mac;        /* number of the source's address in `macs` */
    uint32_t other_vlan; /* of the other way back */
    uint8_t on;          /* bits of the lists it is on */
    uint8_t closing;     /* FIN_END or RST_END once TCP has ended */
    uint8_t opening;     /* bytes of its SYN while that is kept, else 0 */
    bool is_unknown;     /* its application: nDPI is to see more of it */
    bool has_way_back;   /* in its own VLAN: no other flow has these ends */
    bool replied, heeds_source, heeds_reply;
};

/* How many open flows have this source MAC. */
struct mac {
    uint8_t bytes[6];
    uint8_t size;
    uint32_t flows;
    uint32_t chained;
};

/* A flow that a RST closed: its direction, and when. */
struct reset {
    struct tlids_ends ends;
    uint64_t hash;
    int64_t closing_us;
    struct link link; /* in order of closing; number 0 is the head */
    uint32_t chained;
};

struct answer {
    uint64_t opening;
    uint64_t number; /* of the packet, plus one; 0 for an empty slot */
};

/* A connection that was asked for or answered, among the packets of one look over those that are held. */
struct asked {
    uint64_t hash;
    uint32_t look;
    uint32_t answer; /* the place of the SYN-ACK; NO_ANSWER behind the SYN */
};

/* A packet that waits, and where it was. */
struct waiting {
    int64_t time_us;
    uint32_t place;
};

struct tlids_meter {
    struct tlids_settings settings;
    struct tlids_ndpi ndpi;
    double soonest_us, clock_step_us;
    double clock, next_end;

    struct flow *flows; /* memory that no flow has used yet is untouched, here and below: it costs nothing */
    struct tlids_payloads *payloads;
    struct chain *chains[TABLES];
    uint32_t *buckets[TABLES], bucket_mask;
    uint32_t open, on_probation, free_flow, used_flows;
    uint64_t key[2], opened, evicted, rekeyed_at, order;
    uint64_t closed[END_REASONS];

    struct mac *macs;
    uint32_t *mac_buckets, free_mac, used_macs;

    uint8_t (*openings)[OPENING_BYTES]; /* SYNs that nDPI has not seen, by the number of their flow */

    struct reset *resets;
    uint32_t *reset_buckets, free_reset;

    bool knows_vlans; /* one was seen: the two tables beside BY_ENDS are in use */
    uint32_t ways[MAX_WAYS][2], way_count; /* pairs of VLANs, the last to be used at the end */

    struct answer *answers;
    uint32_t answers_filled, look;
    struct asked *asked;
    struct waiting *places; /* twice MAX_IN_LINE */

    struct tlids_row *rows;
    struct tlids_note *notes;
    uint32_t row_count, note_count, room;
};

/* ---- numbers out of bytes */

static uint16_t big16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t field32(const uint8_t *bytes, bool swapped)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return swapped ? __builtin_bswap32(value) : value;
}

/* ---- the keyed hash: SipHash-1-3 (Aumasson and Bernstein 2012), over whole words */

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* Inline, so that the loop is unrolled where `count` is known. */
static inline uint64_t keyed_hash(const uint64_t key[2], const uint64_t *words, int count)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    for (int i = 0; i < count; i++) {
        v[3] ^= words[i];
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff ^ (uint64_t)count << 8;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Of what ends are hashed, so that tables do not share their collisions. */
enum purpose { A_FLOW, AN_OPENING, AN_ANSWER, A_RESET };

/* A hash of two addresses with their ports, the same for both directions, and of `rest`. */
static uint64_t hash_ends(const uint64_t key[2], const struct tlids_ends *ends, enum purpose purpose, uint32_t rest)
{
    const uint8_t *low = ends->src, *high = ends->dst;
    uint64_t low_port = ends->src_port, high_port = ends->dst_port;
    uint64_t keys[2] = {key[0], key[1] ^ (uint64_t)purpose << 62};
    uint32_t one, other;
    memcpy(&one, low, sizeof one);
    memcpy(&other, high, sizeof other);
    bool is_ipv4 = ends->address_bytes == 4, is_turned = one > other;
    if (one == other) {
        int order = is_ipv4 ? 0 : memcmp(low, high, 16);
        is_turned = order > 0 || (order == 0 && low_port > high_port);
    }
    if (is_turned) {
        low = ends->dst;
        high = ends->src;
        low_port = ends->dst_port;
        high_port = ends->src_port;
    }
    uint64_t words[5] = {low_port << 48 | high_port << 32 | rest};
    if (is_ipv4) {
        memcpy(words + 1, low, 4);
        memcpy((uint8_t *)(words + 1) + 4, high, 4);
        return keyed_hash(keys, words, 2);
    }
    memcpy(words + 1, low, 16);
    memcpy(words + 3, high, 16);
    return keyed_hash(keys, words, 5);
}

/* Protocol and VLAN in a word: a VLAN has 12 bits, two tags have 24. */
static uint32_t protocol_and_vlan(const struct tlids_ends *ends)
{
    return (uint32_t)ends->protocol << 24 ^ ends->vlan;
}

static uint64_t hash_of_flow(const struct tlids_meter *meter, const struct tlids_ends *ends)
{
    return hash_ends(meter->key, ends, A_FLOW, protocol_and_vlan(ends));
}

static bool is_same(const struct tlids_ends *one, const struct tlids_ends *other)
{
    return one->src_port == other->src_port && one->dst_port == other->dst_port && one->vlan == other->vlan &&
           one->protocol == other->protocol && one->address_bytes == other->address_bytes &&
           memcmp(one->src, other->src, 16) == 0 && memcmp(one->dst, other->dst, 16) == 0;
}

/* Whether these ends are the other way round. */
static bool is_back(const struct tlids_ends *one, const struct tlids_ends *other)
{
    return one->src_port == other->dst_port && one->dst_port == other->src_port && one->vlan == other->vlan &&
           one->protocol == other->protocol && one->address_bytes == other->address_bytes &&
           memcmp(one->src, other->dst, 16) == 0 && memcmp(one->dst, other->src, 16) == 0;
}

static struct tlids_ends turned(const struct tlids_ends *ends)
{
    struct tlids_ends opposite = *ends;
    memcpy(opposite.src, ends->dst, 16);
    memcpy(opposite.dst, ends->src, 16);
    opposite.src_port = ends->dst_port;
    opposite.dst_port = ends->src_port;
    return opposite;
}

/* ---- decoding */

struct part {
    const uint8_t *frame;
    uint32_t captured;
};

/* Whether no host would take this RST: the whole packet was captured and its checksum is wrong. That of a packet which
 * the network card has yet to complete is the sum of the pseudo header, and right. */
static bool is_wrong_reset(const struct tlids_packet *packet, struct part part, uint32_t at, uint32_t size)
{
    if (part.captured < at || part.captured - at < size)
        return false;
    uint64_t pseudo = TCP + (uint64_t)size, segment = 0;
    for (uint32_t i = 0; i < packet->ends.address_bytes; i += 2)
        pseudo += (uint64_t)big16(packet->ends.src + i) + big16(packet->ends.dst + i);
    for (uint32_t i = 0; i + 1 < size; i += 2)
        segment += big16(part.frame + at + i);
    if (size & 1)
        segment += (uint64_t)part.frame[at + size - 1] << 8;
    uint64_t found = big16(part.frame + at + 16);
    return (pseudo + segment) % 0xFFFF != 0 && found % 0xFFFF != pseudo % 0xFFFF;
}

/* What a rule in Python wants to see: solicitations and advertisements of routers and neighbours, redirects. */
static bool is_neighbour_discovery(uint8_t type)
{
    return type >= 133 && type <= 137;
}

/* The transport header at `at`, in an IP payload of `size` bytes; false for one that Python should look at. */
static bool decode_transport(const struct tlids_meter *meter, struct tlids_packet *packet, struct part part,
                             uint32_t at, uint32_t size)
{
    const uint8_t *header = part.frame + at;
    if (packet->ends.protocol == TCP) {
        /* a RST's checksum is read at 16, where a header that is cut by the snap length may end */
        if (part.captured < at + 18 || size < 20)
            return false;
        uint32_t header_size = (uint32_t)(header[12] >> 4) * 4;
        if (header_size < 20 || header_size > size)
            return false;
        packet->tcp_flags = header[13];
        packet->tcp_window = big16(header + 14);
        packet->payload_length = size - header_size;
        if (packet->tcp_flags & RST && is_wrong_reset(packet, part, at, size))
            return false;
    } else if (packet->ends.protocol == UDP) {
        if (part.captured < at + 8 || size < 8)
            return false;
        uint16_t port = big16(header + 2);
        if (meter->settings.odd_udp_ports[port >> 3] >> (port & 7) & 1)
            return false;
        packet->payload_length = size - 8;
    } else {
        packet->payload_length = size;
        return packet->ends.protocol != ICMPV6 || (part.captured > at && !is_neighbour_discovery(header[0]));
    }
    packet->ends.src_port = big16(header);
    packet->ends.dst_port = big16(header + 2);
    return true;
}

static bool decode_ipv4(const struct tlids_meter *meter, struct tlids_packet *packet, struct part part)
{
    uint32_t offset = packet->ip_offset;
    if (part.captured < offset + 20)
        return false;
    const uint8_t *ip = part.frame + offset;
    uint32_t header_size = (ip[0] & 15u) * 4, length = big16(ip + 2);
    bool is_fragment = (big16(ip + 6) & 0x3FFF) != 0;
    packet->ends.protocol = ip[9];
    if (ip[0] >> 4 != 4 || header_size < 20 || length < header_size || is_fragment)
        return false;
    if (meter->settings.odd_protocols[0][packet->ends.protocol])
        return false;
    packet->ends.address_bytes = 4;
    memcpy(packet->ends.src, ip + 12, 4);
    memcpy(packet->ends.dst, ip + 16, 4);
    packet->length = length;
    return decode_transport(meter, packet, part, offset + header_size, length - header_size);
}

static bool decode_ipv6(const struct tlids_meter *meter, struct tlids_packet *packet, struct part part)
{
    uint32_t offset = packet->ip_offset;
    if (part.captured < offset + 40)
        return false;
    const uint8_t *ip = part.frame + offset;
    uint32_t size = big16(ip + 4);
    packet->ends.protocol = ip[6];
    if (ip[0] >> 4 != 6 || size == 0 || meter->settings.odd_protocols[1][packet->ends.protocol])
        return false;
    packet->ends.address_bytes = 16;
    memcpy(packet->ends.src, ip + 8, 16);
    memcpy(packet->ends.dst, ip + 24, 16);
    packet->length = size + 40;
    return decode_transport(meter, packet, part, offset + 40, size);
}

static bool is_vlan(uint16_t ethertype)
{
    return ethertype == 0x8100 || ethertype == 0x88A8 || ethertype == 0x9100 || ethertype == 0x9200;
}

/* Ethernet with at most one VLAN tag; false for a frame that Python should look at. */
static bool decode_frame(const struct tlids_meter *meter, struct tlids_packet *packet, struct part part)
{
    if (part.captured < 18)
        return false;
    uint16_t ethertype = big16(part.frame + 12);
    packet->ip_offset = 14;
    if (is_vlan(ethertype)) {
        packet->ends.vlan = big16(part.frame + 14) & 0xFFF;
        ethertype = big16(part.frame + 16);
        packet->ip_offset = 18;
    }
    packet->src_mac_bytes = packet->dst_mac_bytes = 6;
    memcpy(packet->dst_mac, part.frame, 6);
    memcpy(packet->src_mac, part.frame + 6, 6);
    if (ethertype == IPV4)
        return decode_ipv4(meter, packet, part);
    return ethertype == IPV6 && decode_ipv6(meter, packet, part);
}

void tlids_read(const struct tlids_meter *meter, struct tlids_reading *reading, const uint8_t *buffer, uint64_t size,
                uint64_t at, struct tlids_packet *packets, uint32_t room)
{
    bool swapped = reading->swapped;
    uint32_t fractions = reading->nanoseconds ? 1000000000u : 1000000u;
    uint64_t used = 0, wire_bytes = 0;
    uint32_t count = 0, odd = 0, truncated = 0, end = NEEDS_MORE;
    while (size - used >= RECORD_HEADER) {
        const uint8_t *record = buffer + used;
        uint32_t fraction = field32(record + 4, swapped), captured = field32(record + 8, swapped);
        if (captured > MAX_CAPTURED) {
            end = RECORD_TOO_LONG;
            break;
        }
        if (size - used < RECORD_HEADER + (uint64_t)captured)
            break;
        if (fraction >= fractions) {
            end = ODD_FRACTION;
            break;
        }
        if (count == room) {
            end = NO_ROOM;
            break;
        }
        struct tlids_packet *packet = packets + count++;
        memset(packet, 0, sizeof *packet);
        packet->time_us = (int64_t)field32(record, swapped) * 1000000;
        packet->time_us += reading->nanoseconds ? fraction / 1000 : fraction;
        packet->frame_at = at + used + RECORD_HEADER;
        packet->captured = captured;
        packet->wire_length = field32(record + 12, swapped);
        struct part part = {record + RECORD_HEADER, captured};
        if (decode_frame(meter, packet, part)) {
            packet->kind = PLAIN;
            wire_bytes += packet->wire_length;
            truncated += captured < packet->wire_length;
        } else {
            packet->kind = ODD;
            odd++;
        }
        used += RECORD_HEADER + captured;
    }
    reading->odd = odd;
    reading->truncated = truncated;
    reading->wire_bytes = wire_bytes;
    reading->used = used;
    reading->count = count;
    reading->end = end;
}

/* ---- SYN-ACKs that are held, to see whether the SYN comes late */

static struct answer *answer_slot(const struct tlids_meter *meter, uint64_t opening)
{
    uint64_t slot = opening;
    while (true) {
        struct answer *answer = meter->answers + (slot++ & (ANSWER_SLOTS - 1));
        if (answer->number == 0 || answer->opening == opening)
            return answer;
    }
}

static uint64_t opening_of(const struct tlids_meter *meter, const struct tlids_packet *packet)
{
    return hash_ends(meter->settings.seed, &packet->ends, AN_OPENING, 0);
}

static void note_answer(struct tlids_meter *meter, const struct tlids_packet *packet, uint64_t number)
{
    uint64_t opening = opening_of(meter, packet);
    struct answer *answer = answer_slot(meter, opening);
    meter->answers_filled += answer->number == 0;
    answer->opening = opening;
    answer->number = number + 1;
}

static bool is_syn_ack(const struct tlids_packet *packet)
{
    return (packet->tcp_flags & (SYN | ACK)) == (SYN | ACK);
}

/* Note the SYN-ACKs among these packets, the first of which is number `number` of the stream. */
static void note_answers(struct tlids_meter *meter, const struct tlids_packet *packets, uint32_t count, uint64_t number)
{
    for (uint32_t i = 0; i < count; i++)
        if (is_syn_ack(packets + i))
            note_answer(meter, packets + i, number + i);
}

/* Empty the table before it fills up; nearly all in it are of long ago. */
static bool forget_answers(struct tlids_meter *meter)
{
    if (meter->answers_filled <= ANSWER_SLOTS / 4)
        return false;
    memset(meter->answers, 0, ANSWER_SLOTS * sizeof *meter->answers);
    meter->answers_filled = 0;
    return true;
}

/* Whether one of the packets from `fresh` on, shown for the first time, may be a bare SYN behind the SYN-ACK that
 * answers it. `packets` are those held, the oldest being number `oldest` of the stream. */
static bool is_asked_late(struct tlids_meter *meter, const struct tlids_packet *packets, uint32_t count,
                          uint32_t fresh, uint64_t oldest)
{
    if (forget_answers(meter))
        note_answers(meter, packets, fresh, oldest);
    bool is_late = false;
    for (uint32_t i = fresh; i < count; i++) {
        if (!(packets[i].tcp_flags & SYN))
            continue;
        if (packets[i].tcp_flags & ACK)
            note_answer(meter, packets + i, oldest + i);
        else
            is_late |= answer_slot(meter, opening_of(meter, packets + i))->number > oldest;
    }
    return is_late;
}

/* ---- packets in line: capture/clock.py */

/* What was asked, in one look over the packets that are held: the same for a SYN and its SYN-ACK. What is new is taken
 * to be answered by `answer`. */
static struct asked *asked_slot(struct tlids_meter *meter, const struct tlids_packet *packet, uint32_t answer)
{
    struct tlids_ends opening = packet->tcp_flags & ACK ? turned(&packet->ends) : packet->ends;
    uint64_t words[5] = {(uint64_t)opening.src_port << 48 | (uint64_t)opening.dst_port << 32 | opening.address_bytes};
    memcpy(words + 1, opening.src, 16);
    memcpy(words + 3, opening.dst, 16);
    uint64_t hash = keyed_hash(meter->settings.seed, words, 5), slot = hash;
    while (true) {
        struct asked *asked = meter->asked + (slot++ & (ASKED_SLOTS - 1));
        if (asked->look != meter->look)
            *asked = (struct asked){hash, meter->look, answer};
        if (asked->hash == hash)
            return asked;
    }
}

/* Put packets into the order that `places` has: packet number i comes to be the one at places[i].place. */
static void put_in_order(struct tlids_packet *packets, struct waiting *places, uint32_t count)
{
    for (uint32_t start = 0; start < count; start++) {
        uint32_t to = start, from = places[start].place;
        if (from == start)
            continue;
        struct tlids_packet packet = packets[start];
        while (from != start) { /* round a cycle, in which each is moved once */
            packets[to] = packets[from];
            places[to].place = to;
            to = from;
            from = places[to].place;
        }
        packets[to] = packet;
        places[to].place = to;
    }
}

/* Put a bare SYN before the SYN-ACK that answers it, where it comes behind it, as `_clients_first` does. */
static void put_clients_first(struct tlids_meter *meter, const struct tlids_line *line, struct tlids_packet *packets,
                              uint32_t count)
{
    struct waiting *places = meter->places;
    bool has_moved = false;
    for (uint32_t i = 0; i < count; i++)
        places[i].place = i;
    if (++meter->look == 0) { /* slots of four billion looks ago would seem to be of this one */
        memset(meter->asked, 0, ASKED_SLOTS * sizeof *meter->asked);
        meter->look = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!(packets[i].tcp_flags & SYN))
            continue;
        bool is_answer = packets[i].tcp_flags & ACK;
        struct asked *asked = asked_slot(meter, packets + i, is_answer ? i : NO_ANSWER);
        if (is_answer)
            continue;
        uint32_t answer = asked->answer;
        asked->answer = NO_ANSWER;
        if (answer == NO_ANSWER || packets[i].time_us - packets[answer].time_us > line->window_us)
            continue;
        struct waiting moved = places[i];
        memmove(places + answer + 1, places + answer, (i - answer) * sizeof *places);
        places[answer] = moved;
        has_moved = true;
    }
    if (has_moved)
        put_in_order(packets, places, count);
}

/* How many of these packets bisect_right finds to be no later than a time. */
static uint32_t count_until(const struct tlids_packet *packets, uint32_t count, int64_t time_us)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (time_us < packets[middle].time_us)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Sort packets by time, those of the same time as they came: a merge sort from the bottom up. */
static void sort_by_time(struct tlids_meter *meter, struct tlids_packet *packets, uint32_t count)
{
    struct waiting *from = meter->places, *to = meter->places + MAX_IN_LINE;
    for (uint32_t i = 0; i < count; i++)
        from[i] = (struct waiting){packets[i].time_us, i};
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t start = 0; start < count; start += 2 * width) {
            uint32_t middle = start + width < count ? start + width : count;
            uint32_t end = start + 2 * width < count ? start + 2 * width : count;
            uint32_t left = start, right = middle;
            for (uint32_t i = start; i < end; i++) {
                bool takes_left = left < middle && (right == end || from[left].time_us <= from[right].time_us);
                to[i] = from[takes_left ? left++ : right++];
            }
        }
        struct waiting *swap = from;
        from = to;
        to = swap;
    }
    put_in_order(packets, from, count);
}

/* Where the next block ends, as in `Clock`; 0 when it is not whole. */
static uint32_t block_end(const struct tlids_line *line, const struct tlids_packet *packets)
{
    uint32_t start = line->settled, count = line->end - start;
    if (count > line->block)
        count = line->block;
    for (uint32_t i = 0; line->as_they_come && i < count; i++) {
        int64_t begun = packets[start].time_us, time_us = packets[start + i].time_us;
        if (time_us < begun || (uint64_t)time_us - (uint64_t)begun > (uint64_t)line->window_us)
            return start + i + 1;
    }
    return count == line->block || (line->at_end && count > 0) ? start + count : 0;
}

/* Whether the times of a block are such that they only have to be sorted; `in_order` when not even that. */
static bool are_fit(struct tlids_line *line, const struct tlids_packet *packets, uint32_t end, bool *in_order)
{
    int64_t newest = line->newest_us, before = newest > line->earliest_us ? newest : line->earliest_us;
    *in_order = true;
    for (uint32_t i = line->settled; i < end; i++) {
        int64_t time_us = packets[i].time_us;
        if (time_us < line->earliest_us || time_us > line->latest_us)
            return false;
        if (time_us < before)
            *in_order = false;
        before = time_us;
        if (time_us >= newest)
            newest = time_us;
        else if (time_us < line->forced_us || (newest > line->window_us && time_us < newest - line->window_us))
            return false;
    }
    line->newest_us = newest;
    return true;
}

/* Take in a block; false, and nothing is done, when `Clock` has to look at its times. */
static bool take_block(struct tlids_meter *meter, struct tlids_line *line, struct tlids_packet *packets, uint32_t end)
{
    bool in_order;
    struct tlids_packet *held = packets + line->first;
    uint32_t count = end - line->first, fresh = line->settled - line->first;
    if (count > MAX_IN_LINE || !are_fit(line, packets, end, &in_order))
        return false;
    int64_t oldest = INT64_MAX;
    for (uint32_t i = line->settled; i < end; i++) {
        line->held_bytes += packets[i].captured;
        oldest = packets[i].time_us < oldest ? packets[i].time_us : oldest;
    }
    if (!in_order) {
        uint32_t place = count_until(held, fresh, oldest);
        sort_by_time(meter, held + place, count - place);
    }
    line->settled = end;
    line->passed++;
    if (!in_order || is_asked_late(meter, held, count, fresh, line->number)) {
        put_clients_first(meter, line, held, count);
        tlids_hold(meter, line, packets);
    }
    return true;
}

void tlids_hold(struct tlids_meter *meter, struct tlids_line *line, const struct tlids_packet *packets)
{
    line->number += line->end - line->first; /* so that places of before are forgotten */
    line->held_bytes = 0;
    forget_answers(meter); /* here too: blocks that are out of order come this way alone */
    note_answers(meter, packets + line->first, line->settled - line->first, line->number);
    for (uint32_t i = line->first; i < line->settled; i++)
        line->held_bytes += packets[i].captured;
}

/* See whose turn it is: no older packet can come, or too many wait. */
static void call_up(struct tlids_line *line, const struct tlids_packet *packets)
{
    const struct tlids_packet *held = packets + line->first;
    uint32_t count = line->settled - line->first;
    uint32_t in_time = line->newest_us == INT64_MIN ? 0 : count_until(held, count, line->newest_us - line->window_us);
    uint32_t ready = count > line->most_held && count - line->most_held > in_time ? count - line->most_held : in_time;
    if (count - ready > line->few) {
        uint64_t bytes = line->held_bytes;
        for (uint32_t i = 0; i < ready; i++)
            bytes -= held[i].captured;
        while (bytes > line->most_bytes && ready < count)
            bytes -= held[ready++].captured;
    }
    if (ready > in_time)
        line->forced_us = held[ready - 1].time_us;
    line->ready = line->first + ready;
}

/* Whether a slice of time ends with a packet, as in flows/slices.py. */
static bool ends_slice(struct tlids_line *line, int64_t time_us)
{
    bool is_within = line->begun_us == INT64_MIN ? line->slice_us == UINT64_MAX
                                                  : time_us >= line->begun_us &&
                                                        (uint64_t)time_us - (uint64_t)line->begun_us <= line->slice_us;
    if (++line->in_slice < line->slice_most && is_within)
        return false;
    line->begun_us = time_us;
    line->in_slice = 0;
    return true;
}

/* ---- lists of flows */

static bool is_on(const struct flow *flow, enum list list)
{
    return flow->on >> list & 1;
}

static void append(struct tlids_meter *meter, enum list list, uint32_t number)
{
    struct flow *flows = meter->flows;
    uint32_t last = flows[0].links[list].before;
    flows[last].links[list].after = number;
    flows[number].links[list] = (struct link){last, 0};
    flows[0].links[list].before = number;
    flows[number].on |= (uint8_t)(1u << list);
    meter->on_probation += list == PROBATION;
}

static void take_off(struct tlids_meter *meter, enum list list, uint32_t number)
{
    struct flow *flows = meter->flows;
    struct link link = flows[number].links[list];
    flows[link.before].links[list].after = link.after;
    flows[link.after].links[list].before = link.before;
    flows[number].on &= (uint8_t)~(1u << list);
    meter->on_probation -= list == PROBATION;
}

static uint32_t first_of(const struct tlids_meter *meter, enum list list)
{
    return meter->flows[0].links[list].after;
}

static void leave_if_on(struct tlids_meter *meter, enum list list, uint32_t number)
{
    if (is_on(meter->flows + number, list))
        take_off(meter, list, number);
}

/* ---- MAC addresses: how many open flows each has */

static uint32_t *mac_bucket(const struct tlids_meter *meter, const uint8_t *bytes, uint8_t size)
{
    uint64_t word = size;
    memcpy((uint8_t *)&word + 2, bytes, 6);
    return meter->mac_buckets + (keyed_hash(meter->settings.seed, &word, 1) & meter->bucket_mask);
}

static uint32_t hold_mac(struct tlids_meter *meter, const uint8_t *bytes, uint8_t size)
{
    uint32_t *bucket = mac_bucket(meter, bytes, size), number = *bucket;
    while (number != 0) {
        struct mac *mac = meter->macs + number;
        if (mac->size == size && memcmp(mac->bytes, bytes, 6) == 0)
            break;
        number = mac->chained;
    }
    if (number == 0) {
        number = meter->free_mac != 0 ? meter->free_mac : ++meter->used_macs;
        struct mac *mac = meter->macs + number;
        if (number == meter->free_mac)
            meter->free_mac = mac->chained;
        memcpy(mac->bytes, bytes, 6);
        mac->size = size;
        mac->flows = 0;
        mac->chained = *bucket;
        *bucket = number;
    }
    meter->macs[number].flows++;
    return number;
}

static void let_go_of_mac(struct tlids_meter *meter, uint32_t number)
{
    struct mac *mac = meter->macs + number;
    if (--mac->flows > 0)
        return;
    uint32_t *chain = mac_bucket(meter, mac->bytes, mac->size);
    while (*chain != number)
        chain = &meter->macs[*chain].chained;
    *chain = mac->chained;
    mac->chained = meter->free_mac;
    meter->free_mac = number;
}

/* ---- flows by their ends */

static uint32_t *bucket_of(const struct tlids_meter *meter, enum table table, uint64_t hash)
{
    return meter->buckets[table] + (hash & meter->bucket_mask);
}

static void enter(struct tlids_meter *meter, enum table table, uint32_t number, uint64_t hash)
{
    uint32_t *bucket = bucket_of(meter, table, hash);
    meter->chains[table][number] = (struct chain){hash, *bucket, true};
    *bucket = number;
}

static void leave(struct tlids_meter *meter, enum table table, uint32_t number)
{
    struct chain *chain = meter->chains[table] + number;
    if ((table != BY_ENDS && !meter->knows_vlans) || !chain->is_in)
        return;
    uint32_t *place = bucket_of(meter, table, chain->hash);
    while (*place != number)
        place = &meter->chains[table][*place].next;
    *place = chain->next;
    chain->is_in = false;
}

/* The flow that has these ends: they are its own, its way back or its other way back. 0 for none. */
static uint32_t find_flow(const struct tlids_meter *meter, const struct tlids_ends *ends, uint64_t hash)
{
    uint32_t number = *bucket_of(meter, BY_ENDS, hash);
    for (; number != 0; number = meter->chains[BY_ENDS][number].next) {
        if (meter->chains[BY_ENDS][number].hash != hash)
            continue;
        const struct flow *flow = meter->flows + number;
        if (is_same(&flow->row.ends, ends) || (flow->has_way_back && is_back(&flow->row.ends, ends)))
            return number;
    }
    if (!meter->knows_vlans)
        return 0;
    struct tlids_ends back = turned(ends);
    number = *bucket_of(meter, BY_OTHER_WAY, hash);
    for (; number != 0; number = meter->chains[BY_OTHER_WAY][number].next) {
        const struct flow *flow = meter->flows + number;
        back.vlan = flow->row.ends.vlan;
        if (flow->other_vlan == ends->vlan && is_same(&flow->row.ends, &back))
            return number;
    }
    return 0;
}

/* Put all flows into other buckets: some bucket is longer than chance explains, so somebody may know the key. */
static void change_key(struct tlids_meter *meter)
{
    uint64_t words[2] = {meter->key[0], meter->opened};
    meter->key[0] = keyed_hash(meter->settings.seed, words, 2);
    words[0] = meter->key[1];
    meter->key[1] = keyed_hash(meter->settings.seed, words, 2);
    meter->rekeyed_at = meter->opened;
    for (int table = BY_ENDS; table <= BY_OTHER_WAY; table++)
        memset(meter->buckets[table], 0, (meter->bucket_mask + (size_t)1) * sizeof(uint32_t));
    for (uint32_t number = first_of(meter, BY_AGE); number != 0; number = meter->flows[number].links[BY_AGE].after) {
        const struct flow *flow = meter->flows + number;
        struct tlids_ends ends = flow->row.ends;
        enter(meter, BY_ENDS, number, hash_of_flow(meter, &ends));
        ends.vlan = flow->other_vlan;
        if (meter->chains[BY_OTHER_WAY][number].is_in)
            enter(meter, BY_OTHER_WAY, number, hash_of_flow(meter, &ends));
    }
}

static void enter_by_ends(struct tlids_meter *meter, uint32_t number, uint64_t hash)
{
    int length = 0;
    uint32_t other = *bucket_of(meter, BY_ENDS, hash);
    for (; other != 0 && length < LONGEST_CHAIN; other = meter->chains[BY_ENDS][other].next)
        length++;
    enter(meter, BY_ENDS, number, hash);
    if (length == LONGEST_CHAIN && meter->opened - meter->rekeyed_at > meter->open / 2)
        change_key(meter);
}

/* ---- ways back in another VLAN: flows/vlans.py */

/* The newest flow that waits for an answer with these ends, whatever their VLAN. */
static uint32_t find_waiting(const struct tlids_meter *meter, const struct tlids_ends *ends, uint64_t hash)
{
    struct tlids_ends back = turned(ends);
    uint32_t number = *bucket_of(meter, BY_ANSWER, hash);
    for (; number != 0; number = meter->chains[BY_ANSWER][number].next) {
        back.vlan = meter->flows[number].row.ends.vlan;
        if (is_same(&meter->flows[number].row.ends, &back))
            break;
    }
    return number;
}

static uint64_t hash_of_answer(const struct tlids_meter *meter, const struct tlids_ends *ends)
{
    return hash_ends(meter->settings.seed, ends, AN_ANSWER, ends->protocol);
}

static void await_answer(struct tlids_meter *meter, uint32_t number)
{
    if (meter->flows[number].row.answered)
        return;
    struct tlids_ends back = turned(&meter->flows[number].row.ends);
    uint64_t hash = hash_of_answer(meter, &back);
    leave(meter, BY_ANSWER, find_waiting(meter, &back, hash));
    enter(meter, BY_ANSWER, number, hash);
}

/* Whether an answer has passed between two VLANs before; with `passes` one does. */
static bool is_known_way(struct tlids_meter *meter, uint32_t one, uint32_t other, bool passes)
{
    uint32_t low = one < other ? one : other, high = one < other ? other : one, place = 0;
    while (place < meter->way_count && (meter->ways[place][0] != low || meter->ways[place][1] != high))
        place++;
    bool is_known = place < meter->way_count;
    if (!passes)
        return is_known;
    if (!is_known && meter->way_count == MAX_WAYS)
        place = 0;
    if (is_known || meter->way_count == MAX_WAYS) {
        meter->way_count--;
        memmove(meter->ways + place, meter->ways + place + 1, (meter->way_count - place) * sizeof *meter->ways);
    }
    meter->ways[meter->way_count][0] = low;
    meter->ways[meter->way_count++][1] = high;
    return is_known;
}

/* The flow that a packet is of all the same, though none has its ends; from then on one has. */
static uint32_t find_other_way(struct tlids_meter *meter, const struct tlids_packet *packet, uint64_t hash)
{
    const struct tlids_ends *ends = &packet->ends;
    if (!meter->knows_vlans) {
        meter->knows_vlans = true;
        uint32_t open = first_of(meter, BY_AGE);
        for (; open != 0; open = meter->flows[open].links[BY_AGE].after)
            await_answer(meter, open);
    }
    struct tlids_ends back = turned(ends);
    uint32_t number = find_flow(meter, &back, hash);
    if (number != 0 && is_same(&meter->flows[number].row.ends, &back)) {
        meter->flows[number].has_way_back = true;
        return number;
    }
    number = find_waiting(meter, ends, hash_of_answer(meter, ends));
    if (number == 0 || (packet->tcp_flags & (SYN | ACK)) == SYN)
        return 0;
    bool is_reset = packet->tcp_flags & RST;
    if (!is_known_way(meter, meter->flows[number].row.ends.vlan, ends->vlan, !is_reset) && is_reset)
        return 0;
    leave(meter, BY_OTHER_WAY, number);
    meter->flows[number].other_vlan = ends->vlan;
    enter(meter, BY_OTHER_WAY, number, hash);
    return number;
}

/* ---- directions of flows that a RST closed */

static uint32_t *reset_bucket(const struct tlids_meter *meter, uint64_t hash)
{
    return meter->reset_buckets + (hash & (2 * MAX_RESETS - 1));
}

static uint64_t hash_of_reset(const struct tlids_meter *meter, const struct tlids_ends *ends)
{
    return hash_ends(meter->settings.seed, ends, A_RESET, protocol_and_vlan(ends));
}

static uint32_t find_reset(const struct tlids_meter *meter, const struct tlids_ends *ends, uint64_t hash)
{
    uint32_t number = *reset_bucket(meter, hash);
    while (number != 0 && !is_same(&meter->resets[number].ends, ends))
        number = meter->resets[number].chained;
    return number;
}

static void forget_reset(struct tlids_meter *meter, uint32_t number)
{
    struct reset *resets = meter->resets, *reset = resets + number;
    uint32_t *chain = reset_bucket(meter, reset->hash);
    while (*chain != number)
        chain = &resets[*chain].chained;
    *chain = reset->chained;
    resets[reset->link.before].link.after = reset->link.after;
    resets[reset->link.after].link.before = reset->link.before;
    reset->chained = meter->free_reset;
    meter->free_reset = number;
}

static void remember_reset(struct tlids_meter *meter, const struct flow *flow)
{
    uint64_t hash = hash_of_reset(meter, &flow->row.ends);
    uint32_t number = find_reset(meter, &flow->row.ends, hash);
    if (number != 0) {
        meter->resets[number].closing_us = flow->closing_us;
        return;
    }
    if (meter->free_reset == 0)
        forget_reset(meter, meter->resets[0].link.after);
    uint32_t last = meter->resets[0].link.before;
    number = meter->free_reset;
    struct reset *reset = meter->resets + number;
    meter->free_reset = reset->chained;
    reset->ends = flow->row.ends;
    reset->hash = hash;
    reset->closing_us = flow->closing_us;
    reset->link = (struct link){last, 0};
    meter->resets[last].link.after = number;
    meter->resets[0].link.before = number;
    reset->chained = *reset_bucket(meter, hash);
    *reset_bucket(meter, hash) = number;
}

/* ---- nDPI
 *
 * What nDPI holds for a flow is large. Most flows of a flood or a scan are one SYN, of which it learns nothing that it
 * would not learn later: the SYN is kept, and shown when another packet comes or the flow ends. */

static void end_dissection(struct tlids_meter *meter, struct flow *flow, uint64_t found)
{
    meter->ndpi.free_flow(flow->dissection);
    flow->dissection = NULL;
    flow->is_unknown = false;
    flow->row.l7_master = (uint16_t)found;
    flow->row.l7_app = (uint16_t)(found >> 16);
}

static void give_up(struct tlids_meter *meter, struct flow *flow)
{
    uint8_t was_guessed = 0;
    end_dissection(meter, flow, meter->ndpi.give_up(meter->ndpi.module, flow->dissection, 1, &was_guessed));
}

static int64_t milliseconds(int64_t time_us)
{
    return time_us / 1000 - (time_us % 1000 < 0);
}

static void show(struct tlids_meter *meter, struct flow *flow, const uint8_t *network, uint32_t size, int64_t time_us)
{
    const struct tlids_ndpi *ndpi = &meter->ndpi;
    if (flow->dissection == NULL)
        flow->dissection = ndpi->calloc(1, ndpi->flow_size);
    if (flow->dissection == NULL) { /* no memory: it has no application */
        flow->is_unknown = false;
        return;
    }
    uint64_t found =
        ndpi->process(ndpi->module, flow->dissection, network, (uint16_t)size, (uint64_t)milliseconds(time_us));
    if (++flow->shown > (flow->row.ends.protocol == TCP ? TCP_SHOWN : OTHERS_SHOWN))
        give_up(meter, flow);
    else if ((found & 0xFFFF0000u) != 0 && !ndpi->more_possible(ndpi->module, flow->dissection))
        end_dissection(meter, flow, found);
}

static void show_opening(struct tlids_meter *meter, uint32_t number)
{
    struct flow *flow = meter->flows + number;
    uint8_t size = flow->opening;
    flow->opening = 0;
    if (size != 0)
        show(meter, flow, meter->openings[number], size, flow->row.first_us);
}

static void dissect(struct tlids_meter *meter, uint32_t number, const struct tlids_packet *packet,
                    const uint8_t *frame)
{
    struct flow *flow = meter->flows + number;
    uint32_t size = packet->ip_offset < packet->captured ? packet->captured - packet->ip_offset : 0;
    if (size > packet->length)
        size = packet->length;
    const uint8_t *network = frame + (size ? packet->ip_offset : 0);
    bool is_first = flow->row.in_packets + flow->row.out_packets == 1;
    if (is_first && (packet->tcp_flags & SYN) && packet->payload_length == 0 && size > 0 && size <= OPENING_BYTES) {
        memcpy(meter->openings[number], network, size);
        flow->opening = (uint8_t)size;
        return;
    }
    show_opening(meter, number);
    if (flow->is_unknown)
        show(meter, flow, network, size, packet->time_us);
}

/* Give a flow that ends its application. */
static void decide(struct tlids_meter *meter, uint32_t number)
{
    show_opening(meter, number);
    if (meter->flows[number].is_unknown)
        give_up(meter, meter->flows + number);
}

static bool has_application(uint8_t protocol)
{
    return protocol != ICMP && protocol != IGMP && protocol != ICMPV6 && protocol != OSPF;
}

/* ---- the life of a flow */

static void note_unanswered(struct tlids_meter *meter, const struct flow *flow)
{
    struct tlids_note *note = meter->notes + meter->note_count++;
    memset(note, 0, sizeof *note);
    note->first_us = flow->row.first_us;
    note->order = meter->order++;
    note->ends = flow->row.ends;
    note->src_mac_bytes = flow->row.src_mac_bytes;
    memcpy(note->src_mac, flow->row.src_mac, 6);
}

static void close_flow(struct tlids_meter *meter, uint32_t number, uint8_t reason)
{
    struct flow *flow = meter->flows + number;
    take_off(meter, BY_SILENCE, number);
    take_off(meter, BY_AGE, number);
    leave_if_on(meter, CLOSING, number);
    leave_if_on(meter, PROBATION, number);
    if (is_on(flow, WAITING)) {
        take_off(meter, WAITING, number);
        note_unanswered(meter, flow);
    }
    let_go_of_mac(meter, flow->mac);
    if (flow->is_unknown)
        decide(meter, number);
    flow->row.end_reason = flow->closing ? flow->closing : reason;
    if (flow->closing == RST_END)
        remember_reset(meter, flow);
    meter->closed[flow->row.end_reason]++;
    struct tlids_row *row = meter->rows + meter->row_count++;
    row->flow = flow->row;
    if (meter->settings.with_payloads)
        row->payloads = meter->payloads[number];
    row->order = meter->order++;
    for (int table = 0; table < TABLES; table++)
        leave(meter, table, number);
    flow->next_free = meter->free_flow;
    meter->free_flow = number;
    meter->open--;
}

/* The timeout that struck first, so that the reason does not depend on when one looks. */
static uint8_t timeout_reason(const struct tlids_meter *meter, const struct flow *flow)
{
    double idle = (double)flow->row.last_us + meter->settings.idle_us;
    double active = (double)flow->row.first_us + meter->settings.active_us;
    return idle <= active ? IDLE : ACTIVE;
}

static void end_not_before(struct tlids_meter *meter, double end)
{
    if (end < meter->next_end)
        meter->next_end = end;
}

/* The first moment at which an open flow can end or be noted. */
static void find_next_end(struct tlids_meter *meter)
{
    const struct flow *flows = meter->flows;
    meter->next_end = INFINITY;
    if (meter->open == 0)
        return;
    end_not_before(meter, (double)flows[first_of(meter, BY_SILENCE)].row.last_us + meter->settings.idle_us);
    end_not_before(meter, (double)flows[first_of(meter, BY_AGE)].row.first_us + meter->settings.active_us);
    if (first_of(meter, WAITING))
        end_not_before(meter, (double)flows[first_of(meter, WAITING)].row.first_us + UNANSWERED_US);
    if (first_of(meter, CLOSING))
        end_not_before(meter, (double)flows[first_of(meter, CLOSING)].closing_us + LINGER_US);
}

static void expire(struct tlids_meter *meter, double now)
{
    const struct flow *flows = meter->flows;
    uint32_t number;
    if (now > meter->clock)
        meter->clock = now;
    while ((number = first_of(meter, WAITING)) && now - (double)flows[number].row.first_us > UNANSWERED_US) {
        take_off(meter, WAITING, number);
        note_unanswered(meter, flows + number);
    }
    while ((number = first_of(meter, CLOSING)) && now - (double)flows[number].closing_us > LINGER_US)
        close_flow(meter, number, flows[number].closing);
    while ((number = first_of(meter, BY_SILENCE)) &&
           now - (double)flows[number].row.last_us > meter->settings.idle_us)
        close_flow(meter, number, timeout_reason(meter, flows + number));
    while ((number = first_of(meter, BY_AGE)) && now - (double)flows[number].row.first_us > meter->settings.active_us)
        close_flow(meter, number, timeout_reason(meter, flows + number));
    find_next_end(meter);
}

/* Close the flows that have been silent for longest. */
static void close_most(struct tlids_meter *meter, uint8_t reason, uint32_t most)
{
    for (; first_of(meter, BY_SILENCE) && most > 0; most--)
        close_flow(meter, first_of(meter, BY_SILENCE), reason);
}

/* The clock was set back, or another recording follows. */
static void start_clock_anew(struct tlids_meter *meter, double now)
{
    close_most(meter, IDLE, UINT32_MAX);
    while (meter->resets[0].link.after)
        forget_reset(meter, meter->resets[0].link.after);
    meter->clock = now;
    meter->next_end = INFINITY;
}

/* The flow that a full table misses least. */
static uint32_t first_to_go(const struct tlids_meter *meter)
{
    if (PROBATION_SHARE * (uint64_t)meter->on_probation >= meter->settings.max_flows)
        return first_of(meter, PROBATION);
    uint32_t number = first_of(meter, BY_SILENCE);
    for (int i = 0; i < LOOKED_AT && number != 0; i++) {
        const struct flow *flow = meter->flows + number;
        if (2 * (uint64_t)meter->macs[flow->mac].flows > meter->settings.max_flows)
            return number;
        number = flow->links[BY_SILENCE].after;
    }
    return first_of(meter, BY_SILENCE);
}

static double reset_at(const struct tlids_meter *meter, const struct tlids_ends *ends, uint64_t hash)
{
    uint32_t number = find_reset(meter, ends, hash);
    return number == 0 ? -INFINITY : (double)meter->resets[number].closing_us;
}

/* Whether a TCP packet that opens a flow answers one that was not seen, or goes on with one that was reset. `old` is the
 * flow that it follows. No source is turned round into ends that another flow has. */
static bool is_answer(const struct tlids_meter *meter, uint32_t old, const struct tlids_packet *packet, uint64_t hash)
{
    uint8_t flags = packet->tcp_flags;
    if ((flags & (SYN | ACK | RST)) == SYN)
        return false;
    struct tlids_ends back = turned(&packet->ends);
    uint32_t other = meter->knows_vlans ? find_flow(meter, &back, hash) : 0;
    if (other != 0 && other != old)
        return false;
    if (flags & RST || (flags & (SYN | ACK)) == (SYN | ACK))
        return true;
    if (flags & SYN || meter->resets[0].link.after == 0)
        return false;
    uint64_t reset_hash = hash_of_reset(meter, &back);
    double back_us = reset_at(meter, &back, reset_hash), there_us = reset_at(meter, &packet->ends, reset_hash);
    return back_us > there_us && (double)packet->time_us - back_us <= meter->settings.idle_us;
}

/* Fill in what a flow is before its first packet is counted. */
static void begin_row(struct tlids_flow *row, const struct tlids_packet *packet, bool forward)
{
    memset(row, 0, sizeof *row);
    row->ends = forward ? packet->ends : turned(&packet->ends);
    row->first_us = row->last_us = packet->time_us;
    row->window = forward && packet->ends.protocol == TCP ? packet->tcp_window : -1;
    row->src_mac_bytes = forward ? packet->src_mac_bytes : packet->dst_mac_bytes;
    row->dst_mac_bytes = forward ? packet->dst_mac_bytes : packet->src_mac_bytes;
    memcpy(row->src_mac, forward ? packet->src_mac : packet->dst_mac, 6);
    memcpy(row->dst_mac, forward ? packet->dst_mac : packet->src_mac, 6);
}

/* Where an opened flow stands: it waits for an answer, is one, or is a RST's, which is noted at once. */
static void begin_waiting(struct tlids_meter *meter, uint32_t number, bool forward, uint8_t flags)
{
    struct flow *flow = meter->flows + number;
    flow->heeds_source = flow->heeds_reply = true;
    flow->replied = false;
    if (forward) {
        append(meter, PROBATION, number);
        append(meter, WAITING, number);
    } else if (flags & RST) {
        append(meter, PROBATION, number);
        note_unanswered(meter, flow);
    } else {
        flow->row.answered = 1;
        flow->replied = true;
        flow->heeds_reply = false;
    }
    if (meter->knows_vlans)
        await_answer(meter, number);
}

/* Open a flow after closing the one that it follows or, when the table is full, the one to go first. */
static uint32_t open_flow(struct tlids_meter *meter, uint32_t old, const struct tlids_packet *packet, bool forward)
{
    if (old != 0) {
        close_flow(meter, old, ACTIVE);
    } else if (meter->open >= meter->settings.max_flows) {
        meter->evicted++;
        close_flow(meter, first_to_go(meter), TABLE_FULL);
    }
    uint32_t number = meter->free_flow != 0 ? meter->free_flow : ++meter->used_flows;
    struct flow *flow = meter->flows + number;
    if (number == meter->free_flow)
        meter->free_flow = flow->next_free;
    begin_row(&flow->row, packet, forward);
    if (meter->settings.with_payloads)
        memset(meter->payloads + number, 0, sizeof *meter->payloads);
    flow->closing_us = 0;
    flow->closing = flow->on = 0;
    flow->shown = 0;
    flow->opening = 0;
    flow->dissection = NULL;
    flow->is_unknown = meter->ndpi.module != NULL && has_application(packet->ends.protocol);
    flow->mac = hold_mac(meter, flow->row.src_mac, flow->row.src_mac_bytes);
    append(meter, BY_SILENCE, number);
    append(meter, BY_AGE, number);
    meter->open++;
    meter->opened++;
    struct tlids_ends back = turned(&flow->row.ends);
    uint64_t hash = hash_of_flow(meter, &back); /* the same as that of its own ends */
    flow->has_way_back = !meter->knows_vlans || find_flow(meter, &back, hash) == 0;
    enter_by_ends(meter, number, hash);
    begin_waiting(meter, number, forward, packet->tcp_flags);
    end_not_before(meter, (double)packet->time_us + meter->soonest_us);
    return number;
}

/* Whether a MAC address is the source's; where there is none, nothing speaks against it. */
static bool is_source(const struct tlids_flow *row, const uint8_t *mac, uint8_t size)
{
    return size == 0 || row->src_mac_bytes == 0 || memcmp(row->src_mac, mac, 6) == 0;
}

/* A further packet of the source: it ends the probation, or proves the source. */
static void heed_source(struct tlids_meter *meter, uint32_t number, const struct tlids_packet *packet)
{
    struct flow *flow = meter->flows + number;
    leave_if_on(meter, PROBATION, number);
    bool proves = flow->replied && !(packet->tcp_flags & RST);
    if (proves && is_source(&flow->row, packet->src_mac, packet->src_mac_bytes))
        flow->row.proven = 1;
    flow->heeds_source = flow->replied && !flow->row.proven;
}

/* Whether the source has forged this packet in return: it comes from the source's own MAC address. */
static bool is_forged(const struct tlids_flow *row, const struct tlids_packet *packet)
{
    if (packet->src_mac_bytes == 0 || row->src_mac_bytes == 0 || memcmp(row->src_mac, packet->src_mac, 6) != 0)
        return false;
    return row->dst_mac_bytes == 0 || memcmp(row->src_mac, row->dst_mac, 6) != 0;
}

/* A packet in return before one has gone to the source's MAC: an answer, or a RST. */
static void heed_reply(struct tlids_meter *meter, uint32_t number, const struct tlids_packet *packet)
{
    struct flow *flow = meter->flows + number;
    bool is_reset = packet->tcp_flags & RST;
    if (!is_reset && is_forged(&flow->row, packet))
        return;
    if (!flow->row.answered) {
        leave_if_on(meter, PROBATION, number);
        bool waited = is_on(flow, WAITING);
        leave_if_on(meter, WAITING, number);
        if (is_reset) {
            if (waited)
                note_unanswered(meter, flow);
            return;
        }
        flow->row.answered = 1;
        leave(meter, BY_ANSWER, number);
    }
    if (!is_reset && is_source(&flow->row, packet->dst_mac, packet->dst_mac_bytes)) {
        flow->replied = flow->heeds_source = true;
        flow->heeds_reply = false;
    }
}

/* What the features of the cicflow family need; a packet older than the one before it counts as no gap. */
static void count_payload(struct tlids_payloads *payloads, bool forward, uint64_t out_packets,
                          const struct tlids_packet *packet)
{
    uint64_t payload = packet->payload_length;
    int64_t now = packet->time_us;
    if (forward) {
        payloads->in_payload += payload;
        return;
    }
    if (out_packets == 1) {
        payloads->out_first_us = payloads->out_last_us = now;
    } else {
        int64_t gap = now > payloads->out_last_us ? now - payloads->out_last_us : 0;
        if (out_packets == 2 || gap < payloads->out_gap_min)
            payloads->out_gap_min = gap;
        payloads->out_last_us += gap;
    }
    payloads->out_payload += payload;
    uint64_t square = payload * payload;
    payloads->squares_low += square;
    payloads->squares_high += payloads->squares_low < square; /* the carry */
}

/* Take note of FIN and RST; the flow closes LINGER_US after the second FIN or the first RST. */
static void end_tcp(struct tlids_meter *meter, uint32_t number, bool forward, const struct tlids_packet *packet)
{
    struct flow *flow = meter->flows + number;
    if (packet->tcp_flags & FIN)
        flow->row.fin_seen |= forward ? 1 : 2;
    if (flow->closing || !(packet->tcp_flags & RST || flow->row.fin_seen == 3))
        return;
    flow->closing = packet->tcp_flags & RST ? RST_END : FIN_END;
    flow->closing_us = packet->time_us;
    append(meter, CLOSING, number);
    end_not_before(meter, (double)packet->time_us + LINGER_US);
}

static void follow_clock(struct tlids_meter *meter, double now)
{
    if (now > meter->clock) {
        meter->clock = now;
        if (now > meter->next_end)
            expire(meter, now);
    } else if (now < meter->clock - meter->clock_step_us) {
        start_clock_anew(meter, now);
    }
}

static void add_packet(struct tlids_meter *meter, const struct tlids_packet *packet, const uint8_t *frame)
{
    follow_clock(meter, (double)packet->time_us);
    const struct tlids_ends *ends = &packet->ends;
    uint64_t hash = hash_of_flow(meter, ends);
    uint32_t number = find_flow(meter, ends, hash);
    if (number == 0 && (ends->vlan != 0 || meter->knows_vlans))
        number = find_other_way(meter, packet, hash);
    bool forward;
    if (number == 0 || (meter->flows[number].closing && (packet->tcp_flags & (SYN | ACK)) == SYN)) {
        forward = ends->protocol != TCP || !is_answer(meter, number, packet, hash);
        number = open_flow(meter, number, packet, forward);
    } else {
        const struct tlids_ends *own = &meter->flows[number].row.ends;
        forward = ends->src_port == own->src_port && memcmp(ends->src, own->src, 16) == 0;
        take_off(meter, BY_SILENCE, number);
        append(meter, BY_SILENCE, number);
        if (forward && meter->flows[number].heeds_source)
            heed_source(meter, number, packet);
        else if (!forward && meter->flows[number].heeds_reply)
            heed_reply(meter, number, packet);
    }
    struct flow *flow = meter->flows + number;
    struct tlids_flow *row = &flow->row;
    if (packet->time_us > row->last_us)
        row->last_us = packet->time_us;
    *(forward ? &row->in_packets : &row->out_packets) += 1;
    *(forward ? &row->in_bytes : &row->out_bytes) += packet->length;
    if (meter->settings.with_payloads)
        count_payload(meter->payloads + number, forward, row->out_packets, packet);
    if (flow->is_unknown)
        dissect(meter, number, packet, frame);
    if (packet->ends.protocol == TCP) {
        row->tcp_flags |= packet->tcp_flags;
        if (packet->tcp_flags & (FIN | RST))
            end_tcp(meter, number, forward, packet);
    }
}

/* ---- what Python calls */

/* One packet may end every open flow and note it, and note the one that it opens. */
static bool has_room(const struct tlids_meter *meter)
{
    uint32_t used = meter->row_count > meter->note_count ? meter->row_count : meter->note_count;
    return meter->room - used >= meter->open + 2;
}

int64_t tlids_add(struct tlids_meter *meter, const struct tlids_packet *packets, uint32_t count,
                  const uint8_t *buffer, uint64_t size, uint64_t at)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct tlids_packet *packet = packets + i;
        if (packet->frame_at < at || packet->frame_at - at > size || size - (packet->frame_at - at) < packet->captured)
            return -1;
        if (!has_room(meter))
            return i;
        add_packet(meter, packet, buffer + (packet->frame_at - at));
    }
    return count;
}

/* Count the packets whose turn it is. */
static uint32_t count_ready(struct tlids_meter *meter, struct tlids_line *line, const struct tlids_packet *packets,
                            const uint8_t *buffer, uint64_t size, uint64_t at)
{
    while (line->first < line->ready) {
        const struct tlids_packet *packet = packets + line->first;
        if (!line->counted) {
            uint64_t place = packet->frame_at - at;
            if (packet->kind != PLAIN)
                return NOT_PLAIN;
            if (packet->frame_at < at || place > size || size - place < packet->captured)
                return OUTSIDE;
            if (!has_room(meter))
                return ROWS_FULL;
            add_packet(meter, packet, buffer + place);
        }
        line->counted = 0;
        line->first++;
        line->number++;
        line->held_bytes -= packet->captured;
        line->now_us = packet->time_us;
        if (ends_slice(line, packet->time_us) && (meter->row_count || meter->note_count || line->always))
            return SLICE_OVER;
    }
    return NOTHING_LEFT;
}

uint32_t tlids_pass(struct tlids_meter *meter, struct tlids_line *line, struct tlids_packet *packets,
                    const uint8_t *buffer, uint64_t size, uint64_t at)
{
    while (true) {
        uint32_t turn = count_ready(meter, line, packets, buffer, size, at);
        if (turn != NOTHING_LEFT)
            return turn;
        uint32_t end = block_end(line, packets);
        if (end == 0 && (!line->at_end || line->first == line->settled))
            return NOTHING_LEFT;
        if (end == 0) {
            line->ready = line->settled;
        } else if (take_block(meter, line, packets, end)) {
            call_up(line, packets);
        } else {
            line->block_end = end;
            return ODD_TIMES;
        }
    }
}

int tlids_expire(struct tlids_meter *meter, double now_us)
{
    if (!has_room(meter))
        return -1;
    expire(meter, now_us);
    return 0;
}

/* Give the memory of an empty table back, where as much again can be had: it is then untouched. */
static void let_go_of_flows(struct tlids_meter *meter)
{
    size_t flows = meter->settings.max_flows + (size_t)1;
    struct flow *fresh = calloc(flows, sizeof *fresh);
    uint8_t(*openings)[OPENING_BYTES] = calloc(flows, sizeof *openings);
    if (fresh == NULL || openings == NULL) {
        free(fresh);
        free(openings);
        return;
    }
    free(meter->flows);
    free(meter->openings);
    meter->flows = fresh;
    meter->openings = openings;
    meter->free_flow = meter->used_flows = 0;
}

int tlids_close(struct tlids_meter *meter, uint32_t reason, uint32_t most)
{
    if (!has_room(meter) || reason >= END_REASONS)
        return -1;
    close_most(meter, (uint8_t)reason, most);
    if (meter->open == 0)
        let_go_of_flows(meter);
    return 0;
}

int tlids_begin_again(struct tlids_meter *meter)
{
    if (!has_room(meter))
        return -1;
    start_clock_anew(meter, 0);
    return 0;
}

uint32_t tlids_waiting_rows(const struct tlids_meter *meter)
{
    return meter->row_count;
}

uint32_t tlids_waiting_notes(const struct tlids_meter *meter)
{
    return meter->note_count;
}

void tlids_take_rows(struct tlids_meter *meter, struct tlids_row *rows)
{
    memcpy(rows, meter->rows, meter->row_count * sizeof *rows);
    meter->row_count = 0;
}

void tlids_take_notes(struct tlids_meter *meter, struct tlids_note *notes)
{
    memcpy(notes, meter->notes, meter->note_count * sizeof *notes);
    meter->note_count = 0;
}

void tlids_count(const struct tlids_meter *meter, struct tlids_counts *counts)
{
    counts->open = meter->open;
    counts->opened = meter->opened;
    counts->evicted = meter->evicted;
    memcpy(counts->closed, meter->closed, sizeof counts->closed);
}

void tlids_layout(uint32_t layout[9])
{
    layout[0] = TLIDS_ABI;
    layout[1] = sizeof(struct tlids_packet);
    layout[2] = sizeof(struct tlids_row);
    layout[3] = sizeof(struct tlids_note);
    layout[4] = sizeof(struct tlids_settings);
    layout[5] = sizeof(struct tlids_ndpi);
    layout[6] = sizeof(struct tlids_reading);
    layout[7] = sizeof(struct tlids_line);
    layout[8] = sizeof(struct tlids_counts);
}

static double lesser(double one, double other)
{
    return one < other ? one : other;
}

static uint32_t buckets_for(uint32_t flows)
{
    uint32_t buckets = 2;
    while (buckets < 2 * (uint64_t)flows && buckets < 1u << 31)
        buckets *= 2;
    return buckets;
}

static bool allocate(struct tlids_meter *meter, uint32_t flows, uint32_t buckets)
{
    meter->flows = calloc(flows + (size_t)1, sizeof *meter->flows);
    meter->payloads = calloc(flows + (size_t)1, sizeof *meter->payloads);
    bool has_tables = true;
    for (int table = 0; table < TABLES; table++) {
        meter->buckets[table] = calloc(buckets, sizeof(uint32_t));
        meter->chains[table] = calloc(flows + (size_t)1, sizeof **meter->chains);
        has_tables &= meter->buckets[table] != NULL && meter->chains[table] != NULL;
    }
    meter->macs = calloc(flows + (size_t)1, sizeof *meter->macs);
    meter->mac_buckets = calloc(buckets, sizeof *meter->mac_buckets);
    meter->openings = calloc(flows + (size_t)1, sizeof *meter->openings);
    meter->resets = calloc(MAX_RESETS + 1, sizeof *meter->resets);
    meter->reset_buckets = calloc(2 * MAX_RESETS, sizeof *meter->reset_buckets);
    meter->answers = calloc(ANSWER_SLOTS, sizeof *meter->answers);
    meter->asked = calloc(ASKED_SLOTS, sizeof *meter->asked);
    meter->places = calloc(2 * MAX_IN_LINE, sizeof *meter->places);
    meter->rows = calloc(meter->room, sizeof *meter->rows);
    meter->notes = calloc(meter->room, sizeof *meter->notes);
    return has_tables && meter->flows && meter->payloads && meter->macs && meter->mac_buckets && meter->openings &&
           meter->resets && meter->reset_buckets && meter->answers && meter->asked && meter->places && meter->rows &&
           meter->notes;
}

struct tlids_meter *tlids_new(const struct tlids_settings *settings, const struct tlids_ndpi *ndpi)
{
    uint32_t flows = settings->max_flows, buckets = buckets_for(flows);
    if (flows == 0 || flows > UINT32_MAX / 4)
        return NULL;
    struct tlids_meter *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return NULL;
    meter->room = flows + SPARE;
    if (!allocate(meter, flows, buckets)) {
        tlids_free(meter);
        return NULL;
    }
    meter->settings = *settings;
    if (ndpi != NULL)
        meter->ndpi = *ndpi;
    memcpy(meter->key, settings->seed, sizeof meter->key);
    meter->bucket_mask = buckets - 1;
    meter->soonest_us = lesser(lesser(settings->idle_us, settings->active_us), UNANSWERED_US);
    meter->clock_step_us = -lesser(-settings->idle_us, -MIN_CLOCK_STEP_US);
    meter->clock = -INFINITY;
    meter->next_end = INFINITY;
    for (uint32_t number = 1; number <= MAX_RESETS; number++)
        meter->resets[number].chained = number < MAX_RESETS ? number + 1 : 0;
    meter->free_reset = 1;
    return meter;
}

void tlids_free(struct tlids_meter *meter)
{
    if (meter == NULL)
        return;
    if (meter->flows != NULL)
        for (uint32_t number = first_of(meter, BY_AGE); number; number = meter->flows[number].links[BY_AGE].after)
            if (meter->flows[number].dissection != NULL)
                meter->ndpi.free_flow(meter->flows[number].dissection);
    free(meter->flows);
    free(meter->payloads);
    for (int table = 0; table < TABLES; table++) {
        free(meter->buckets[table]);
        free(meter->chains[table]);
    }
    free(meter->macs);
    free(meter->mac_buckets);
    free(meter->openings);
    free(meter->resets);
    free(meter->reset_buckets);
    free(meter->answers);
    free(meter->asked);
    free(meter->places);
    free(meter->rows);
    free(meter->notes);
    free(meter);
}
