/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the paths to destinations: RFC 1191 section 3, RFC 8201 section 4. A few sets of a few
 * entries, so that no number of destinations takes more; what is known is forgotten after ten minutes. */
#include "tcpstack/stack_impl.h"

static struct pmtu_entry *set_of(struct stack *s, const struct ip_addr *dst)
{
	uint64_t h = (dst->word[0] ^ dst->word[1] ^ s->config.key.k0) * 0x9e3779b97f4a7c15ull;

	return s->pmtu[h >> 32 & (PMTU_SETS - 1)];
}

static struct pmtu_entry *entry_find(struct stack *s, const struct ip_addr *dst)
{
	struct pmtu_entry *e = set_of(s, dst);

	for (unsigned i = 0; i < PMTU_WAYS; i++)
		if (e[i].until_us > s->now_us && ip_equal(&e[i].dst, dst))
			return &e[i];
	return NULL;
}

uint16_t pmtu_get(struct stack *s, const struct ip_addr *dst)
{
	struct pmtu_entry *e = entry_find(s, dst);
	uint16_t link = ip_mtu(s, dst);

	return e && e->mtu < link ? e->mtu : link;
}

void pmtu_set(struct stack *s, const struct ip_addr *dst, uint16_t mtu)
{
	struct pmtu_entry *e = entry_find(s, dst), *set = set_of(s, dst);

	if (mtu < (e ? e->mtu : ip_mtu(s, dst)))
		s->pmtu_lowered++;
	for (unsigned i = 0; !e && i < PMTU_WAYS; i++)
		if (set[i].until_us <= s->now_us)
			e = &set[i];
	if (!e) {
		e = set;
		for (unsigned i = 1; i < PMTU_WAYS; i++)
			if (set[i].until_us < e->until_us)
				e = &set[i];
		COUNT(s, pmtu_evicted);
	}
	*e = (struct pmtu_entry){.dst = *dst, .mtu = mtu, .until_us = s->now_us + PMTU_US};
}
