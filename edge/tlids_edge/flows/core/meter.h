/* What crosses between Python and the compiled meter. Every struct is mirrored by a numpy dtype in flows/rows.py, and
 * the library tells the sizes, so that a mismatch is found when it is loaded. Numbers are in the machine's byte order;
 * addresses are as on the wire, four bytes of IPv4 followed by zeros. */

#ifndef TLIDS_METER_H
#define TLIDS_METER_H

#include <stddef.h>
#include <stdint.h>

#define TLIDS_ABI 4 /* counts up with every change to this file */

#define EXPORT __attribute__((visibility("default")))

/* ODD: only the time, the place and the sizes are set, Python decodes the frame; then it is DECODED. */
enum kind { PLAIN, ODD, DECODED };
enum reading_end { NEEDS_MORE, NO_ROOM, RECORD_TOO_LONG, ODD_FRACTION };
enum turn { NOTHING_LEFT, SLICE_OVER, NOT_PLAIN, ROWS_FULL, ODD_TIMES, OUTSIDE };
enum end_reason { OPEN, FIN_END, RST_END, IDLE, ACTIVE, TABLE_FULL, SHUTDOWN, END_REASONS };

/* Who talks to whom: what tells flows apart. */
struct tlids_ends {
    uint8_t src[16], dst[16];
    uint32_t vlan;
    uint16_t src_port, dst_port;
    uint8_t protocol, address_bytes; /* 4 or 16 */
    uint8_t unused[2]; /* left 0; in a row the first is Python's, for replies */
};

/* One decoded frame: the fields of Python's Packet. */
struct tlids_packet {
    int64_t time_us;
    uint64_t frame_at; /* bytes of the stream before it */
    uint32_t captured, wire_length;
    uint32_t kind;
    uint32_t ip_offset;
    uint32_t length, payload_length; /* of the IP layer; after the TCP or UDP header */
    struct tlids_ends ends;
    uint16_t tcp_window;
    uint8_t tcp_flags;
    uint8_t src_mac_bytes, dst_mac_bytes; /* 0 or 6 */
    uint8_t src_mac[6], dst_mac[6];
    uint8_t unused[3];
};

/* One flow: the fields of Python's Flow. */
struct tlids_flow {
    int64_t first_us, last_us;
    uint64_t in_bytes, out_bytes, in_packets, out_packets;
    uint16_t l7_master, l7_app;
    int32_t window; /* -1: none */
    struct tlids_ends ends;
    uint8_t src_mac[6], dst_mac[6];
    uint8_t src_mac_bytes, dst_mac_bytes;
    uint8_t tcp_flags, end_reason, fin_seen, answered, proven;
    uint8_t rules; /* left 0: Python's, for the rules that suspect the source */
};

/* What only the cicflow family needs of it; else left 0. */
struct tlids_payloads {
    uint64_t in_payload, out_payload, squares_low, squares_high; /* squares of out_payload: 128 bits */
    int64_t out_first_us, out_last_us, out_gap_min;
};

/* One flow that has ended. */
struct tlids_row {
    struct tlids_flow flow;
    struct tlids_payloads payloads;
    uint64_t order; /* rows and notes are numbered together, in the order in which they came about */
};

/* One flow that nothing came back to. */
struct tlids_note {
    int64_t first_us;
    uint64_t order;
    struct tlids_ends ends;
    uint8_t src_mac_bytes;
    uint8_t src_mac[6];
    uint8_t unused[5];
};

struct tlids_settings {
    double idle_us, active_us;
    uint64_t seed[2]; /* random: whoever sends packets must not know it */
    uint32_t max_flows;
    uint32_t with_payloads;         /* count what the cicflow family needs */
    uint8_t odd_protocols[2][256];  /* of IPv4, of IPv6: 1 for those that Python decodes */
    uint8_t odd_udp_ports[65536 / 8]; /* a bit for each destination port of a tunnel */
};

/* nDPI, by address, so that this file is built without it. */
struct tlids_ndpi {
    void *module;
    size_t flow_size;
    void *(*calloc)(size_t, size_t);
    void (*free_flow)(void *);
    uint64_t (*process)(void *, void *, const uint8_t *, uint16_t, uint64_t);
    uint8_t (*more_possible)(void *, void *);
    uint64_t (*give_up)(void *, void *, uint8_t, uint8_t *);
};

/* How the records of a pcap stream are written, and what became of reading some. */
struct tlids_reading {
    uint32_t swapped, nanoseconds;
    uint64_t used;       /* bytes of the records that were read */
    uint32_t count;      /* of them */
    uint32_t end;        /* enum reading_end */
    uint32_t odd;        /* of the records; the two below are of the others */
    uint32_t truncated;  /* captured in part */
    uint64_t wire_bytes;
};

/* Packets in an array of Python's that wait for older ones, as in capture/clock.py, and are then counted. Places are
 * numbers in that array: from `first` to `ready` the packets whose turn it is, to `settled` those in order, to `end`
 * those that were read. Times are INT64_MIN where there is none yet. */
struct tlids_line {
    /* the rules, which Python names */
    int64_t window_us, earliest_us;
    uint64_t slice_us, most_bytes; /* UINT64_MAX: a slice has no end in time */
    uint32_t block, most_held, few, slice_most;
    uint32_t as_they_come; /* a block ends with the window of time */
    /* what Python says each time */
    uint32_t at_end;  /* nothing more will come */
    uint32_t always;  /* something waits elsewhere: stop at the end of every slice */
    uint32_t counted; /* the packet at `first` is counted: go on behind it */
    /* the state */
    int64_t latest_us; /* of possible times */
    int64_t newest_us, forced_us; /* of all packets; of the last that went because too many waited */
    int64_t begun_us; /* the slice */
    int64_t now_us;   /* the last packet that was counted */
    uint64_t number;  /* of the packet at `first`, among all */
    uint64_t held_bytes;
    uint32_t first, ready, settled, end;
    uint32_t in_slice; /* packets */
    uint32_t passed;   /* blocks, since Python last set this to 0 */
    uint32_t block_end; /* of one with ODD_TIMES */
    uint32_t unused;
};

struct tlids_counts {
    uint64_t open, opened, evicted;
    uint64_t closed[END_REASONS];
};

struct tlids_meter;

/* ABI number, then the sizes of packet, row, note, settings, ndpi, reading, line and counts. */
EXPORT void tlids_layout(uint32_t layout[9]);

/* A meter with all the memory that it will ever have, nDPI's apart; NULL when there is not enough. What no flow has used
 * yet is left untouched, so that the system need not provide it. */
EXPORT struct tlids_meter *tlids_new(const struct tlids_settings *settings, const struct tlids_ndpi *ndpi);
EXPORT void tlids_free(struct tlids_meter *meter);

/* Decode whole records at the beginning of `buffer`, which is `at` bytes into the stream, into `room` packets. */
EXPORT void tlids_read(const struct tlids_meter *meter, struct tlids_reading *reading, const uint8_t *buffer,
                       uint64_t size, uint64_t at, struct tlids_packet *packets, uint32_t room);

/* Put the packets in line into order and count those whose turn it is, whose frames are in `buffer`. Returns an enum
 * turn: NOTHING_LEFT, or why Python must do something before this goes on. SLICE_OVER: take rows and notes. NOT_PLAIN:
 * count the packet at `first`, and set `counted`. ROWS_FULL: take rows and notes. ODD_TIMES: put the packets until
 * `block_end` into order, then call tlids_hold. OUTSIDE: a frame is not in the buffer. */
EXPORT uint32_t tlids_pass(struct tlids_meter *meter, struct tlids_line *line, struct tlids_packet *packets,
                           const uint8_t *buffer, uint64_t size, uint64_t at);

/* Somebody else has put the packets until `settled` into order. */
EXPORT void tlids_hold(struct tlids_meter *meter, struct tlids_line *line, const struct tlids_packet *packets);

/* Count packets whose frames are in `buffer`. Fewer are counted when there is no more room for rows or notes: take
 * them and go on. -1 for a packet whose frame is not in the buffer. */
EXPORT int64_t tlids_add(struct tlids_meter *meter, const struct tlids_packet *packets, uint32_t count,
                         const uint8_t *buffer, uint64_t size, uint64_t at);

/* These end flows; -1, and nothing is done, when there is no room for their rows and notes: take them and try again.
 * tlids_close ends `most` flows at most, those that have been silent for longest first. */
EXPORT int tlids_expire(struct tlids_meter *meter, double now_us);
EXPORT int tlids_close(struct tlids_meter *meter, uint32_t reason, uint32_t most);
EXPORT int tlids_begin_again(struct tlids_meter *meter);

/* How many rows and notes wait; copy all of them out, in order, and forget them. */
EXPORT uint32_t tlids_waiting_rows(const struct tlids_meter *meter);
EXPORT uint32_t tlids_waiting_notes(const struct tlids_meter *meter);
EXPORT void tlids_take_rows(struct tlids_meter *meter, struct tlids_row *rows);
EXPORT void tlids_take_notes(struct tlids_meter *meter, struct tlids_note *notes);
EXPORT void tlids_count(const struct tlids_meter *meter, struct tlids_counts *counts);

#endif
