/* SPDX-License-Identifier: Apache-2.0 */
/* The table of who has which tuple: connections, requests and what is in TIME_WAIT, found by one keyed hash.
 */
#include <errno.h>
#include <stdlib.h>

#include "tcpstack/tcp_impl.h"

int tcp_table_init(struct stack *s, uint64_t n)
{
	uint32_t bits = 6;

	while (1u << bits < n && bits < 24)
		bits++;
	s->conn_shift = 64 - bits;
	s->conn_buckets = calloc(1u << bits, sizeof(*s->conn_buckets));
	if (!s->conn_buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < 1u << bits; i++)
		CDS_INIT_LIST_HEAD(&s->conn_buckets[i]);
	tcp_table_key_init(s);
	return 0;
}

struct tcp_node *tcp_node_find(struct stack *s, const struct tcp_tuple *t)
{
	struct tcp_node *node;

	cds_list_for_each_entry (node, tcp_table_bucket(s, t), bucket_link)
		if (tcp_tuple_same(&node->tuple, t))
			return node;
	return NULL;
}

void tcp_node_insert(struct stack *s, struct tcp_node *node, const struct tcp_tuple *t, enum tcp_kind kind)
{
	node->tuple = *t;
	node->kind = kind;
	cds_list_add(&node->bucket_link, tcp_table_bucket(s, t));
}

struct tcp_conn *tcp_conn_find(struct stack *s, const struct tcp_tuple *t)
{
	struct tcp_node *node = tcp_node_find(s, t);

	return node && node->kind == TCP_KIND_CONN ? caa_container_of(node, struct tcp_conn, node) : NULL;
}

struct tcp_request *tcp_request_of(struct tcp_node *node)
{
	return caa_container_of(node, struct tcp_request, node);
}
