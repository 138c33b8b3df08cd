/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/capture_filter.h"

#include "runtime/wire.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* A frame under construction. */
static uint8_t frame[256];
static uint32_t used;

static void put(const void *bytes, uint32_t n)
{
	memcpy(frame + used, bytes, n);
	used += n;
}

static void put16(uint16_t v)
{
	uint8_t b[2];
	wire_put16(b, v);
	put(b, 2);
}

static void ether(uint16_t type)
{
	memset(frame, 0, sizeof(frame));
	used = 12;
	put16(type);
}

static void tag(uint16_t type)
{
	put16(7);
	put16(type);
}

static void ipv4(uint32_t src, uint32_t dst, uint8_t protocol, uint16_t fragment)
{
	uint8_t h[20] = {0x45};
	wire_put16(h + 6, fragment);
	h[9] = protocol;
	wire_put32(h + 12, src);
	wire_put32(h + 16, dst);
	put(h, sizeof(h));
}

static void ipv6(uint8_t src, uint8_t dst, uint8_t next)
{
	uint8_t h[40] = {0x60, [6] = next, [8] = 0xfd, [23] = src, [24] = 0xfd, [39] = dst};
	put(h, sizeof(h));
}

static void tcp(uint16_t sport, uint16_t dport)
{
	put16(sport);
	put16(dport);
	put((uint8_t[16]){0}, 16);
}

static struct capture_address v4(uint32_t a, uint8_t bits)
{
	struct capture_address out = {.family = 4, .prefix_bits = bits};
	wire_put32(out.bytes, a);
	return out;
}

static struct capture_address v6(uint8_t last, uint8_t bits)
{
	return (struct capture_address){.family = 6, .bytes = {0xfd, [15] = last}, .prefix_bits = bits};
}

/* On the heap, so that AddressSanitizer sees a read past the end. */
static bool match(const struct capture_filter *f)
{
	uint8_t *exact = malloc(used ? used : 1);
	memcpy(exact, frame, used);
	bool result = capture_filter_match(f, exact, used);
	free(exact);
	return result;
}

enum { A = 0x0a000001, B = 0x0a000002, C = 0x0a0000ff };

static const struct capture_filter port_5672 = {.tcp_port = 5672};

static struct capture_filter host4(uint32_t a, uint8_t bits)
{
	return (struct capture_filter){.host = v4(a, bits)};
}

static struct capture_filter conn4(uint32_t a, uint16_t ap, uint32_t b, uint16_t bp)
{
	return (struct capture_filter){.has_conn = true, .conn = {{v4(a, 32), ap}, {v4(b, 32), bp}}};
}

static void test_none(void)
{
	struct capture_filter all = {0};

	ether(0x88cc);
	CU_ASSERT(match(&all));
	used = 3;
	CU_ASSERT(match(&all));
}

static void test_ipv4(void)
{
	struct capture_filter a = host4(A, 32), c = host4(C, 32), near = host4(C, 24),
			      odd = host4(0x0a000003, 31), zero = host4(0, 0),
			      right = conn4(A, 40000, B, 5672), wrong = conn4(A, 5672, B, 40000),
			      swapped = conn4(B, 5672, A, 40000);

	ether(0x0800);
	ipv4(A, B, 6, 0);
	tcp(40000, 5672);
	CU_ASSERT(match(&a) && !match(&c) && match(&near) && match(&odd) && match(&zero));
	CU_ASSERT(match(&port_5672) && match(&right) && match(&swapped) && !match(&wrong));
	a.tcp_port = 5672;
	c.tcp_port = 5672;
	CU_ASSERT(match(&a) && !match(&c));
	a.tcp_port = 5671;
	CU_ASSERT(!match(&a));
	/* the way back */
	ether(0x0800);
	ipv4(B, A, 6, 0);
	tcp(5672, 40000);
	CU_ASSERT(match(&right) && match(&swapped) && !match(&wrong));
	/* UDP has ports as well, and is no TCP */
	ether(0x0800);
	ipv4(A, B, 17, 0);
	tcp(40000, 5672);
	CU_ASSERT(!match(&port_5672) && match(&near));
}

static void test_vlan(void)
{
	struct capture_filter a = host4(A, 32);

	ether(0x88a8);
	tag(0x8100);
	tag(0x0800);
	ipv4(A, B, 6, 0);
	tcp(1, 5672);
	CU_ASSERT(match(&port_5672) && match(&a));
	ether(0x8100);
	tag(0x8100);
	tag(0x8100);
	tag(0x0800);
	ipv4(A, B, 6, 0);
	CU_ASSERT(!match(&a));
}

static void test_ipv6(void)
{
	struct capture_filter one = {.host = v6(1, 128)}, three = {.host = v6(3, 128)},
			      near = {.host = v6(3, 126)},
			      conn = {.has_conn = true, .conn = {{v6(1, 128), 9}, {v6(2, 128), 5672}}};
	static const uint8_t hop_by_hop[16] = {43, 1}, routing[8] = {44, 0}, first[8] = {6, 0, 0, 1},
			     later[8] = {6, 0, 0, 9};

	ether(0x86dd);
	ipv6(1, 2, 6);
	tcp(9, 5672);
	CU_ASSERT(match(&one) && !match(&three) && match(&near) && match(&port_5672) && match(&conn));
	ether(0x86dd);
	ipv6(1, 2, 0);
	put(hop_by_hop, 16);
	put(routing, 8);
	put(first, 8);
	tcp(9, 5672);
	CU_ASSERT(match(&conn) && match(&port_5672));
	/* behind the first fragment there are no ports */
	ether(0x86dd);
	ipv6(1, 2, 44);
	put(later, 8);
	tcp(9, 5672);
	CU_ASSERT(!match(&conn) && !match(&port_5672) && match(&one));
	/* a chain of extensions that does not end */
	ether(0x86dd);
	ipv6(1, 2, 60);
	for (unsigned i = 0; i < 12; i++)
		put((uint8_t[8]){60}, 8);
	CU_ASSERT(!match(&port_5672) && match(&one));
}

static void test_neighbours(void)
{
	struct capture_filter a = host4(A, 32), b = host4(B, 32), c = host4(C, 32),
			      two = {.host = v6(2, 128)};
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1}, solicitation[24] = {135, [8] = 0xfd, [23] = 2};

	wire_put32(arp + 14, A);
	wire_put32(arp + 24, B);
	ether(0x0806);
	put(arp, sizeof(arp));
	CU_ASSERT(match(&a) && match(&b) && !match(&c) && !match(&port_5672));
	ether(0x86dd);
	ipv6(1, 0xff, 58);
	put(solicitation, sizeof(solicitation));
	CU_ASSERT(match(&two) && !match(&port_5672));
}

/* A router's word about a segment belongs to the connection. */
static void test_icmp_errors(void)
{
	struct capture_filter conn = conn4(A, 40000, B, 5672), other = conn4(A, 40001, B, 5672),
			      router = host4(C, 32), b = host4(B, 32);

	ether(0x0800);
	ipv4(C, A, 1, 0);
	put((uint8_t[8]){3, 4}, 8);
	ipv4(A, B, 6, 0);
	tcp(40000, 5672);
	CU_ASSERT(match(&conn) && !match(&other) && match(&router) && match(&port_5672) && match(&b));
	/* an echo request quotes nothing */
	ether(0x0800);
	ipv4(C, A, 1, 0);
	put((uint8_t[8]){8}, 8);
	ipv4(A, B, 6, 0);
	tcp(40000, 5672);
	CU_ASSERT(!match(&conn) && match(&router) && !match(&port_5672));
	ether(0x86dd);
	ipv6(9, 1, 58);
	put((uint8_t[8]){2}, 8);
	ipv6(1, 2, 6);
	tcp(9, 5672);
	CU_ASSERT(match(&port_5672));
}

/* Every frame cut anywhere, and noise: no read past the end, and no match of what is not there. */
static void test_cut_and_noise(void)
{
	struct capture_filter conn = conn4(A, 40000, B, 5672), host = host4(A, 32);

	ether(0x0800);
	ipv4(A, B, 6, 0);
	tcp(40000, 5672);
	for (uint32_t n = used; n-- > 0;) {
		used = n;
		CU_ASSERT_EQUAL(match(&conn), n >= 14 + 20 + 4);
		CU_ASSERT_EQUAL(match(&host), n >= 14 + 20);
	}
	for (unsigned i = 0; i < 200000; i++) {
		static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8100};
		static const uint8_t protocols[] = {0, 1, 6, 43, 44, 58, 60, 135};
		ether(types[unit_random_below(4)]);
		uint32_t n = unit_random_below(140);
		for (uint32_t k = 0; k < n; k++)
			frame[used++] = unit_random_below(2) ? protocols[unit_random_below(8)]
							     : (uint8_t)unit_random();
		if (n)
			frame[14] = unit_random_below(2) ? 0x45 : 0x60;
		match(&conn);
		match(&host);
	}
}

static const struct unit_test tests[] = {
	{"without conditions everything matches", test_none},
	{"IPv4: host, prefix, port, connection", test_ipv4},
	{"VLAN tags are looked through", test_vlan},
	{"IPv6: host, prefix, port, connection, extension headers", test_ipv6},
	{"ARP and neighbour discovery by address", test_neighbours},
	{"ICMP errors belong to what they quote", test_icmp_errors},
	{"cut frames and noise", test_cut_and_noise},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
