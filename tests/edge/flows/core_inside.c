/* What can only be seen from inside the compiled meter; test_core.py builds it with the sanitizers and runs it. */

#include <stdio.h>
#include <stdlib.h>

static long allocations, failing = -1;

static void *failing_calloc(size_t count, size_t size)
{
    return allocations++ == failing ? NULL : calloc(count, size);
}

#define calloc failing_calloc
#include "meter.c"
#undef calloc

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: expected %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static struct tlids_settings settings = {.idle_us = 1e9, .active_us = 1e9, .seed = {1, 2}, .max_flows = 30000};

static uint32_t longest_chain(const struct tlids_meter *meter)
{
    uint32_t longest = 0;
    for (uint32_t bucket = 0; bucket <= meter->bucket_mask; bucket++) {
        uint32_t length = 0, number = meter->buckets[BY_ENDS][bucket];
        for (; number != 0; number = meter->chains[BY_ENDS][number].next)
            length++;
        longest = length > longest ? length : longest;
    }
    return longest;
}

static struct tlids_packet packet_of(uint32_t src, uint32_t dst, uint16_t src_port, uint16_t dst_port)
{
    struct tlids_packet packet = {.time_us = 1000000, .length = 40};
    packet.ends = (struct tlids_ends){.src_port = src_port, .dst_port = dst_port, .protocol = 6, .address_bytes = 4};
    packet.tcp_flags = SYN;
    memcpy(packet.ends.src, &src, 4);
    memcpy(packet.ends.dst, &dst, 4);
    return packet;
}

static void add_one(struct tlids_meter *meter, const struct tlids_packet *packet)
{
    uint8_t frame = 0;
    EXPECT(tlids_add(meter, packet, 1, &frame, 0, 0) == 1);
}

/* 20,000 flows whose sums, differences and exclusive ors are all the same. */
static void patterns_make_no_chain(void)
{
    struct tlids_meter *meter = tlids_new(&settings, NULL);
    for (uint32_t i = 0; i < 20000; i++) {
        struct tlids_packet packet = packet_of(i, ~i, (uint16_t)i, (uint16_t)~i);
        add_one(meter, &packet);
    }
    EXPECT(meter->open == 20000 && longest_chain(meter) < 12);
    tlids_free(meter);
}

/* Whoever knows the key fills one bucket; the key then changes, and every flow is found as before. */
static void a_known_key_is_changed(void)
{
    enum { CRAFTED = 200 };
    static struct tlids_packet crafted[CRAFTED];
    struct tlids_meter *meter = tlids_new(&settings, NULL);
    uint32_t found = 0;
    for (uint32_t i = 0; found < CRAFTED; i++) {
        struct tlids_packet packet = packet_of(i, 7, 1, 80);
        if ((hash_of_flow(meter, &packet.ends) & meter->bucket_mask) == 5)
            crafted[found++] = packet;
    }
    for (uint32_t i = 0; i < CRAFTED; i++)
        add_one(meter, crafted + i);
    EXPECT(meter->rekeyed_at > 0 && longest_chain(meter) <= LONGEST_CHAIN);
    for (uint32_t i = 0; i < CRAFTED; i++)
        add_one(meter, crafted + i);
    EXPECT(meter->open == CRAFTED && meter->opened == CRAFTED);
    tlids_free(meter);
}

static void every_allocation_may_fail(void)
{
    struct tlids_meter *meter = NULL;
    for (failing = 0; meter == NULL; failing++) {
        allocations = 0;
        meter = tlids_new(&settings, NULL);
        EXPECT(meter == NULL || failing == allocations);
        EXPECT(failing < 100);
    }
    EXPECT(failing > 5);
    failing = -1;
    tlids_free(meter);
}

/* Rows that nobody takes: the meter says that it has no room, and goes on once they are taken. */
static void there_is_an_end_to_rows(void)
{
    struct tlids_settings small = settings;
    small.max_flows = 10;
    struct tlids_meter *meter = tlids_new(&small, NULL);
    uint8_t frame = 0;
    uint32_t added = 0;
    struct tlids_packet packet = packet_of(0, 7, 1, 80);
    while (tlids_add(meter, &packet, 1, &frame, 0, 0) == 1) {
        packet = packet_of(++added, 7, 1, 80);
        EXPECT(added < 100000);
    }
    EXPECT(tlids_close(meter, SHUTDOWN, 10) == 0 || tlids_waiting_rows(meter) + 12 > meter->room);
    struct tlids_row *rows = calloc(meter->room, sizeof *rows);
    struct tlids_note *notes = calloc(meter->room, sizeof *notes);
    tlids_take_rows(meter, rows);
    tlids_take_notes(meter, notes);
    EXPECT(tlids_add(meter, &packet, 1, &frame, 0, 0) == 1);
    EXPECT(tlids_add(meter, &packet, 1, &frame, 0, 1) == -1); /* its frame is before the buffer */
    packet.captured = 9;
    EXPECT(tlids_add(meter, &packet, 1, &frame, 1, 0) == -1); /* and beyond it */
    free(rows);
    free(notes);
    tlids_free(meter);
}

/* All flows end and others begin, whether memory that nothing has touched can be had or not. */
static void an_emptied_table_is_used_again(void)
{
    enum { FEW = 100, NEITHER_FAILS = 2 };
    struct tlids_settings small = settings;
    small.max_flows = FEW;
    struct tlids_meter *meter = tlids_new(&small, NULL);
    for (int turn = 0; turn <= NEITHER_FAILS; turn++) {
        for (uint32_t i = 0; i < FEW; i++) {
            struct tlids_packet packet = packet_of(i, 7, 1, 80);
            add_one(meter, &packet);
        }
        EXPECT(meter->open == FEW && longest_chain(meter) < 12);
        allocations = 0;
        failing = turn;
        EXPECT(tlids_close(meter, SHUTDOWN, FEW) == 0 && meter->open == 0 && longest_chain(meter) == 0);
        EXPECT((meter->used_flows == 0) == (turn == NEITHER_FAILS));
        failing = -1;
    }
    EXPECT(meter->evicted == 0 && tlids_waiting_rows(meter) == (NEITHER_FAILS + 1) * FEW);
    tlids_free(meter);
}

static long held, shown, guessed;

static void *hold(size_t count, size_t size)
{
    held++;
    return calloc(count, size);
}

static void let_go(void *dissection)
{
    held--;
    free(dissection);
}

static uint64_t process(void *module, void *dissection, const uint8_t *network, uint16_t size, uint64_t time_ms)
{
    EXPECT(module != NULL && dissection != NULL && size == 40 && time_ms == 1000);
    shown += network[0] == 0x45;
    return 0;
}

static uint8_t more_possible(void *module, void *dissection)
{
    return module != NULL && dissection != NULL;
}

static uint64_t guess(void *module, void *dissection, uint8_t how, uint8_t *was_guessed)
{
    EXPECT(module != NULL && dissection != NULL && how == 1);
    *was_guessed = 1;
    guessed++;
    return 7;
}

/* nDPI holds nothing for a flow of one SYN while it is open, and sees the SYN all the same. */
static void a_lone_syn_costs_no_dissection(void)
{
    enum { FLOWS = 1000 };
    struct tlids_ndpi ndpi = {&held, 64, hold, let_go, process, more_possible, guess};
    struct tlids_meter *meter = tlids_new(&settings, &ndpi);
    uint8_t frame[54] = {[14] = 0x45};
    for (uint32_t i = 0; i < FLOWS; i++) {
        struct tlids_packet packet = packet_of(i, 7, 1, 80);
        packet.captured = sizeof frame;
        packet.ip_offset = 14;
        EXPECT(tlids_add(meter, &packet, 1, frame, sizeof frame, 0) == 1);
    }
    EXPECT(held == 0 && shown == 0);
    struct tlids_packet second = packet_of(0, 7, 1, 80);
    second.captured = sizeof frame;
    second.ip_offset = 14;
    EXPECT(tlids_add(meter, &second, 1, frame, sizeof frame, 0) == 1);
    EXPECT(held == 1 && shown == 2);
    EXPECT(tlids_close(meter, SHUTDOWN, UINT32_MAX) == 0);
    EXPECT(held == 0 && shown == FLOWS + 1 && guessed == FLOWS && meter->rows[0].flow.l7_master == 7);
    tlids_free(meter);
}

int main(void)
{
    a_lone_syn_costs_no_dissection();
    patterns_make_no_chain();
    a_known_key_is_changed();
    every_allocation_may_fail();
    there_is_an_end_to_rows();
    an_emptied_table_is_used_again();
    return 0;
}
