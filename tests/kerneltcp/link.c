/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kerneltcp/link.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <urcu/list.h>

#include "runtime/wire.h"

enum {
	FRAMES_MAX = 8192,
	LATE_US_MAX = 4000,
	BURST_FRAMES = 4,
	ETHERNET_BYTES = 14,
	TAG_AT = 12,
	TAG_BYTES = 4,
	STRAY_EVERY = 20
};

struct frame {
	struct cds_list_head link;
	uint64_t due_us;
	uint32_t n;
	int32_t vlan; /* -1: the link's own */
	uint8_t bytes[LINK_FRAME_BYTES_MAX + TAG_BYTES];
};

struct link_faults link_faults;
uint16_t link_vlan;
uint64_t link_lost, link_doubled, link_late, link_damaged, link_marked;
static struct frame frames[FRAMES_MAX];
static struct cds_list_head unused, under_way[LINK_WAYS]; /* the latter by due_us */
static struct frame *handed_out;
static uint64_t busy_until_us[LINK_WAYS]; /* the rate's queue is empty by then */
static bool in_burst[LINK_WAYS];
static uint64_t random_state;
static FILE *capture;
static int device_fd = -1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % n);
}

int link_open(const char *device, const char *path, uint64_t seed)
{
	/* pcap, microseconds, Ethernet */
	static const uint32_t header[6] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, 1};
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	CDS_INIT_LIST_HEAD(&unused);
	for (unsigned i = 0; i < LINK_WAYS; i++)
		CDS_INIT_LIST_HEAD(&under_way[i]);
	for (unsigned i = 0; i < FRAMES_MAX; i++)
		cds_list_add(&frames[i].link, &unused);
	random_state = seed;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	device_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (device_fd < 0 || ioctl(device_fd, TUNSETIFF, &request)) {
		perror(device);
		return -1;
	}
	capture = fopen(path, "w");
	if (!capture || fwrite(header, sizeof(header), 1, capture) != 1) {
		perror(path);
		return -1;
	}
	return device_fd;
}

void link_close(void)
{
	if (capture && fclose(capture))
		perror("capture");
	close(device_fd);
}

static void capture_put(const void *bytes, uint32_t n, uint64_t now_us)
{
	uint32_t header[4] = {(uint32_t)(now_us / 1000000), (uint32_t)(now_us % 1000000), n, n};

	fwrite(header, sizeof(header), 1, capture);
	fwrite(bytes, n, 1, capture);
}

/* True once in so many calls. */
static bool happens(uint32_t thousandths)
{
	return thousandths && random_below(1000) < thousandths;
}

/* Gilbert's model: two states, in the bad one everything is lost. */
static bool lost(enum link_way way)
{
	in_burst[way] = in_burst[way] ? random_below(BURST_FRAMES) != 0 : happens(link_faults.burst);
	return link_faults.dark || in_burst[way] || happens(link_faults.loss);
}

/* When the frame's last bit has left the queue; 0 when the queue has no room for it. */
static uint64_t departs_us(enum link_way way, uint32_t n, uint64_t now_us)
{
	uint64_t rate = link_faults.rate_kbit;

	if (!rate)
		return now_us;
	uint64_t start_us = busy_until_us[way] > now_us ? busy_until_us[way] : now_us;
	if ((start_us - now_us) * rate / 8000 + n > link_faults.queue_bytes)
		return 0;
	busy_until_us[way] = start_us + (uint64_t)n * 8000 / rate;
	return busy_until_us[way];
}

/* RFC 3168: a router that would rather slow the sender than drop. */
static void congestion_mark(struct frame *f)
{
	uint8_t *ip = f->bytes + ETHERNET_BYTES;
	uint16_t type = wire_get16(f->bytes + 12), before = wire_get16(ip);
	unsigned shift = type == 0x86dd ? 4 : 0;

	if ((type != 0x0800 && type != 0x86dd) || f->n < ETHERNET_BYTES + 20)
		return;
	unsigned ecn = ip[1] >> shift & 3;
	if (ecn == 0 || ecn == 3)
		return;
	ip[1] |= (uint8_t)(3 << shift);
	link_marked++;
	if (type == 0x86dd)
		return;
	/* The header's checksum follows (RFC 1624). */
	uint32_t sum = (uint16_t)~wire_get16(ip + 10) + (uint32_t)(uint16_t)~before + wire_get16(ip);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	wire_put16(ip + 10, (uint16_t)~sum);
}

static void damage(struct frame *f)
{
	if (f->n <= ETHERNET_BYTES || wire_get16(f->bytes + 12) == 0x0806)
		return;
	f->bytes[ETHERNET_BYTES + random_below(f->n - ETHERNET_BYTES)] ^= (uint8_t)(1 << random_below(8));
	link_damaged++;
}

static void frame_send(enum link_way way, const void *bytes, uint32_t n, uint64_t due_us, int32_t vlan)
{
	if (cds_list_empty(&unused) || n > LINK_FRAME_BYTES_MAX + TAG_BYTES) {
		link_lost++;
		return;
	}
	struct frame *f = cds_list_first_entry(&unused, struct frame, link), *before;
	cds_list_del(&f->link);
	f->due_us = due_us;
	f->n = n;
	f->vlan = vlan;
	memcpy(f->bytes, bytes, n);
	if (happens(link_faults.congestion))
		congestion_mark(f);
	if (happens(link_faults.damage))
		damage(f);
	cds_list_for_each_entry_reverse(before, &under_way[way], link) if (before->due_us <= due_us) break;
	cds_list_add(&f->link, &before->link); /* behind it, or behind the head */
}

/* Takes the tag off. False where it is not there. */
static bool tag_take(uint8_t *frame, uint32_t *n)
{
	if (*n < ETHERNET_BYTES + TAG_BYTES || wire_get16(frame + TAG_AT) != 0x8100 ||
		(wire_get16(frame + TAG_AT + 2) & 0xfff) != link_vlan)
		return false;
	*n -= TAG_BYTES;
	memmove(frame + TAG_AT, frame + TAG_AT + TAG_BYTES, *n - TAG_AT);
	return true;
}

static void tag_put(struct frame *f)
{
	memmove(f->bytes + TAG_AT + TAG_BYTES, f->bytes + TAG_AT, f->n - TAG_AT);
	wire_put16(f->bytes + TAG_AT, 0x8100);
	wire_put16(f->bytes + TAG_AT + 2, (uint16_t)(f->vlan < 0 ? link_vlan : f->vlan));
	f->n += TAG_BYTES;
}

void link_put(enum link_way way, const void *frame, uint32_t n, uint64_t now_us)
{
	uint8_t untagged[LINK_FRAME_BYTES_MAX + TAG_BYTES];

	if (way == LINK_TO_KERNEL) {
		capture_put(frame, n, now_us);
		if (link_vlan) {
			memcpy(untagged, frame, n);
			frame = untagged;
			if (!tag_take(untagged, &n)) {
				link_lost++;
				return;
			}
		}
	}
	uint64_t due_us = lost(way) ? 0 : departs_us(way, n, now_us);
	if (!due_us) {
		link_lost++;
		return;
	}
	due_us += link_faults.delay_us;
	if (happens(link_faults.twice)) {
		link_doubled++;
		frame_send(way, frame, n, due_us + random_below(LATE_US_MAX), -1);
	}
	if (happens(link_faults.late)) {
		link_late++;
		due_us += random_below(LATE_US_MAX);
	}
	frame_send(way, frame, n, due_us, -1);
	if (way == LINK_TO_STACK && link_vlan && random_below(STRAY_EVERY) == 0)
		frame_send(way, frame, n, due_us, random_below(2) ? 0 : link_vlan ^ 1);
}

const uint8_t *link_get(enum link_way way, uint64_t now_us, uint32_t *n)
{
	if (handed_out)
		cds_list_add(&handed_out->link, &unused);
	handed_out = NULL;
	if (cds_list_empty(&under_way[way]))
		return NULL;
	struct frame *f = cds_list_first_entry(&under_way[way], struct frame, link);
	if (f->due_us > now_us)
		return NULL;
	cds_list_del(&f->link);
	handed_out = f;
	if (way == LINK_TO_STACK && link_vlan && f->vlan)
		tag_put(f);
	*n = f->n;
	if (way == LINK_TO_STACK && f->vlan < 0)
		capture_put(f->bytes, f->n, now_us);
	return f->bytes;
}

uint64_t link_next_us(void)
{
	uint64_t next_us = UINT64_MAX;

	for (unsigned i = 0; i < LINK_WAYS; i++)
		if (!cds_list_empty(&under_way[i])) {
			struct frame *f = cds_list_first_entry(&under_way[i], struct frame, link);
			next_us = f->due_us < next_us ? f->due_us : next_us;
		}
	return next_us;
}
