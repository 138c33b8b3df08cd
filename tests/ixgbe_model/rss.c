/* SPDX-License-Identifier: Apache-2.0 */
/* Receive-side scaling, 7.1.2.8: a Toeplitz hash over addresses and ports, of which the low seven bits choose
 * one of 128 entries of four bits each (of an X550 nine bits, one of 512 entries of six). */
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum { TYPE_NONE, TYPE_TCP4, TYPE_IP4, TYPE_TCP6, TYPE_IP6 = 5, TYPE_UDP4 = 7, TYPE_UDP6 = 8 }; /* 7.1.6.2 */

enum { INPUT_MAX = 36 }; /* two IPv6 addresses, two ports */

/* The key's first byte is the lowest of RSSRK(0) (8.2.3.7). */
static uint8_t key_byte(const struct ixm *m, unsigned i)
{
	return (uint8_t)(ixm_get(m, RSSRK + (i & ~3u)) >> (i & 3) * 8);
}

/* For each bit of the input that is set, the 32 bits of the key that begin at its place. */
static uint32_t toeplitz(const struct ixm *m, const uint8_t *input, unsigned bytes)
{
	uint64_t window =
		0; /* the 40 bits of the key that begin at the input's byte, below 24 of older ones */
	uint32_t hash = 0;

	for (unsigned i = 0; i < 4; i++)
		window = window << 8 | key_byte(m, i);
	for (unsigned i = 0; i < bytes; i++) {
		window = window << 8 | key_byte(m, i + 4);
		for (unsigned bit = 0; bit < 8; bit++)
			if (input[i] & 0x80 >> bit)
				hash ^= (uint32_t)(window >> (8 - bit));
	}
	return hash;
}

/* Which hash the frame gets, with MRQC's bit for it: the longest that is switched on. A fragment's ports are
 * not looked at. */
static unsigned type_of(const struct ixm_frame *f, uint32_t mrqc)
{
	static const struct {
		bool ip6;
		uint8_t protocol; /* 0: any */
		uint32_t enable;
		unsigned type;
	} types[] = {
		{false, IXM_TCP, MRQC_TCP4, TYPE_TCP4},
		{false, IXM_UDP, MRQC_UDP4, TYPE_UDP4},
		{false, 0, MRQC_IP4, TYPE_IP4},
		{true, IXM_TCP, MRQC_TCP6, TYPE_TCP6},
		{true, IXM_UDP, MRQC_UDP6, TYPE_UDP6},
		{true, 0, MRQC_IP6, TYPE_IP6},
	};
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		bool ports = types[i].protocol && f->l4 && f->protocol == types[i].protocol;
		if ((types[i].ip6 ? f->ip6 : f->ip4) && (mrqc & types[i].enable) &&
			(types[i].protocol == 0 || ports))
			return types[i].type;
	}
	return TYPE_NONE;
}

static unsigned input_fill(const struct ixm_frame *f, unsigned type, uint8_t input[INPUT_MAX])
{
	unsigned bytes = f->ip6 ? 32 : 8;

	memcpy(input, f->data + f->l3 + (f->ip6 ? 8 : 12), bytes);
	if (type == TYPE_IP4 || type == TYPE_IP6)
		return bytes;
	memcpy(input + bytes, f->data + f->l4, 4);
	return bytes + 4;
}

static bool hashes(uint32_t mrqc)
{
	return (mrqc & MRQC_MRQE) == MRQC_RSS || (mrqc & MRQC_MRQE) == MRQC_POOLS_RSS;
}

/* Without RSS, and for frames that no enabled hash fits, queue 0 and a hash of 0. */
unsigned ixm_rss(const struct ixm *m, const struct ixm_frame *f, uint32_t *hash, unsigned *type)
{
	uint8_t input[INPUT_MAX];
	uint32_t mrqc = ixm_get(m, MRQC);

	*hash = 0;
	*type = hashes(mrqc) ? type_of(f, mrqc) : TYPE_NONE;
	if (*type == TYPE_NONE)
		return 0;
	*hash = toeplitz(m, input, input_fill(f, *type, input));
	unsigned entry = *hash % m->part->table_entries;
	uint32_t at = entry < IXM_RETA_ENTRIES ? RETA + (entry & ~3u)
					       : ERETA + ((entry - IXM_RETA_ENTRIES) & ~3u);
	unsigned queue = ixm_get(m, at) >> (entry & 3) * 8 & m->part->table_mask;
	if (!m->part->virtual)
		return queue;
	/* 8.3 VFPSRTYPE.RQPL: how many bits of it count within the VF's queues. */
	return queue & ((1u << (ixm_get(m, VFPSRTYPE) >> PSRTYPE_RQPL_SHIFT)) - 1);
}
