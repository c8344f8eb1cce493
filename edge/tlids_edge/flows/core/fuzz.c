/* Feeds the compiled meter what a generator makes up, under the sanitizers: `make fuzz-core`.
 *
 * An input is a pcap record, or a few, of a capture that goes on from input to input, so that flows open, meet and end.
 * With libFuzzer it is one call of LLVMFuzzerTestOneInput; without it this file brings its own loop. Each record is a
 * copy in memory of exactly its size, so that a read beyond it is seen. */

#include "meter.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROOM = 64, MOST = 8192 };

static struct tlids_meter *meter;
static struct tlids_row *rows;
static struct tlids_note *notes;
static uint64_t stream_at, inputs, flows, plain_packets, odd_blocks;

static uint64_t no_process(void *module, void *flow, const uint8_t *packet, uint16_t size, uint64_t ms)
{
    (void)module, (void)flow, (void)ms;
    uint64_t sum = 0; /* reads what nDPI would */
    for (uint16_t i = 0; i < size; i++)
        sum += packet[i];
    return sum % 7 == 0 ? sum << 16 : 0;
}

static uint8_t no_more(void *module, void *flow)
{
    (void)module, (void)flow;
    return 0;
}

static uint64_t no_guess(void *module, void *flow, uint8_t enough, uint8_t *guessed)
{
    (void)module, (void)flow, (void)enough;
    *guessed = 1;
    return 5;
}

static void start(void)
{
    struct tlids_settings *settings = calloc(1, sizeof *settings);
    struct tlids_ndpi ndpi = {&stream_at, 64, calloc, free, no_process, no_more, no_guess};
    settings->idle_us = 2e5;
    settings->active_us = 1e6;
    settings->seed[0] = 1;
    settings->max_flows = 50;
    settings->with_payloads = 1;
    meter = tlids_new(settings, &ndpi);
    rows = calloc(settings->max_flows + 8192, sizeof *rows);
    notes = calloc(settings->max_flows + 8192, sizeof *notes);
    free(settings);
    if (meter == NULL || rows == NULL || notes == NULL)
        abort();
}

static void take(void)
{
    flows += tlids_waiting_rows(meter);
    tlids_take_rows(meter, rows);
    tlids_take_notes(meter, notes);
}

/* Pass all packets in line on; what Python would decode or arrange is left out. */
static void pass_all(struct tlids_line *line, struct tlids_packet *packets, const uint8_t *exact, size_t size)
{
    while (true) {
        uint32_t turn = tlids_pass(meter, line, packets, exact, size, stream_at);
        if (turn == NOTHING_LEFT)
            return;
        if (turn == OUTSIDE || line->first > line->ready || line->ready > line->settled || line->settled > line->end)
            abort();
        if (turn == NOT_PLAIN)
            line->counted = 1;
        if (turn == ROWS_FULL || turn == SLICE_OVER)
            take();
        if (turn == ODD_TIMES) {
            odd_blocks++;
            line->settled = line->block_end;
            line->ready = line->first;
            line->newest_us = packets[line->block_end - 1].time_us;
            line->forced_us = INT64_MIN;
            tlids_hold(meter, line, packets);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tlids_packet packets[ROOM];
    static struct tlids_line line = {
        .window_us = 100000, .slice_us = 100000, .most_bytes = 2000, .block = 16, .most_held = 40, .few = 4,
        .slice_most = 100, .latest_us = INT64_MAX, .newest_us = INT64_MIN, .forced_us = INT64_MIN, .begun_us = INT64_MIN,
    };
    struct tlids_reading reading = {0};
    if (meter == NULL)
        start();
    uint8_t *exact = malloc(size ? size : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, data, size);
    reading.swapped = size > 0 && data[0] == 0xff;
    tlids_read(meter, &reading, exact, size, stream_at, packets, ROOM);
    if (reading.used > size || reading.count > ROOM)
        abort();
    plain_packets += reading.count - reading.odd;
    line.first = line.ready = line.settled = 0;
    line.end = reading.count;
    line.held_bytes = line.at_end = 0;
    line.as_they_come = size & 1;
    pass_all(&line, packets, exact, size);
    line.at_end = 1; /* the frames of those that wait go away with this input */
    pass_all(&line, packets, exact, size);
    if (line.first != reading.count || line.held_bytes != 0)
        abort();
    stream_at += size;
    free(exact);
    if (++inputs % 4096 == 0) {
        take();
        struct tlids_counts counts;
        tlids_count(meter, &counts);
        if (counts.open > 50 || counts.opened != counts.open + flows)
            abort();
    }
    return 0;
}

#ifndef LIBFUZZER

static uint64_t state = 88172645463325252u;

static uint64_t random64(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(random64() >> 32) % limit;
}

static void put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* A frame that is nearly a plain one: its size. */
static uint32_t make_frame(uint8_t *frame)
{
    uint32_t at = 14, size = 34 + below(40);
    int is_ipv6 = below(4) == 0;
    for (uint32_t i = 0; i < 100; i++)
        frame[i] = below(8) ? 0 : (uint8_t)random64();
    frame[5] = (uint8_t)below(3);
    frame[11] = (uint8_t)below(3);
    if (below(6) == 0) {
        put16(frame + 12, 0x8100);
        put16(frame + 14, below(3));
        at = 18;
    }
    put16(frame + at - 2, is_ipv6 ? 0x86DD : 0x0800);
    static const uint8_t protocols[] = {6, 6, 6, 17, 17, 1, 58, 132};
    uint8_t protocol = protocols[below(sizeof protocols)];
    uint32_t header = is_ipv6 ? 40 : 20, body = 20 + below(30);
    uint8_t *ip = frame + at;
    ip[0] = is_ipv6 ? 0x60 : 0x45;
    if (is_ipv6) {
        put16(ip + 4, body);
        ip[6] = protocol;
    } else {
        put16(ip + 2, header + body);
        put16(ip + 6, 0);
        ip[9] = protocol;
    }
    ip[is_ipv6 ? 23 : 15] = (uint8_t)below(3);
    ip[is_ipv6 ? 39 : 19] = (uint8_t)below(3);
    put16(ip + header, below(4));
    put16(ip + header + 2, below(4) ? 80 : random64() & 0xFFFF);
    ip[header + 12] = 0x50;
    static const uint8_t flags[] = {2, 18, 16, 24, 17, 4, 20, 1};
    ip[header + 13] = flags[below(sizeof flags)];
    size = at + header + body;
    for (uint32_t n = below(3) ? 0 : below(4); n > 0; n--) /* damage */
        frame[below(size)] = (uint8_t)random64();
    return below(5) ? size : below(size + 1);
}

static uint32_t make_record(uint8_t *record, uint64_t *now)
{
    uint32_t captured = make_frame(record + 16);
    *now += below(1500);
    if (below(5000) == 0)
        *now += (uint64_t)below(100) * 1000000 - 50000000;
    uint64_t moment = *now - (below(4) ? 0 : below(90000)); /* packets are stored out of order */
    uint32_t seconds = (uint32_t)(moment / 1000000), fraction = (uint32_t)(moment % 1000000);
    uint32_t said = below(500) ? captured : (uint32_t)random64();
    memcpy(record, &seconds, 4);
    memcpy(record + 4, &fraction, 4);
    memcpy(record + 8, &said, 4);
    memcpy(record + 12, &captured, 4);
    return 16 + captured;
}

int main(int count, char **arguments)
{
    uint64_t most = count > 1 ? strtoull(arguments[1], NULL, 10) : UINT64_MAX, done = 0;
    double most_s = count > 2 ? strtod(arguments[2], NULL) : 1e9;
    uint64_t now = 1700000000000000u;
    static uint8_t input[MOST];
    if (count > 3)
        state = strtoull(arguments[3], NULL, 10) * 2654435761u + 1;
    clock_t begun = clock();
    while (done < most && (done % 4096 || (double)(clock() - begun) / CLOCKS_PER_SEC < most_s)) {
        uint32_t size = 0;
        for (uint32_t records = 1 + (below(8) ? below(3) : below(ROOM)); records > 0; records--)
            size += make_record(input + size, &now);
        LLVMFuzzerTestOneInput(input, below(10) ? size : below(size + 1));
        done++;
    }
    take();
    printf("%llu inputs, %llu plain packets, %llu flows, %llu blocks at odd times, no report\n", (unsigned long long)done,
           (unsigned long long)plain_packets, (unsigned long long)flows, (unsigned long long)odd_blocks);
    tlids_free(meter);
    free(rows);
    free(notes);
    return 0;
}

#endif
