/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a pcapng section (draft-ietf-opsawg-pcapng), in the machine's own byte order, which the
 * section's header tells. Every function writes one block to out, whose room the caller sees to, and returns
 * its bytes. Pure. */
#ifndef BROKER_MAIN_PCAPNG_H
#define BROKER_MAIN_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PCAPNG_TEXT_BYTES_MAX = 255, /* of each text; the rest is cut */
	PCAPNG_BLOCK_BYTES = 1536,   /* more than any block but a packet's */
	PCAPNG_PACKET_HEADER = 28,   /* in front of a packet's bytes in its block */
	PCAPNG_PACKET_BYTES = 64,    /* what a packet's block adds to its bytes, at most */
};

enum pcapng_direction { PCAPNG_IN = 1, PCAPNG_OUT = 2 };

size_t pcapng_section(uint8_t *out, const char *application);

struct pcapng_interface {
	const char *name, *description, *filter_or_null;
	const uint8_t *mac; /* 6 bytes */
	uint64_t speed_bps; /* 0: not known */
	uint32_t snaplen;
	bool nanoseconds; /* the unit of the packets' times; else microseconds */
};
size_t pcapng_interface(uint8_t *out, const struct pcapng_interface *i);

struct pcapng_packet {
	uint32_t interface; /* its index in the section */
	uint64_t time;	    /* since 1970, in the interface's unit */
	const uint8_t *bytes;
	uint32_t captured_bytes, frame_bytes;
	enum pcapng_direction direction;
	uint32_t lost_before; /* packets lost since the one before; 0: not said */
};
size_t pcapng_packet(uint8_t *out, const struct pcapng_packet *p);

struct pcapng_statistics {
	uint32_t interface;
	uint64_t time, begin, end; /* in the interface's unit */
	uint64_t received;	   /* passed the interface */
	uint64_t dropped;	   /* for want of room */
	uint64_t matched;	   /* by the filter */
	uint64_t delivered;	   /* into this section */
};
size_t pcapng_statistics(uint8_t *out, const struct pcapng_statistics *s);

#endif
