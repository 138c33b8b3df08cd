/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_class.h"
#include "dpdk_port/port_frames_fixture.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

static struct toeplitz hash;
static struct rte_mempool *pool;

static enum port_class class_of(const struct frame_bytes *f, uint32_t *h)
{
	struct rte_mbuf *m = frame_mbuf(pool, f);
	enum port_class c = port_classify(&hash, m, h);

	rte_pktmbuf_free(m);
	return c;
}

static uint32_t hash_of(const struct frame_ends *e, bool with_ports)
{
	uint8_t addresses[32], ports[4];
	unsigned n = e->v6 ? 16 : 4;

	memcpy(addresses, e->src, n);
	memcpy(addresses + n, e->dst, n);
	wire_put16(ports, e->sport);
	wire_put16(ports + 2, e->dport);
	return (e->v6 ? toeplitz_v6 : toeplitz_v4)(&hash, addresses, with_ports ? ports : NULL);
}

static void setup(void)
{
	uint8_t key[TOEPLITZ_KEY_BYTES];

	unit_eal();
	if (!pool)
		pool = unit_pool("class", 64, 2048);
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)unit_random();
	toeplitz_init(&hash, key);
}

static void test_tcp(void)
{
	struct frame_bytes f;
	uint32_t h;

	setup();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct frame_ends e = frame_ends_random(v6);
		frame_tcp(&f, &e);
		CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
		frame_ether(&f, v6 ? 0x86dd : 0x0800, 7); /* tagged */
		frame_ip(&f, &e, 6, 0x4000);
		frame_ports(&f, &e);
		CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
	}
}

/* The tag that the device took off is not looked for. */
static void test_a_stripped_tag(void)
{
	struct frame_ends e = frame_ends_random(false);
	struct frame_bytes f;
	uint32_t h;

	setup();
	frame_tcp(&f, &e);
	struct rte_mbuf *m = frame_mbuf(pool, &f);
	m->ol_flags |= RTE_MBUF_F_RX_VLAN_STRIPPED;
	CU_ASSERT(port_classify(&hash, m, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
	rte_pktmbuf_free(m);
}

static void test_ipv4_options(void)
{
	struct frame_ends e = frame_ends_random(false);
	struct frame_bytes f;
	uint8_t options[8] = {0};
	uint32_t h;

	setup();
	frame_ether(&f, 0x0800, 0);
	frame_ip(&f, &e, 6, 0);
	f.p[14] = 0x47;
	frame_put(&f, options, sizeof(options));
	frame_ports(&f, &e);
	CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
	f.p[14] = 0x44; /* shorter than a header can be */
	CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_FIRST);
}

static void test_fragments_meet(void)
{
	static const uint16_t words[] = {0x2000, 0x2001, 0x0001, 0x1fff};
	struct frame_bytes f;
	uint32_t h;

	setup();
	for (unsigned i = 0; i < 4; i++) {
		struct frame_ends e = frame_ends_random(false);
		frame_ether(&f, 0x0800, 0);
		frame_ip(&f, &e, i % 2 ? 6 : 1, words[i]);
		frame_ports(&f, &e);
		CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, false));
	}
	for (unsigned i = 0; i < 3; i++) {
		struct frame_ends e = frame_ends_random(true);
		static const uint16_t offsets[] = {1, 8, 0}; /* more follow; the last; the whole (RFC 6946) */
		uint8_t fragment[8] = {6};
		wire_put16(fragment + 2, offsets[i]);
		frame_ether(&f, 0x86dd, 0);
		frame_ip(&f, &e, 44, 0);
		frame_put(&f, fragment, 8);
		frame_ports(&f, &e);
		CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, i == 2));
	}
}

static void test_extension_headers(void)
{
	struct frame_ends e = frame_ends_random(true);
	static const uint8_t first[8] = {60, 0}, second[16] = {6, 1};
	struct frame_bytes f;
	uint32_t h;

	setup();
	frame_ether(&f, 0x86dd, 0);
	frame_ip(&f, &e, 0, 0);
	frame_put(&f, first, sizeof(first));
	frame_put(&f, second, sizeof(second));
	frame_ports(&f, &e);
	CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
}

static void test_icmp_errors(void)
{
	static const uint8_t types[2][5] = {{3, 4, 5, 11, 12}, {1, 2, 3, 4, 4}};
	struct frame_bytes f;
	uint32_t h;

	setup();
	for (unsigned i = 0; i < 10; i++) {
		struct frame_ends e = frame_ends_random(i >= 5);
		frame_icmp_error(&f, &e, types[i / 5][i % 5]);
		CU_ASSERT(class_of(&f, &h) == PORT_CLASS_HASH && h == hash_of(&e, true));
	}
}

static void test_for_the_first(void)
{
	struct frame_bytes f;
	uint32_t h;

	setup();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct frame_ends e = frame_ends_random(v6);
		static const uint8_t echo[2] = {8, 128}, protocols[2] = {1, 58};
		uint8_t icmp[48] = {echo[v6]};
		frame_ether(&f, v6 ? 0x86dd : 0x0800, 0);
		frame_ip(&f, &e, protocols[v6], 0);
		frame_put(&f, icmp, sizeof(icmp));
		CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_FIRST);
		frame_ether(&f, v6 ? 0x86dd : 0x0800, 0);
		frame_ip(&f, &e, 17, 0);
		frame_ports(&f, &e);
		CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_FIRST);
	}
	frame_ether(&f, 0x88cc, 0);
	CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_FIRST);
}

static void test_for_all(void)
{
	struct frame_bytes f;
	uint32_t h;

	setup();
	frame_arp(&f);
	CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_ALL);
	for (uint8_t type = 133; type <= 137; type++) {
		struct frame_ends e = frame_ends_random(true);
		uint8_t nd[24] = {type};
		frame_ether(&f, 0x86dd, 0);
		frame_ip(&f, &e, 58, 0);
		frame_put(&f, nd, sizeof(nd));
		CU_ASSERT_EQUAL(class_of(&f, &h), PORT_CLASS_ALL);
	}
}

/* Sanitizers watch: nothing is read behind what is there, however it is cut or scrambled. */
static void test_whatever_comes(void)
{
	struct frame_bytes f, cut;
	uint32_t h;

	setup();
	for (unsigned round = 0; round < 2000; round++) {
		struct frame_ends e = frame_ends_random(round % 2);
		if (round % 4 < 2)
			frame_icmp_error(&f, &e, 3);
		else
			frame_tcp(&f, &e);
		cut = f;
		cut.n = unit_random_below(f.n + 1);
		for (unsigned i = 0; i < unit_random_below(4) && cut.n > 14; i++)
			cut.p[14 + unit_random_below(cut.n - 14)] = (uint8_t)unit_random();
		/* at the end of a buffer of its own */
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		uint8_t *exact = malloc(cut.n ? cut.n : 1);
		memcpy(exact, cut.p, cut.n);
		void *before = m->buf_addr;
		m->buf_addr = exact;
		m->data_off = 0;
		m->data_len = (uint16_t)cut.n;
		CU_ASSERT_TRUE(port_classify(&hash, m, &h) <= PORT_CLASS_ALL);
		m->buf_addr = before;
		free(exact);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"tcp", test_tcp}, {"a_stripped_tag", test_a_stripped_tag},
			{"ipv4_options", test_ipv4_options}, {"fragments_meet", test_fragments_meet},
			{"extension_headers", test_extension_headers}, {"icmp_errors", test_icmp_errors},
			{"for_the_first", test_for_the_first}, {"for_all", test_for_all},
			{"whatever_comes", test_whatever_comes}, {0}});
}
