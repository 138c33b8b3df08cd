/* SPDX-License-Identifier: Apache-2.0 */
/* A TAP device and the bad link behind it: frames are lost (one by one and in bursts), doubled, delayed, put
 * out of order, held to a rate behind a queue, marked as having met congestion and damaged, in both
 * directions, and written to a capture file as the stack sees them. */
#ifndef TESTS_KERNELTCP_LINK_H
#define TESTS_KERNELTCP_LINK_H

#include <stdint.h>

/* In thousandths of the frames where nothing else is said. */
struct link_faults {
	uint32_t loss, twice, late, delay_us;
	uint32_t burst;	      /* how often a burst of losses begins, each of about BURST_FRAMES frames */
	uint32_t damage;      /* one bit flipped behind the Ethernet header; not in ARP, which cannot tell */
	uint32_t congestion;  /* ECT becomes CE */
	uint32_t dark;	      /* 1: nothing comes through */
	uint32_t rate_kbit;   /* per second and direction; 0: no limit */
	uint32_t queue_bytes; /* what waits for the rate; more is lost */
};

enum link_way { LINK_TO_STACK, LINK_TO_KERNEL, LINK_WAYS };

enum { LINK_FRAME_BYTES_MAX = 9216 };

extern struct link_faults link_faults;
/* The link's VLAN, 0: none. Frames have its tag where the stack sees them, and one without is lost; the
 * kernel's side of the device is untagged, since not every kernel has VLAN devices. Some come a second time
 * as frames of another VLAN and without a tag, for the stack to drop. */
extern uint16_t link_vlan;
extern uint64_t link_lost, link_doubled, link_late, link_damaged, link_marked;

/* Makes the device in this network namespace, and the capture. The file descriptor, or -1 with a message. */
int link_open(const char *device, const char *capture, uint64_t seed);
void link_close(void);

/* A frame enters the link. */
void link_put(enum link_way way, const void *frame, uint32_t n, uint64_t now_us);

/* The next frame that has come through by now, valid until the next call; NULL when there is none. */
const uint8_t *link_get(enum link_way way, uint64_t now_us, uint32_t *n);

/* When the next one will have; UINT64_MAX when none is on its way. */
uint64_t link_next_us(void);

#endif
