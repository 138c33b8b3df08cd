/* SPDX-License-Identifier: Apache-2.0 */
/* With many connections each segment finds its connection's memory cold, and a miss costs as much as a
 * hundred instructions. The burst is looked over first, one step of the way to the connections at a time, so
 * that misses overlap. Nothing is decided here: a frame that is not understood is not helped. */
#include "tcpstack/tcp_impl.h"

enum { PEEK_BYTES_V4 = ETH_HEADER_BYTES + IPV4_HEADER_BYTES + 4, PEEK_BYTES_V6 = ETH_HEADER_BYTES + 40 + 4 };

/* The bucket of a frame's connection, or NULL. */
static const struct cds_list_head *peek(const struct stack *s, const struct rte_mbuf *m)
{
	const uint8_t *h = rte_pktmbuf_mtod(m, const uint8_t *), *ip = h + ETH_HEADER_BYTES, *ports;
	struct tcp_tuple t;

	if (m->data_len >= PEEK_BYTES_V4 && wire_get16(h + 12) == ETH_TYPE_IPV4 && ip[0] == 0x45 &&
		ip[9] == IP_PROTOCOL_TCP) {
		t.raddr = ip_v4(wire_get32(ip + 12));
		t.laddr = ip_v4(wire_get32(ip + 16));
		ports = ip + IPV4_HEADER_BYTES;
	} else if (m->data_len >= PEEK_BYTES_V6 && wire_get16(h + 12) == ETH_TYPE_IPV6 &&
		   ip[6] == IP_PROTOCOL_TCP) {
		t.raddr = ip_v6(ip + 8);
		t.laddr = ip_v6(ip + 24);
		ports = ip + 40;
	} else {
		return NULL;
	}
	t.rport = wire_get16(ports);
	t.lport = wire_get16(ports + 2);
	return tcp_table_bucket(s, &t);
}

static void prefetch_lines(const void *object, unsigned lines)
{
	for (unsigned i = 0; i < lines; i++)
		rte_prefetch0((const uint8_t *)object + i * RTE_CACHE_LINE_SIZE);
}

void tcp_prefetch(const struct stack *s, struct rte_mbuf **frames, unsigned n)
{
	const struct cds_list_head *bucket[STACK_BURST];

	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], const void *));
	for (unsigned i = 0; i < n; i++) {
		bucket[i] = peek(s, frames[i]);
		rte_prefetch0(bucket[i]); /* of NULL it does nothing */
	}
	/* The first of a bucket: few have a second one. What is no connection is smaller, and no fault
	 * follows from fetching behind it. */
	for (unsigned i = 0; i < n; i++)
		if (bucket[i] && bucket[i]->next != bucket[i])
			prefetch_lines(bucket[i]->next, TCP_CONN_HOT_LINES);
		else
			bucket[i] = NULL;
	/* What an acknowledgement will release. */
	for (unsigned i = 0; i < n; i++) {
		const struct tcp_node *node =
			bucket[i] ? cds_list_entry(bucket[i]->next, struct tcp_node, bucket_link) : NULL;
		if (node && node->kind == TCP_KIND_CONN)
			rte_prefetch0(caa_container_of(node, struct tcp_conn, node)->segments.next);
	}
}
