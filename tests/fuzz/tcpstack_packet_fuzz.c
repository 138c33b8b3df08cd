/* SPDX-License-Identifier: Apache-2.0 */
/* Packets below TCP: IPv4 and IPv6 with extension headers, fragments in any order, ICMP errors about a
 * connection that is there, neighbour and router discovery. The input is a list of packets: an octet that
 * chooses the kind, one for its length, and its bytes behind a header that is nearly right, whose checksums
 * are made right. Free buffers and what lies around a frame are poisoned. */
#include <rte_eal.h>
#include <string.h>

#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"
#include "tests/fuzz/fuzz.h"
#include "tests/script/segment.h"
#include "tests/unit/poison.h"

enum { ETH = 14, IP4 = 20, IP6 = 40, ROOM = 2048, MBUFS = 256, PACKETS_MAX = 200, ICMP = 1, ICMP6 = 58 };

static struct rte_mempool *tx_pool, *rx_pool;
static struct stack *stack;
static uint64_t now_us;
static uint8_t sent[ROOM]; /* the last IP packet that left */
static uint32_t sent_n;

static const uint8_t *at, *end;

static uint8_t take(void)
{
	return at < end ? *at++ : 0;
}

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames_take[i];
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
		FUZZ_MUST(m->pkt_len >= 42 && m->pkt_len <= ETH + stack->config.mtu);
		if (wire_get16(p + 12) != ETH_TYPE_ARP && m->nb_segs == 1 && m->data_len <= sizeof(sent)) {
			sent_n = m->data_len - ETH;
			memcpy(sent, p + ETH, sent_n);
		}
	}
	rte_pktmbuf_free_bulk(frames_take, n);
}

static void frame_input(const uint8_t *frame, uint32_t n, uint32_t first_n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool), *rest = NULL;

	if (!m)
		return;
	first_n = min_u32(first_n, n);
	memcpy(rte_pktmbuf_append(m, (uint16_t)first_n), frame, first_n);
	if (n > first_n && (rest = rte_pktmbuf_alloc(rx_pool))) {
		memcpy(rte_pktmbuf_append(rest, (uint16_t)(n - first_n)), frame + first_n, n - first_n);
		rte_pktmbuf_chain(m, rest);
	}
	poison_around(&m, 1);
	stack_input(stack, &m, 1, now_us);
	stack_output(stack, now_us);
}

/* The checksum of a whole ICMP message or TCP segment that stands at data. */
static void payload_sum(
	uint8_t protocol, const struct ip_addr *src, const struct ip_addr *dst, uint8_t *data, uint32_t n)
{
	uint32_t field = protocol == IP_PROTOCOL_TCP ? 16 : 2;
	uint64_t sum = protocol == ICMP ? 0 : checksum_pseudo(src, dst, protocol, n);

	if (n < field + 2 || (protocol != ICMP && protocol != ICMP6 && protocol != IP_PROTOCOL_TCP))
		return;
	wire_put16(data + field, 0);
	wire_put16(data + field, (uint16_t)~checksum_fold(checksum_add(sum, data, n)));
}

static void ip4_packet(uint8_t how, uint8_t *ip, uint32_t n)
{
	struct ip_addr src = segment_peer_addr(false), dst = segment_stack_addr(false);

	memset(ip, 0, IP4);
	ip[0] = 0x45;
	wire_put16(ip + 2, (uint16_t)(IP4 + n));
	ip[8] = 64;
	ip[9] = how & 1 ? IP_PROTOCOL_TCP : ICMP;
	wire_put32(ip + 12, PEER_ADDR);
	wire_put32(ip + 16, STACK_ADDR);
	if (how & 2) { /* a fragment */
		wire_put16(ip + 4, take() & 3);
		wire_put16(ip + 6, (uint16_t)((take() & 1) << 13 | (take() & 63)));
	} else {
		payload_sum(ip[9], &src, &dst, ip + IP4, n);
	}
	if (how & 4)
		ip[take() % IP4] ^= take();
	wire_put16(ip + 10, 0);
	wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, IP4)));
}

static void ip6_packet(uint8_t how, uint8_t *ip, uint32_t n)
{
	struct ip_addr src = segment_peer_addr(true), dst = segment_stack_addr(true);

	memset(ip, 0, IP6);
	ip[0] = 0x60;
	wire_put16(ip + 4, (uint16_t)n);
	ip[6] = how & 1 ? take() : ICMP6; /* extension headers among others */
	ip[7] = 255;
	memcpy(ip + 8, src.bytes, 16);
	memcpy(ip + 24, dst.bytes, 16);
	if (how & 2) {
		ip[6] = 44;
		if (n >= 8) {
			ip[IP6] = ICMP6;
			ip[IP6 + 1] = 0;
			ip[IP6 + 2] = 0;
		}
	} else {
		payload_sum(ip[6], &src, &dst, ip + IP6, n);
	}
	if (how & 4)
		ip[take() % IP6] ^= take();
}

/* An error about the last packet that left, or something like it. */
static uint32_t icmp_error_put(bool v6, uint8_t *icmp)
{
	uint32_t quoted = min_u32(sent_n, 20u + take());

	memset(icmp, 0, 8);
	icmp[0] = v6 ? 1 + (take() & 3) : 3;
	icmp[1] = v6 ? 0 : take() & 15;
	wire_put32(icmp + 4, (uint32_t)take() << 3);
	memcpy(icmp + 8, sent, quoted);
	if (take() & 1 && quoted)
		icmp[8 + take() % quoted] ^= take();
	return 8 + quoted;
}

static void packet(void)
{
	static uint8_t frame[ROOM];
	uint8_t how = take(), more = take();
	bool v6 = how & 128;
	uint8_t *ip = frame + ETH, *data = ip + (v6 ? IP6 : IP4);
	uint32_t n = more, header = v6 ? IP6 : IP4;

	packet_eth(&(struct packet){0}, v6 ? 0x86dd : 0x0800, frame);
	if ((how & 24) == 24) {
		n = icmp_error_put(v6, data);
		how &= 128;
	} else {
		for (uint32_t i = 0; i < n; i++)
			data[i] = take();
	}
	if (v6)
		ip6_packet(how, ip, n);
	else
		ip4_packet(how, ip, n);
	if (how & 32)
		memset(frame, v6 ? 0x33 : 0xff, how & 64 ? 2 : 6);
	frame_input(frame, ETH + header + n, how & 64 ? ETH + header + take() : UINT32_MAX);
}

static void begin(void)
{
	static const struct tcp_app app;
	struct ip_addr peer4 = segment_peer_addr(false), peer6 = segment_peer_addr(true);
	struct stack_config c;

	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, segment_stack_addr(false), 24);
	stack_config_add(&c, segment_stack_addr(true), 64);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){1, 2};
	c.tx = tx;
	c.conn_max = c.syn_backlog_max = c.time_wait_max = 4;
	now_us = 1000000;
	sent_n = 0;
	stack = stack_create(&c, now_us);
	FUZZ_MUST(stack && tcp_listen(stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	(void)tcp_connect(stack, &peer4, 80, NULL, &app, NULL, now_us);
	(void)tcp_connect(stack, &peer6, 80, NULL, &app, NULL, now_us);
	stack_output(stack, now_us);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *args[] = {"fuzz", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};

	FUZZ_MUST(rte_eal_init(11, args) >= 0);
	tx_pool = poison_pool_create("tx", MBUFS, RTE_PKTMBUF_HEADROOM + ROOM);
	rx_pool = poison_pool_create("rx", MBUFS, RTE_PKTMBUF_HEADROOM + ROOM);
	FUZZ_MUST(tx_pool && rx_pool);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	at = data;
	end = data + size;
	begin();
	for (unsigned i = 0; i < PACKETS_MAX && at < end; i++) {
		if (take() & 15) {
			packet();
			continue;
		}
		now_us += (uint64_t)take() << 14;
		stack_timers(stack, now_us, 100);
		stack_output(stack, now_us);
	}
	stack_destroy(stack);
	FUZZ_MUST(rte_mempool_avail_count(tx_pool) == MBUFS && rte_mempool_avail_count(rx_pool) == MBUFS);
	return 0;
}
