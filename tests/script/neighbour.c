/* SPDX-License-Identifier: Apache-2.0 */
/* ARP and neighbour discovery, behind the scenes: whoever the stack asks for, the peer is it. With "config
 * discovery 1" they are lines of the script instead. */
#include <stdio.h>
#include <string.h>

#include "runtime/wire.h"
#include "tests/script/run.h"

enum {
	ICMP6 = 58,
	TYPE_ARP = 0x0806,
	LISTENER_FIRST = 130,
	LISTENER_LAST = 133,
	SOLICITATION = 135,
	ADVERTISEMENT,
	LISTENER_REPORT = 143
};

bool neighbour_captured(const uint8_t *frame, uint32_t n)
{
	struct packet_seen s;

	if (run.discovery || !packet_read(&s, frame, n))
		return false;
	const uint8_t *p = s.payload;
	if (s.type == TYPE_ARP && s.payload_n >= 28) {
		if (p[7] == 1) {
			run.asked = ip_v4(wire_get32(p + 24));
			run.asks = ip_v4(wire_get32(p + 14));
		}
		return true;
	}
	if (!s.ip || s.protocol != ICMP6 || s.payload_n < 8)
		return false;
	if ((p[0] >= LISTENER_FIRST && p[0] <= LISTENER_LAST) || p[0] == ADVERTISEMENT ||
		p[0] == LISTENER_REPORT)
		return true;
	if (p[0] != SOLICITATION || s.payload_n < 24)
		return false;
	if (!ip_is_unspecified(&s.p.src)) { /* no answer tells the stack that nobody has the address */
		run.asked = ip_v6(p + 8);
		run.asks = s.p.src;
	}
	return true;
}

void neighbour_answer(void)
{
	struct ip_addr asked = run.asked;
	char text[300], who[64], to[64];

	run.asked = (struct ip_addr){0};
	if (ip_is_unspecified(&asked))
		return;
	packet_addr_text(&asked, who);
	packet_addr_text(&run.asks, to);
	if (ip_is_v4(&asked)) {
		sprintf(text, "reply %s tell %s", who, to);
		arp_inject(text);
	} else {
		sprintf(text, "na %s flags SO tlla peer src %s dst %s", who, who, to);
		nd_inject(text);
	}
}

void neighbour_tell(void)
{
	if (run.discovery)
		return;
	if (run.base.v6)
		nd_inject("ns 2001:db8::1 slla peer dst 2001:db8::1 ethdst stack");
	else
		arp_inject("who-has 10.0.0.1 tell 10.0.0.2");
}
