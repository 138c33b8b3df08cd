/* SPDX-License-Identifier: Apache-2.0 */
/* ARP and neighbour discovery, behind the scenes: whoever the stack asks for, the peer is it. */
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum {
	ETH = 14,
	TAG = 4,
	IP6 = 40,
	ICMP6 = 58,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
	SOLICITED_OVERRIDE = 0x60
};

static void arp_send(uint16_t operation, uint32_t target)
{
	uint8_t f[42] = {0};

	memcpy(f, stack_mac, 6);
	memcpy(f + 6, peer_mac, 6);
	memcpy(f + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, (uint8_t)operation}, 10);
	memcpy(f + 22, peer_mac, 6);
	wire_put32(f + 28, target);
	wire_put32(f + 38, STACK_ADDR);
	wire_input_tagged(f, sizeof(f));
}

/* A solicitation or an advertisement from src, about target, with the peer's link address in it. */
static void nd_send(
	uint8_t type, const struct ip_addr *src, const struct ip_addr *dst, const struct ip_addr *target)
{
	uint8_t f[ETH + IP6 + 32] = {0}, *ip = f + ETH, *icmp = ip + IP6;

	segment_eth_header(f, 0, true);
	ip[0] = 0x60;
	wire_put16(ip + 4, 32);
	ip[6] = ICMP6;
	ip[7] = 255;
	memcpy(ip + 8, src->bytes, 16);
	memcpy(ip + 24, dst->bytes, 16);
	icmp[0] = type;
	icmp[4] = type == ADVERTISEMENT ? SOLICITED_OVERRIDE : 0;
	memcpy(icmp + 8, target->bytes, 16);
	icmp[24] = type == ADVERTISEMENT ? 2 : 1;
	icmp[25] = 1;
	memcpy(icmp + 26, peer_mac, 6);
	wire_put16(icmp + 2,
		(uint16_t)~checksum_fold(checksum_add(checksum_pseudo(src, dst, ICMP6, 32), icmp, 32)));
	wire_input_tagged(f, sizeof(f));
}

bool neighbour_captured(const uint8_t *frame, uint32_t n)
{
	const uint8_t *ip = frame + ETH, *icmp = ip + IP6;
	uint8_t untagged[ETH + IP6 + 32] = {0};

	if (n >= ETH + TAG && wire_get16(frame + 12) == 0x8100) {
		memcpy(untagged, frame, 12);
		n -= TAG;
		memcpy(untagged + 12, frame + 12 + TAG, (n < sizeof(untagged) ? n : sizeof(untagged)) - 12);
		return neighbour_captured(untagged, n);
	}
	if (n >= 42 && wire_get16(frame + 12) == 0x0806) {
		if (frame[21] == 1) {
			run.asked = ip_v4(wire_get32(frame + 38));
			run.asks = ip_v4(wire_get32(frame + 28));
		}
		return true;
	}
	if (n < ETH + IP6 + 8 || wire_get16(frame + 12) != 0x86dd)
		return false;
	/* Multicast listener reports stand behind a hop-by-hop header. */
	if (ip[6] == 0 || (ip[6] == ICMP6 && icmp[0] >= 130 && icmp[0] <= 133) ||
		(ip[6] == ICMP6 && icmp[0] == ADVERTISEMENT) || (ip[6] == ICMP6 && icmp[0] == 143))
		return true;
	if (ip[6] != ICMP6 || icmp[0] != SOLICITATION || n < ETH + IP6 + 24)
		return false;
	struct ip_addr src = ip_v6(ip + 8);
	if (!ip_is_unspecified(&src)) { /* no answer tells the stack that nobody has the address */
		run.asked = ip_v6(icmp + 8);
		run.asks = src;
	}
	return true;
}

void neighbour_answer(void)
{
	struct ip_addr asked = run.asked;

	run.asked = (struct ip_addr){0};
	if (ip_is_unspecified(&asked))
		return;
	if (ip_is_v4(&asked))
		arp_send(2, ip_to_v4(&asked));
	else
		nd_send(ADVERTISEMENT, &asked, &run.asks, &asked);
}

void neighbour_tell(void)
{
	struct ip_addr peer = segment_peer_addr(true), own = segment_stack_addr(true);

	if (run.base.v6)
		nd_send(SOLICITATION, &peer, &own, &own);
	else
		arp_send(1, PEER_ADDR);
}
