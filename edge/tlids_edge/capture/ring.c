/* Captures one Ethernet interface and writes a pcap stream to standard output, as `tcpdump -w -` does, but in blocks.
 *
 *     tlids-ring INTERFACE [--check]
 *
 * The kernel writes packets into a ring of blocks that is mapped here (AF_PACKET, TPACKET_V3; see packet_mmap.rst of
 * the Linux documentation). A block is handed over when it is full, and every RETIRE_MS. So a packet waits about that
 * long at most, and a flood costs one write for some hundred packets: tcpdump hands over packets at once only with one
 * write for each of them, and with a ring that has room for 15,000 packets in 32 MiB.
 *
 * On standard error it says what tcpdump says: "listening on", and how many packets the kernel dropped, at the end and
 * on SIGUSR1. SIGTERM and SIGINT end it, after what the kernel still holds, unless nobody reads that. It gives up every
 * right as soon as the ring is there; with --check it ends then, as a trial. It reads no packet, but for putting back
 * the VLAN tag that the kernel takes out.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BLOCK = 16 << 10, /* bytes; at low rates a block is spent every RETIRE_MS: they last for twenty seconds */
    BLOCKS = 1024,    /* 16 MiB: 0.7 s of the smallest packets at the line rate of a 100 Mbit port */
    RETIRE_MS = 20,
    END_MS = 1000, /* how long a reader may take nothing when the end has come */
    SNAP = 2048, /* a whole Ethernet frame; of segments that the network card merged, the beginning */
    TAG = 4,     /* bytes of a VLAN tag */
    NOBODY = 65534,
    OUT = 128 << 10,
    PIPE = 1 << 20, /* what a pipe holds at most for a user without rights: 0.1 s more of such packets */
};

struct pcap_file {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, snap, link;
};

struct pcap_record {
    uint32_t seconds, microseconds, captured, length;
};

struct ring {
    int socket;
    const char *name; /* of the interface */
    uint8_t *blocks;
    uint32_t next;     /* the block that the kernel hands over next */
    uint64_t dropped;  /* reading the kernel's counter resets it */
    bool loopback;     /* where each packet is seen twice */
};

static volatile sig_atomic_t ending, asked;
static uint8_t out[OUT];
static size_t out_used;
static sigset_t waiting; /* the signals that may come while we wait, and at no other time */

static void on_signal(int number)
{
    if (number == SIGUSR1)
        asked = 1;
    else
        ending = 1;
}

static void fail(const char *about, const char *what)
{
    fprintf(stderr, "%s: %s\n", about, what);
    exit(1);
}

static void check(const struct ring *ring, int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s: %s\n", ring->name, what, strerror(errno));
    exit(1);
}

/* Say how many packets the kernel dropped since the beginning. */
static void tell_dropped(struct ring *ring)
{
    struct tpacket_stats_v3 counted;
    socklen_t size = sizeof counted;
    if (getsockopt(ring->socket, SOL_PACKET, PACKET_STATISTICS, &counted, &size) == 0)
        ring->dropped += counted.tp_drops;
    fprintf(stderr, "%" PRIu64 " packets dropped by kernel\n", ring->dropped);
}

/* Wait until a descriptor is ready or a signal comes, for a time in ms at most (-1: any). What poll says of it. */
static int ready(struct ring *ring, struct pollfd *descriptors, nfds_t count, int most_ms)
{
    struct timespec most = {most_ms / 1000, most_ms % 1000 * 1000000L};
    int found = ppoll(descriptors, count, most_ms < 0 ? NULL : &most, &waiting);
    if (found < 0 && errno != EINTR)
        check(ring, found, "poll");
    if (asked) {
        asked = 0;
        tell_dropped(ring);
    }
    return found;
}

/* Hand over what is gathered. A reader that has gone ends the program. */
static void flush_out(struct ring *ring)
{
    size_t written = 0;
    while (written < out_used) {
        ssize_t count = write(STDOUT_FILENO, out + written, out_used - written);
        if (count > 0) {
            written += (size_t)count;
        } else if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
            if (ready(ring, &reader, 1, ending ? END_MS : -1) == 0) {
                tell_dropped(ring);
                fail("standard output", "nobody reads it");
            }
        } else {
            fail("standard output", strerror(errno));
        }
    }
    out_used = 0;
}

static void gather(struct ring *ring, const void *bytes, size_t count)
{
    if (count > OUT - out_used)
        flush_out(ring);
    memcpy(out + out_used, bytes, count);
    out_used += count;
}

/* Write one packet of a block, with its VLAN tag at its place again. */
static void write_packet(struct ring *ring, const struct tpacket3_hdr *packet)
{
    const uint8_t *frame = (const uint8_t *)packet + packet->tp_mac;
    const struct sockaddr_ll *link = (const void *)((const uint8_t *)packet + TPACKET_ALIGN(sizeof *packet));
    if (ring->loopback && link->sll_pkttype == PACKET_OUTGOING)
        return;
    uint32_t kept = packet->tp_snaplen < SNAP ? packet->tp_snaplen : SNAP;
    bool tagged = (packet->tp_status & TP_STATUS_VLAN_VALID) && kept >= 2 * ETH_ALEN;
    uint32_t added = tagged ? TAG : 0, most = kept + added < SNAP ? kept + added : SNAP;
    struct pcap_record record = {packet->tp_sec, packet->tp_nsec / 1000, most, packet->tp_len + added};
    if (sizeof record + SNAP > OUT - out_used) /* so that a record is whole when it is written */
        flush_out(ring);
    gather(ring, &record, sizeof record);
    if (tagged) {
        uint32_t type = packet->tp_status & TP_STATUS_VLAN_TPID_VALID ? packet->hv1.tp_vlan_tpid : ETH_P_8021Q;
        uint32_t tci = packet->hv1.tp_vlan_tci;
        uint8_t tag[TAG] = {(uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(tci >> 8), (uint8_t)tci};
        gather(ring, frame, 2 * ETH_ALEN);
        gather(ring, tag, TAG);
        gather(ring, frame + 2 * ETH_ALEN, most - TAG - 2 * ETH_ALEN);
    } else {
        gather(ring, frame, most);
    }
}

/* Write the packets of the next block and give it back; false when the kernel has not handed it over. */
static bool pass_on_block(struct ring *ring)
{
    struct tpacket_block_desc *block = (void *)(ring->blocks + (size_t)ring->next * BLOCK);
    uint32_t *status = &block->hdr.bh1.block_status;
    if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
        return false;
    const uint8_t *packet = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    for (uint32_t left = block->hdr.bh1.num_pkts; left; left--) {
        write_packet(ring, (const void *)packet);
        packet += ((const struct tpacket3_hdr *)packet)->tp_next_offset;
    }
    __atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring->next = (ring->next + 1) % BLOCKS;
    return true;
}

/* What the kernel keeps of each packet: 0 for none. */
static void keep_at_most(const struct ring *ring, uint32_t bytes)
{
    struct sock_filter instruction = BPF_STMT(BPF_RET | BPF_K, bytes);
    struct sock_fprog filter = {1, &instruction};
    check(ring, setsockopt(ring->socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), "filter");
}

/* The interface's number; one that is not Ethernet ends the program. */
static int look_up(struct ring *ring)
{
    struct ifreq device = {0};
    if (strlen(ring->name) >= sizeof device.ifr_name)
        fail(ring->name, "expected an interface, found none of this name");
    strcpy(device.ifr_name, ring->name);
    if (ioctl(ring->socket, SIOCGIFHWADDR, &device) < 0)
        fail(ring->name, "expected an interface, found none of this name");
    int kind = device.ifr_hwaddr.sa_family;
    ring->loopback = kind == ARPHRD_LOOPBACK;
    if (kind != ARPHRD_ETHER && !ring->loopback)
        fail(ring->name, "expected an Ethernet interface, found another kind: capture with tcpdump");
    check(ring, ioctl(ring->socket, SIOCGIFINDEX, &device), "index");
    return device.ifr_ifindex;
}

/* Open the ring on an interface. Nothing comes into it before it is bound. */
static void open_ring(struct ring *ring)
{
    ring->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (ring->socket < 0 && errno == EPERM)
        fail(ring->name, "You don't have permission to capture on that device");
    check(ring, ring->socket, "socket");
    int interface = look_up(ring), version = TPACKET_V3;
    keep_at_most(ring, SNAP);
    check(ring, setsockopt(ring->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version), "TPACKET_V3");
    struct tpacket_req3 size = {
        .tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = BLOCK, .tp_frame_nr = BLOCKS,
        .tp_retire_blk_tov = RETIRE_MS,
    };
    check(ring, setsockopt(ring->socket, SOL_PACKET, PACKET_RX_RING, &size, sizeof size), "ring");
    ring->blocks = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, ring->socket, 0);
    if (ring->blocks == MAP_FAILED)
        check(ring, -1, "mmap");
    struct packet_mreq all = {.mr_ifindex = interface, .mr_type = PACKET_MR_PROMISC};
    check(ring, setsockopt(ring->socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all), "promiscuous mode");
    struct sockaddr_ll where = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface};
    check(ring, bind(ring->socket, (struct sockaddr *)&where, sizeof where), "bind");
}

/* Keep none of the rights that opening the ring took. */
static void give_up_rights(const struct ring *ring)
{
    check(ring, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
    if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
                           setresuid(NOBODY, NOBODY, NOBODY)) && errno != EINVAL && errno != EPERM)
        check(ring, -1, "user"); /* EINVAL, EPERM: a container whose root may not; no capability is left to it either */
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    check(ring, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities");
    check(ring, (int)syscall(SYS_capset, &header, none), "capabilities");
}

static void take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t ours;
    sigemptyset(&ours);
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    for (size_t place = 0; place < sizeof numbers / sizeof *numbers; place++) {
        sigaddset(&ours, numbers[place]);
        sigaction(numbers[place], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &ours, &waiting);
    for (size_t place = 0; place < sizeof numbers / sizeof *numbers; place++)
        sigdelset(&waiting, numbers[place]);
    signal(SIGPIPE, SIG_IGN);
}

/* What the kernel has to say of the socket, as errno; 0: nothing. */
static int error_of(const struct ring *ring)
{
    int code = 0;
    socklen_t size = sizeof code;
    check(ring, getsockopt(ring->socket, SOL_SOCKET, SO_ERROR, &code, &size), "error");
    return code;
}

/* Capture until a signal comes, 0, or the interface goes, its errno. */
static int capture(struct ring *ring)
{
    for (;;) {
        ready(ring, NULL, 0, 0); /* signals that came meanwhile */
        if (ending)
            return 0;
        if (pass_on_block(ring))
            continue;
        flush_out(ring);
        struct pollfd descriptors[] = {{.fd = ring->socket, .events = POLLIN}, {.fd = STDOUT_FILENO}};
        if (ready(ring, descriptors, 2, -1) <= 0)
            continue;
        if (descriptors[1].revents)
            fail("standard output", "nobody reads it");
        if (descriptors[0].revents & (POLLERR | POLLHUP | POLLNVAL))
            return error_of(ring);
    }
}

/* Write what the kernel still holds; nothing comes after it. */
static void drain(struct ring *ring)
{
    keep_at_most(ring, 0);
    ending = 1;
    ready(ring, NULL, 0, 3 * RETIRE_MS); /* until the last block is handed over */
    while (pass_on_block(ring))
        ;
    flush_out(ring);
}

/* See that no descriptor of ours becomes a standard one that is closed: packets would be written to the network. */
static void open_standard_descriptors(void)
{
    int spare;
    do
        spare = open("/dev/null", O_RDWR);
    while (spare >= 0 && spare <= STDERR_FILENO);
    close(spare);
}

int main(int count, char **arguments)
{
    bool trial = count == 3 && strcmp(arguments[2], "--check") == 0;
    open_standard_descriptors();
    if (count != 2 && !trial)
        fail("tlids-ring", "expected the name of one interface");
    if (!trial && isatty(STDOUT_FILENO))
        fail("tlids-ring", "expected a pipe as standard output, found a terminal");
    struct ring ring = {.name = arguments[1]};
    take_signals();
    open_ring(&ring);
    give_up_rights(&ring);
    if (trial)
        return 0;
    int code = error_of(&ring); /* of an interface that is down */
    if (code)
        fail(ring.name, strerror(code));
    /* or a signal could come between looking for one and a long write */
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    (void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE); /* a socket, or a full quota, has less */
    struct pcap_file file = {0xa1b2c3d4, 2, 4, 0, 0, SNAP, 1 /* Ethernet */};
    gather(&ring, &file, sizeof file);
    flush_out(&ring);
    fprintf(stderr, "listening on %s\n", ring.name);
    code = capture(&ring);
    drain(&ring);
    tell_dropped(&ring);
    if (code)
        fail(ring.name, strerror(code));
    return 0;
}
