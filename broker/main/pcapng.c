/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/pcapng.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINK_ETHERNET = 1,

	OPTION_END = 0,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_MACADDR = 6,
	IF_SPEED = 8,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	EPB_FLAGS = 2,
	EPB_DROPCOUNT = 4,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,
	ISB_USRDELIV = 8,

	RECEPTION_SHIFT = 2, /* epb_flags: how a frame was addressed */
	RECEPTION_UNICAST = 1,
	RECEPTION_MULTICAST = 2,
	RECEPTION_BROADCAST = 3,
};

struct block {
	uint8_t *begin, *at;
};

static void put(struct block *b, const void *bytes, size_t n)
{
	memcpy(b->at, bytes, n);
	b->at += n;
}

static void put16(struct block *b, uint16_t v)
{
	put(b, &v, sizeof(v));
}

static void put32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_padded(struct block *b, const void *bytes, size_t n)
{
	put(b, bytes, n);
	put(b, "\0\0\0", (4 - n % 4) % 4);
}

/* A time, high half first whatever the byte order. */
static void put_time(struct block *b, uint64_t t)
{
	put32(b, (uint32_t)(t >> 32));
	put32(b, (uint32_t)t);
}

static struct block block_begin(uint8_t *out, uint32_t type)
{
	struct block b = {out, out};

	put32(&b, type);
	put32(&b, 0); /* its length, when it is known */
	return b;
}

static size_t block_end(struct block *b)
{
	uint32_t bytes = (uint32_t)(b->at - b->begin) + 4;

	put32(b, bytes);
	memcpy(b->begin + 4, &bytes, sizeof(bytes));
	return bytes;
}

static void option(struct block *b, uint16_t code, const void *value, size_t n)
{
	put16(b, code);
	put16(b, (uint16_t)n);
	put_padded(b, value, n);
}

static void option_text(struct block *b, uint16_t code, const char *text)
{
	option(b, code, text, strnlen(text, PCAPNG_TEXT_BYTES_MAX));
}

static void option_count(struct block *b, uint16_t code, uint64_t v)
{
	option(b, code, &v, sizeof(v));
}

static void option_time(struct block *b, uint16_t code, uint64_t t)
{
	put16(b, code);
	put16(b, sizeof(t));
	put_time(b, t);
}

static void options_end(struct block *b)
{
	put32(b, OPTION_END);
}

size_t pcapng_section(uint8_t *out, const char *application)
{
	struct block b = block_begin(out, BLOCK_SECTION);

	put32(&b, BYTE_ORDER_MAGIC);
	put16(&b, 1); /* version 1.0 */
	put16(&b, 0);
	put32(&b, UINT32_MAX); /* the section's length is not known: 64 bits */
	put32(&b, UINT32_MAX);
	option_text(&b, SHB_USERAPPL, application);
	options_end(&b);
	return block_end(&b);
}

/* A filter's first byte says that it is text. */
static void option_filter(struct block *b, const char *filter)
{
	char value[1 + PCAPNG_TEXT_BYTES_MAX] = {0};
	size_t n = strnlen(filter, PCAPNG_TEXT_BYTES_MAX);

	memcpy(value + 1, filter, n);
	option(b, IF_FILTER, value, n + 1);
}

size_t pcapng_interface(uint8_t *out, const struct pcapng_interface *i)
{
	struct block b = block_begin(out, BLOCK_INTERFACE);

	put16(&b, LINK_ETHERNET);
	put16(&b, 0);
	put32(&b, i->snaplen);
	option_text(&b, IF_NAME, i->name);
	option_text(&b, IF_DESCRIPTION, i->description);
	option(&b, IF_MACADDR, i->mac, 6);
	if (i->speed_bps)
		option_count(&b, IF_SPEED, i->speed_bps);
	option(&b, IF_TSRESOL, (uint8_t[]){i->nanoseconds ? 9 : 6}, 1);
	if (i->filter_or_null)
		option_filter(&b, i->filter_or_null);
	options_end(&b);
	return block_end(&b);
}

static uint32_t reception_of(const struct pcapng_packet *p)
{
	static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (p->captured_bytes < sizeof(everybody))
		return 0;
	if (memcmp(p->bytes, everybody, sizeof(everybody)) == 0)
		return RECEPTION_BROADCAST;
	return p->bytes[0] & 1 ? RECEPTION_MULTICAST : RECEPTION_UNICAST;
}

size_t pcapng_packet(uint8_t *out, const struct pcapng_packet *p)
{
	struct block b = block_begin(out, BLOCK_PACKET);
	uint32_t flags = p->direction | reception_of(p) << RECEPTION_SHIFT;

	put32(&b, p->interface);
	put_time(&b, p->time);
	put32(&b, p->captured_bytes);
	put32(&b, p->frame_bytes);
	put_padded(&b, p->bytes, p->captured_bytes);
	option(&b, EPB_FLAGS, &flags, sizeof(flags));
	if (p->lost_before)
		option_count(&b, EPB_DROPCOUNT, p->lost_before);
	options_end(&b);
	return block_end(&b);
}

size_t pcapng_statistics(uint8_t *out, const struct pcapng_statistics *s)
{
	struct block b = block_begin(out, BLOCK_STATISTICS);

	put32(&b, s->interface);
	put_time(&b, s->time);
	option_time(&b, ISB_STARTTIME, s->begin);
	option_time(&b, ISB_ENDTIME, s->end);
	option_count(&b, ISB_IFRECV, s->received);
	option_count(&b, ISB_IFDROP, s->dropped);
	option_count(&b, ISB_FILTERACCEPT, s->matched);
	option_count(&b, ISB_USRDELIV, s->delivered);
	options_end(&b);
	return block_end(&b);
}
