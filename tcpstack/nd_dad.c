/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an address of IPv6 is free: RFC 4862 section 5.4. Until the answer it is TENTATIVE, receives
 * nothing and is the source of nothing. */
#include "tcpstack/nd.h"

#include <errno.h>

enum {
	DAD_DELAY_US = 1000000, /* RFC 4861's MAX_RTR_SOLICITATION_DELAY: stations start together */
	DAD_RETRY_US = 100000,	/* without a transmit buffer */
	DAD_BEHIND_US =
		500000, /* a passive stack's test ends so much later than the other's, retries and all */
	DEFEND_US = 10000000,
};

/* RFC 9131 section 3: who held the address before is forgotten at once. */
static int advertise(struct stack *s, const struct ip_own *own)
{
	if (s->config.passive)
		return 0;
	COUNT(s, nd_adverts_out);
	return nd_send(s, &(struct nd_message){.type = ND_NEIGHBOUR_ADVERT,
				  .flags = ND_NA_OVERRIDE,
				  .target = &own->address,
				  .src = own->address,
				  .dst = nd_all_nodes,
				  .option = ND_OPTION_TARGET_MAC});
}

static void dad_fire(struct timer *t, uint64_t now_us)
{
	static const struct ip_addr nowhere;
	struct ip_own *own = caa_container_of(t, struct ip_own, timer);
	struct stack *s = own->stack;

	if (own->dad_left == 0) {
		own->state = STACK_ADDRESS_USED;
		advertise(s, own);
		if (ip_is_link_local(&own->address))
			nd_solicit_routers(s);
		return;
	}
	int error = nd_send(s, &(struct nd_message){.type = ND_NEIGHBOUR_SOLICIT,
				       .target = &own->address,
				       .src = nowhere,
				       .dst = nd_solicited_node(&own->address)});
	if (!error) {
		COUNT(s, nd_solicits_out);
		own->dad_left--;
	}
	timer_arm(&s->wheel, &own->timer, now_us + (error ? DAD_RETRY_US : s->nd.retrans_us));
}

static void dad_start(struct stack *s, struct ip_own *own)
{
	own->state = STACK_ADDRESS_TENTATIVE;
	own->dad_left = s->config.passive ? 0 : s->config.dad_transmits;
	uint64_t after_us = stack_random(s) % DAD_DELAY_US;
	if (s->config.passive)
		after_us = DAD_DELAY_US + (uint64_t)s->config.dad_transmits * s->nd.retrans_us +
			   DAD_BEHIND_US;
	timer_arm(&s->wheel, &own->timer, s->now_us + after_us);
}

/* RFC 4862 section 5.4.5: where the address that is made of our MAC is taken, so is the MAC, and IPv6 ends
 * here. */
void nd_dad_duplicate(struct stack *s, struct ip_own *own)
{
	bool all = ip_is_link_local(&own->address);

	COUNT(s, nd_duplicate);
	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *o = &s->own[i];
		if (o != own && (!all || ip_is_v4(&o->address)))
			continue;
		timer_cancel(&s->wheel, &o->timer);
		o->state = STACK_ADDRESS_DUPLICATE;
	}
}

/* An address in use is kept, and the link told so, but not in a storm. */
void nd_conflict(struct stack *s, struct ip_own *own)
{
	COUNT(s, nd_conflict);
	if (own->defended && s->now_us - own->defended_us < DEFEND_US)
		return;
	own->defended = advertise(s, own) == 0;
	own->defended_us = s->now_us;
}

int nd_announce(struct stack *s)
{
	int error = 0;

	mld_announce(s);
	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *own = &s->own[i];
		if (ip_is_v4(&own->address))
			continue;
		if (own->state != STACK_ADDRESS_USED)
			dad_start(s, own);
		else if (advertise(s, own))
			error = -ENOBUFS;
	}
	return error;
}

void nd_init(struct stack *s)
{
	s->nd.retrans_us = NEIGHBOUR_RETRANS_US;
	s->nd.hop_limit = IPV6_HOP_LIMIT;
	s->nd.mtu = s->config.mtu;
	for (unsigned i = 0; i < s->own_count; i++) {
		if (ip_is_v4(&s->own[i].address))
			continue;
		timer_init(&s->own[i].timer, dad_fire);
		if (s->own[i].state == STACK_ADDRESS_TENTATIVE)
			dad_start(s, &s->own[i]);
	}
	nd_router_init(s);
	mld_init(s);
}

void nd_fini(struct stack *s)
{
	for (unsigned i = 0; i < s->own_count; i++)
		timer_cancel(&s->wheel, &s->own[i].timer);
	timer_cancel(&s->wheel, &s->nd.solicit_timer);
	timer_cancel(&s->wheel, &s->nd.mld_timer);
}
