/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6, ICMP of both versions, neighbour discovery and fragments: a stack in virtual time and a link on which
 * anything is said. The input is a list of steps: an octet that chooses one and the octets it takes. Lengths
 * and checksums are made right more often than not, or nothing would come past them. What lies around a
 * frame's data is poisoned while the stack looks at it. */
#include <rte_eal.h>
#include <sanitizer/asan_interface.h>
#include <string.h>

#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS_MAX = 300, RX_MBUFS = 512, TX_MBUFS = 64, ROOM = 2048, FRAME_MAX = 2000 };

static struct rte_mempool *tx_pool, *rx_pool;
static struct stack *stack;
static uint64_t now_us;
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const struct ip_addr v6[] = {
	{.bytes = {0xfd, [15] = 1}},			      /* ours */
	{.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 1}}, /* ours, made of the MAC */
	{.bytes = {0xfd, [15] = 2}},
	{.bytes = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 2}},
	{.bytes = {0xff, 2, [15] = 1}},
	{.bytes = {0xff, 2, [11] = 1, 0xff, [15] = 1}},
	{.bytes = {0x20, 1, 0xd, 0xb8, [15] = 9}},
	{.bytes = {0}},
};
static uint8_t said[64]; /* the start of the last IP packet of TCP that left: what errors quote */

/* What is left of the input; zeros behind its end. */
static const uint8_t *at, *end;

static uint8_t take(void)
{
	return at < end ? *at++ : 0;
}

static uint16_t take16(void)
{
	uint16_t high = take();

	return (uint16_t)(high << 8 | take());
}

/* Everything that leaves is well formed. */
static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames_take[i];
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *), *ip = p + 14;
		FUZZ_MUST(m->data_len >= 42 && m->pkt_len <= ETH_HEADER_BYTES + stack->config.mtu);
		FUZZ_MUST(!memcmp(p + 6, our_mac, 6));
		if (wire_get16(p + 12) == ETH_TYPE_IPV6) {
			FUZZ_MUST(ip[0] >> 4 == 6 && m->pkt_len == 54u + wire_get16(ip + 4));
			struct ip_addr src = ip_v6(ip + 8), dst = ip_v6(ip + 24);
			if (ip[6] == IP_PROTOCOL_ICMPV6 || ip[6] == IP_PROTOCOL_TCP) {
				uint64_t sum = checksum_pseudo(&src, &dst, ip[6], m->pkt_len - 54);
				FUZZ_MUST(checksum_fold(checksum_add_mbuf(sum, m, 54, m->pkt_len - 54)) ==
					  0xffff);
			}
			FUZZ_MUST(ip_is_configured(stack, &src) || ip_is_unspecified(&src));
		} else if (wire_get16(p + 12) == ETH_TYPE_IPV4) {
			FUZZ_MUST(m->pkt_len == 14u + wire_get16(ip + 2));
			FUZZ_MUST(checksum_fold(checksum_add(0, ip, 20)) == 0xffff);
		}
		if (m->data_len >= 14 + sizeof(said) && (ip[6] == 6 || ip[9] == 6))
			memcpy(said, ip, sizeof(said));
		rte_pktmbuf_free(m);
	}
}

static const struct tcp_app app;

static void poison(struct rte_mbuf *m)
{
	for (; m; m = m->next) {
		uint8_t *b = m->buf_addr;
		ASAN_POISON_MEMORY_REGION(b, m->data_off);
		ASAN_POISON_MEMORY_REGION(
			b + m->data_off + m->data_len, (size_t)(m->buf_len - m->data_off - m->data_len));
	}
}

static void frame_input(const uint8_t *frame, uint32_t n)
{
	uint8_t how = take();
	uint32_t cut = how & 3 ? n : min_u32(n, how);
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool),
			*second = cut < n ? rte_pktmbuf_alloc(rx_pool) : NULL;

	if (!m || (cut < n && !second)) {
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(second);
		return;
	}
	void *buffer[2] = {m->buf_addr, second ? second->buf_addr : NULL};
	memcpy(rte_pktmbuf_append(m, (uint16_t)cut), frame, cut);
	if (second) {
		memcpy(rte_pktmbuf_append(second, (uint16_t)(n - cut)), frame + cut, n - cut);
		rte_pktmbuf_chain(m, second);
	}
	poison(m);
	stack_input(stack, &m, 1, now_us);
	for (unsigned i = 0; i < 2 && buffer[i]; i++)
		ASAN_UNPOISON_MEMORY_REGION(buffer[i], RTE_PKTMBUF_HEADROOM + ROOM);
}

static uint32_t fill(uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = take();
	return n;
}

/* The body of an ICMP message of either version, up to 200 bytes; returns its length. */
static uint32_t icmp_body(uint8_t *p, bool six)
{
	static const uint8_t likely6[] = {1, 2, 3, 4, 128, 129, 130, 133, 134, 135, 136, 137};
	static const uint8_t likely4[] = {0, 3, 4, 8, 11, 12};
	uint8_t kind = take();

	memset(p, 0, 8);
	p[0] = six ? likely6[kind % sizeof(likely6)] : likely4[kind % sizeof(likely4)];
	p[1] = take() & 15;
	wire_put32(p + 4, take16());
	if (kind & 128) { /* quotes what we said */
		memcpy(p + 8, said, sizeof(said));
		return 8 + min_u32(take(), sizeof(said));
	}
	if (p[0] >= 135 && kind & 64) {
		memcpy(p + 8, v6[take() & 7].bytes, 16);
		memcpy(p + 24, (uint8_t[]){take() & 3, 1}, 2);
		memcpy(p + 26, peer_mac, 6);
		return 24 + (take() & 1 ? 8 : fill(p + 32, take() & 63) + 8);
	}
	return 8 + fill(p + 8, take() & 127);
}

static uint32_t ipv6_frame(uint8_t *frame)
{
	uint8_t *ip = frame + 14, *p = ip + 40, *next = ip + 6;
	uint8_t what = take(), odd = take();
	const struct ip_addr *dst = &v6[what & 7 ? (what & 7) % 6 : 0], *src = &v6[(what >> 3 & 7) ^ 2];

	memcpy(frame, ip_is_multicast(dst) ? (const uint8_t *)"\x33\x33\0\0\0\1" : our_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	wire_put16(frame + 12, ETH_TYPE_IPV6);
	wire_put32(ip, 6u << 28 | (uint32_t)(odd & 3) << 20);
	ip[7] = odd & 4 ? take() : 255;
	memcpy(ip + 8, src->bytes, 16);
	memcpy(ip + 24, dst->bytes, 16);
	for (unsigned k = odd >> 6; k; k--) { /* extension headers */
		uint8_t kind = (uint8_t[]){0, 43, 60, 44}[take() & 3];
		uint32_t n = kind == 44 ? 8 : 8 + 8 * (take() & 1u);
		*next = kind;
		next = p;
		fill(p + 1, n - 1);
		p[1] = kind == 44 ? 0 : (uint8_t)(n / 8 - 1);
		if (kind == 44)
			wire_put32(p + 4, take() & 3);
		p += n;
	}
	uint32_t n;
	if (odd & 32) {
		*next = IP_PROTOCOL_TCP;
		n = fill(p, 20 + (take() & 63));
	} else {
		*next = IP_PROTOCOL_ICMPV6;
		n = icmp_body(p, true);
		uint64_t sum = checksum_pseudo(src, dst, IP_PROTOCOL_ICMPV6, n);
		wire_put16(p + 2, 0);
		wire_put16(p + 2, (uint16_t)~checksum_fold(checksum_add(sum, p, n)));
	}
	n += (uint32_t)(p - ip) - 40;
	wire_put16(ip + 4, (uint16_t)n);
	if (odd & 16)
		frame[14 + take() % (n + 40)] ^= take();
	return n + 54;
}

static uint32_t ipv4_frame(uint8_t *frame)
{
	uint8_t *ip = frame + 14, *p = ip + 20;
	uint8_t odd = take();

	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	wire_put16(frame + 12, ETH_TYPE_IPV4);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[1] = odd & 3;
	wire_put16(ip + 4, take() & 3);
	if (odd & 4)
		wire_put16(ip + 6, take16() & 0x200f); /* a fragment, near the start */
	ip[8] = 64;
	ip[9] = odd & 8 ? IP_PROTOCOL_TCP : IP_PROTOCOL_ICMP;
	wire_put32(ip + 12, 0x0a000002 + (odd >> 6));
	wire_put32(ip + 16, 0x0a000001);
	uint32_t n = icmp_body(p, false);
	wire_put16(p + 2, 0);
	wire_put16(p + 2, (uint16_t)~checksum_fold(checksum_add(0, p, n)));
	wire_put16(ip + 2, (uint16_t)(20 + n));
	if (odd & 16)
		ip[take() % 20] ^= take();
	wire_put16(ip + 10, 0);
	wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, (ip[0] & 15u) * 4)));
	return n + 34;
}

/* A run of pieces of one datagram, of random cuts. */
static void fragments(void)
{
	static uint8_t frame[FRAME_MAX];
	uint8_t what = take();

	for (unsigned i = what & 7; i; i--) {
		uint32_t n = 8 * (take() & 31u);
		uint16_t word = take16() & 0x01f9;
		bool six = what & 8;
		uint8_t *ip = frame + 14, *p = ip + (six ? 48 : 20);
		memcpy(frame, our_mac, 6);
		memcpy(frame + 6, peer_mac, 6);
		wire_put16(frame + 12, six ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
		memset(ip, 0, 48 + n);
		if (six) {
			ip[0] = 0x60;
			wire_put16(ip + 4, (uint16_t)(8 + n));
			ip[6] = 44;
			ip[7] = 64;
			memcpy(ip + 8, v6[2].bytes, 16);
			memcpy(ip + 24, v6[0].bytes, 16);
			ip[40] = what & 16 ? IP_PROTOCOL_TCP : IP_PROTOCOL_ICMPV6;
			wire_put16(ip + 42, word);
			wire_put32(ip + 44, what >> 6);
		} else {
			ip[0] = 0x45;
			wire_put16(ip + 2, (uint16_t)(20 + n));
			wire_put16(ip + 4, what >> 6);
			wire_put16(ip + 6, (uint16_t)(word >> 3 | (word & 1) << 13));
			ip[8] = 64;
			ip[9] = what & 16 ? IP_PROTOCOL_TCP : IP_PROTOCOL_ICMP;
			wire_put32(ip + 12, 0x0a000002);
			wire_put32(ip + 16, 0x0a000001);
			wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, 20)));
		}
		p[0] = take();
		frame_input(frame, (uint32_t)(p - frame) + n);
	}
}

static void step(void)
{
	static uint8_t frame[FRAME_MAX];
	uint8_t which = take();

	switch (which & 7) {
	case 0:
		now_us += (uint64_t)take() << (6 + (which >> 4));
		break;
	case 1: {
		struct ip_addr to = which & 8 ? v6[2] : ip_v4(0x0a000002);
		tcp_connect(stack, &to, (uint16_t)(1 + take()), NULL, &app, NULL, now_us);
		break;
	}
	case 2:
		stack_announce(stack, now_us);
		break;
	case 3:
		fragments();
		break;
	case 4:
		frame_input(frame, ipv4_frame(frame));
		break;
	default:
		frame_input(frame, ipv6_frame(frame));
	}
	stack_output(stack, now_us);
	stack_timers(stack, now_us, 100);
	FUZZ_MUST(stack->frag_bytes <= stack->config.frag_bytes_max);
	FUZZ_MUST(stack->neighbour_pending <= stack->neighbour_pending_max);
	FUZZ_MUST(stack->nd.mtu >= IPV6_MTU_MIN && stack->nd.mtu <= stack->config.mtu);
}

static void begin(void)
{
	struct stack_config c;
	uint8_t how = take();

	stack_config_defaults(&c);
	memcpy(c.mac, our_mac, 6);
	stack_config_add(&c, ip_v4(0x0a000001), 24);
	stack_config_add(&c, v6[0], 64);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){how, 2};
	c.tx = tx;
	c.conn_max = 8;
	c.listener_max = 1;
	c.syn_backlog_max = c.time_wait_max = 4;
	c.reass_segments_max = 16;
	c.arp_max = 4;
	c.frag_datagrams_max = 4;
	c.frag_bytes_max = 64 * 2176;
	c.dad_transmits = how & 1;
	c.mld = how & 2;
	if (how & 4)
		c.gateway_v6 = v6[3];
	c.offload_flags = how & 8 ? STACK_OFFLOAD_MULTI_SEG : 0;
	now_us = 1000000;
	memset(said, 0, sizeof(said));
	stack = stack_create(&c, now_us);
	FUZZ_MUST(stack);
	if (how & 16)
		stack_neighbour_learn(stack, &v6[2], peer_mac, now_us);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *args[] = {"fuzz", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};

	FUZZ_MUST(rte_eal_init(11, args) >= 0);
	tx_pool = rte_pktmbuf_pool_create("tx", TX_MBUFS, 0, 0, RTE_PKTMBUF_HEADROOM + ROOM, SOCKET_ID_ANY);
	rx_pool = rte_pktmbuf_pool_create("rx", RX_MBUFS, 0, 0, RTE_PKTMBUF_HEADROOM + ROOM, SOCKET_ID_ANY);
	FUZZ_MUST(tx_pool && rx_pool);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	at = data;
	end = data + size;
	begin();
	for (unsigned i = 0; i < STEPS_MAX && at < end; i++)
		step();
	stack_destroy(stack);
	FUZZ_MUST(rte_mempool_avail_count(tx_pool) == TX_MBUFS);
	FUZZ_MUST(rte_mempool_avail_count(rx_pool) == RX_MBUFS);
	return 0;
}
