/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be guessed: initial sequence numbers (RFC 6528), local ports (RFC 6056); and the key of the
 * table of connections. */
#include "tcpstack/tcp_impl.h"

uint64_t tcp_hash(const struct stack *s, uint32_t purpose, const struct tcp_tuple *t)
{
	struct {
		struct ip_addr laddr, raddr;
		uint16_t lport, rport;
		uint32_t purpose; /* separates the uses of one key */
	} what = {t->laddr, t->raddr, t->lport, t->rport, purpose};
	_Static_assert(sizeof(what) == 40, "no hole is hashed");

	return siphash(&s->config.key, &what, sizeof(what));
}

void tcp_table_key_init(struct stack *s)
{
	for (uint32_t i = 0; i < TCP_TABLE_KEYS; i++)
		s->conn_key[i] = tcp_hash(s, TCP_HASH_TABLE, &(struct tcp_tuple){.laddr.word[0] = i});

	const uint64_t *k = s->conn_key;
	uint32_t low = (uint32_t)ip_v4(0).word[1];
	s->conn_key_v4[0] = k[3] + low;
	s->conn_key_v4[1] = k[7] + low;
	s->conn_key_v4[2] = k[0] * k[1] + k[4] * k[5] + k[10];
}

uint32_t tcp_isn(const struct stack *s, const struct tcp_tuple *t, uint32_t above)
{
	/* RFC 6528 section 3: M ticks every 4 us. */
	uint32_t isn = (uint32_t)(s->now_us / 4) + (uint32_t)tcp_hash(s, TCP_HASH_ISN, t);

	return above && seq_leq(isn, above) ? above + UINT16_MAX : isn;
}

/* RFC 7323 section 5.4: another offset for each connection; the same for the next one of a tuple, or its
 * timestamps would not tell old from new. */
uint32_t tcp_ts_offset(const struct stack *s, const struct tcp_tuple *t)
{
	return (uint32_t)tcp_hash(s, TCP_HASH_TIMESTAMP, t);
}

static bool port_free(struct stack *s, const struct tcp_tuple *try, struct tcp_port *spare)
{
	if (s->config.owns &&
		!s->config.owns(s->config.cores_ctx, &try->raddr, try->rport, &try->laddr, try->lport))
		return false;
	if (tcp_listener_find(s, &try->laddr, try->lport))
		return false;
	struct tcp_node *node = tcp_node_find(s, try);
	if (node && !spare->port && tcp_time_wait_reusable(s, node, &spare->isn_above))
		spare->port = try->lport;
	return !node;
}

struct tcp_port tcp_port_pick(struct stack *s, const struct tcp_tuple *t)
{
	enum { RANGE = TCP_PORT_LAST - TCP_PORT_FIRST + 1 };
	struct tcp_tuple try = *t;
	struct tcp_port spare = {0};

	try.lport = 0;
	uint64_t hash = tcp_hash(s, TCP_HASH_PORT, &try);
	uint32_t offset = (uint32_t)hash, *next = &s->port_next[hash >> 32 & (PORT_COUNTERS - 1)];
	for (unsigned i = 0; i < RANGE; i++) {
		try.lport = (uint16_t)(TCP_PORT_FIRST + (offset + (*next)++) % RANGE);
		if (port_free(s, &try, &spare))
			return (struct tcp_port){.port = try.lport};
	}
	return spare;
}

uint32_t tcp_flow_label(const struct stack *s, const struct tcp_tuple *t)
{
	return ip_is_v4(&t->raddr) ? 0 : (uint32_t)tcp_hash(s, TCP_HASH_FLOW_LABEL, t) & 0xfffff;
}
