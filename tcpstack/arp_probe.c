/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5227: an address of IPv4 is tested before it is used, where the configuration asks for it, and
 * announced twice. Until the answer it is TENTATIVE, receives nothing and is the source of nothing. */
#include <errno.h>

#include "tcpstack/stack_impl.h"

/* Section 1.1 */
enum {
	PROBE_WAIT_US = 1000000, /* at most: stations start together */
	PROBE_US_MIN = 1000000,
	PROBE_US_MAX = 2000000,
	ANNOUNCE_WAIT_US = 2000000,
	ANNOUNCE_NUM = 2,
	ANNOUNCE_INTERVAL_US = 2000000,
	RETRY_US = 100000,  /* without a transmit buffer */
	BEHIND_US = 500000, /* a passive stack's test ends so much later than the other's, retries and all */
};

/* Section 2.3. The next one follows by itself. */
static int announce(struct stack *s, struct ip_own *own)
{
	uint32_t address = ip_to_v4(&own->address);

	if (s->config.passive)
		return 0;
	int error = arp_request(s, address, eth_everyone, address);

	own->announces_left -= !error;
	if (own->announces_left)
		timer_arm(&s->wheel, &own->timer, s->now_us + (error ? RETRY_US : ANNOUNCE_INTERVAL_US));
	return error;
}

static int announce_begin(struct stack *s, struct ip_own *own)
{
	own->announces_left = ANNOUNCE_NUM;
	return announce(s, own);
}

static void fire(struct timer *t, uint64_t now_us)
{
	struct ip_own *own = caa_container_of(t, struct ip_own, timer);
	struct stack *s = own->stack;

	if (own->state == STACK_ADDRESS_USED) {
		announce(s, own);
		return;
	}
	if (own->dad_left == 0) {
		own->state = STACK_ADDRESS_USED;
		announce_begin(s, own);
		return;
	}
	if (arp_request(s, 0, eth_everyone, ip_to_v4(&own->address))) {
		timer_arm(&s->wheel, t, now_us + RETRY_US);
		return;
	}
	own->dad_left--;
	uint64_t wait_us = own->dad_left ? PROBE_US_MIN + stack_random(s) % (PROBE_US_MAX - PROBE_US_MIN)
					 : ANNOUNCE_WAIT_US;
	timer_arm(&s->wheel, t, now_us + wait_us);
}

static void probe_start(struct stack *s, struct ip_own *own)
{
	uint64_t after_us = stack_random(s) % PROBE_WAIT_US;

	own->state = STACK_ADDRESS_TENTATIVE;
	own->dad_left = s->config.passive ? 0 : s->config.arp_probes;
	if (s->config.passive)
		after_us = PROBE_WAIT_US + (s->config.arp_probes - 1ull) * PROBE_US_MAX + ANNOUNCE_WAIT_US +
			   BEHIND_US;
	timer_arm(&s->wheel, &own->timer, s->now_us + after_us);
}

/* Section 2.1.1: another station has the address, or tests it as well. */
void arp_probe_seen(struct stack *s, const struct ip_addr *sender, const struct ip_addr *target)
{
	const struct ip_addr *claimed = ip_is_unspecified(sender) ? target : sender;

	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *own = &s->own[i];
		if (!ip_equal(claimed, &own->address) || own->state != STACK_ADDRESS_TENTATIVE)
			continue;
		COUNT(s, arp_duplicate);
		timer_cancel(&s->wheel, &own->timer);
		own->state = STACK_ADDRESS_DUPLICATE;
	}
}

int arp_announce(struct stack *s)
{
	int error = 0;

	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *own = &s->own[i];
		if (!ip_is_v4(&own->address))
			continue;
		if (own->state != STACK_ADDRESS_USED)
			probe_start(s, own);
		else if (announce_begin(s, own))
			error = -ENOBUFS;
	}
	return error;
}

void arp_init(struct stack *s)
{
	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *own = &s->own[i];
		if (!ip_is_v4(&own->address))
			continue;
		timer_init(&own->timer, fire);
		if (own->state == STACK_ADDRESS_TENTATIVE)
			probe_start(s, own);
	}
}
