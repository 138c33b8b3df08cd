/* SPDX-License-Identifier: Apache-2.0 */
/* Receive memory is charged by the buffers that are held, not by the bytes in them. Of the stack's
 * rx_buffers_max a part (a quarter to a half) is for whoever holds next to nothing, so that those who do not
 * read never stop the others; of the rest a connection may hold half of what the others leave. The window
 * follows from that share. */
#include "tcpstack/tcp_impl.h"

enum { GUARANTEED_MIN = 2 };

void tcp_memory_init(struct stack *s)
{
	uint32_t max = s->config.rx_buffers_max, conns = s->config.conn_max;
	uint32_t reserve = (uint32_t)min_u64(max_u64((uint64_t)conns * GUARANTEED_MIN, max / 4), max / 2);

	s->rx_guaranteed = max_u32(reserve / conns, GUARANTEED_MIN);
	s->rx_shared_max = max - reserve;
	CDS_INIT_LIST_HEAD(&s->rx_waiting);
}

static uint32_t shared_part(const struct stack *s, uint32_t buffers)
{
	return buffers > s->rx_guaranteed ? buffers - s->rx_guaranteed : 0;
}

uint32_t tcp_memory_allowed(const struct tcp_conn *c)
{
	const struct stack *s = c->stack;

	if (!s->config.rx_buffers_max)
		return UINT32_MAX;
	uint32_t others = s->rx_shared - shared_part(s, c->rx_buffers);
	return s->rx_guaranteed + (s->rx_shared_max - others) / 2;
}

bool tcp_memory_may_hold_more(const struct tcp_conn *c, uint32_t n)
{
	const struct stack *s = c->stack;

	if (!s->config.rx_buffers_max)
		return true;
	return s->rx_held + n <= s->config.rx_buffers_max && c->rx_buffers + n <= tcp_memory_allowed(c);
}

bool tcp_memory_tight(const struct tcp_conn *c)
{
	return c->rx_buffers > tcp_memory_allowed(c) / 2 || !tcp_memory_may_hold(c, 1);
}

uint32_t tcp_memory_window(const struct tcp_conn *c)
{
	const struct stack *s = c->stack;

	if (!s->config.rx_buffers_max)
		return UINT32_MAX;
	uint32_t allowed = tcp_memory_allowed(c), free = s->config.rx_buffers_max - s->rx_held;
	uint32_t buffers = allowed > c->rx_buffers ? min_u32(allowed - c->rx_buffers, free) : 0;
	uint64_t segment_bytes = max_u32(c->peer_mss, (uint32_t)c->mss), bytes;
	if (c->peer_buffers == 1) /* nearly always; dividing takes long */
		bytes = buffers * segment_bytes;
	else if (buffers < c->peer_buffers) /* where not even one of the peer's segments fits, a part does */
		bytes = buffers * segment_bytes / c->peer_buffers;
	else
		bytes = buffers / c->peer_buffers * segment_bytes;
	/* What waits out of order lies in the window and has its buffers. */
	return (uint32_t)min_u64(bytes + c->reass.bytes, 1u << 30);
}

void tcp_memory_changed(struct tcp_conn *c, uint32_t now)
{
	struct stack *s = c->stack;
	uint32_t before = c->rx_buffers;

	c->rx_buffers = now;
	s->rx_held += now - before;
	if (now + before > s->rx_guaranteed)
		s->rx_shared += shared_part(s, now) - shared_part(s, before);
	if (s->rx_held > s->rx_held_high)
		s->rx_held_high = s->rx_held;
	if (now > before || list_empty(&s->rx_waiting))
		return;
	/* One at a time: each release wakes somebody, and who finds too little waits again, as the last. */
	struct tcp_conn *next = cds_list_first_entry(&s->rx_waiting, struct tcp_conn, rx_wait_link);
	cds_list_del_init(&next->rx_wait_link);
	tcp_output_want(next);
}

void tcp_memory_wait(struct tcp_conn *c)
{
	if (list_empty(&c->rx_wait_link))
		cds_list_add_tail(&c->rx_wait_link, &c->stack->rx_waiting);
}
