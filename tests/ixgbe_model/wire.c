/* SPDX-License-Identifier: Apache-2.0 */
/* The cable. */
#include "runtime/check.h"
#include "tests/ixgbe_model/private.h"

enum { ROOM_MIN = 160 * 1024 }; /* for a large send and its headers */

/* The packet buffer that frames sent here arrive in, or NULL. */
static struct ixm *receiver(struct ixm *m)
{
	return ixm_get(m, HLREG0) & HLREG0_LPBK ? m : m->peer;
}

void ixm_wire_send(struct ixm *m, const uint8_t *frame, unsigned bytes, unsigned queue)
{
	struct ixm *to = receiver(m);

	m->count.tx_frames++;
	ixm_stats_sent(m, frame, bytes, queue);
	if (to)
		ixm_fifo_put(&to->fifo, frame, bytes, false);
	else
		m->out(m->out_context, frame, bytes);
}

bool ixm_wire_full(struct ixm *m)
{
	struct ixm *to = receiver(m);

	return m->lossless && to && ixm_fifo_room(&to->fifo) < ROOM_MIN;
}

/* Two locks are taken in the order of their addresses. */
static void lock_both(struct ixm *a, struct ixm *b)
{
	struct ixm *first = a < b ? a : b, *second = a < b ? b : a;

	pthread_mutex_lock(&first->lock);
	if (second != first)
		pthread_mutex_lock(&second->lock);
}

static void unlock_both(struct ixm *a, struct ixm *b)
{
	pthread_mutex_unlock(&a->lock);
	if (a != b)
		pthread_mutex_unlock(&b->lock);
}

/* Takes the cable off at both ends. No test changes two cables at once, so the peer stays the same. */
static void part(struct ixm *m)
{
	struct ixm *peer = m->peer ? m->peer : m;

	lock_both(m, peer);
	peer->peer = m->peer = NULL;
	m->out = NULL;
	unlock_both(m, peer);
}

void ixm_wire_join(struct ixm *a, struct ixm *b)
{
	part(a);
	part(b);
	lock_both(a, b);
	a->peer = b;
	b->peer = a;
	unlock_both(a, b);
}

void ixm_wire_loop(struct ixm *m)
{
	ixm_wire_join(m, m);
}

void ixm_wire_to(struct ixm *m, ixm_wire_out out, void *context)
{
	part(m);
	pthread_mutex_lock(&m->lock);
	m->out = out;
	m->out_context = context;
	pthread_mutex_unlock(&m->lock);
}

void ixm_wire_lossless(struct ixm *m, bool on)
{
	pthread_mutex_lock(&m->lock);
	m->lossless = on;
	pthread_mutex_unlock(&m->lock);
}

bool ixm_inject(struct ixm *m, const uint8_t *frame, unsigned bytes)
{
	MUST(bytes > 0 && bytes <= IXM_FRAME_BYTES_MAX);
	return ixm_fifo_put(&m->fifo, frame, bytes, false);
}

bool ixm_inject_damaged(struct ixm *m, const uint8_t *frame, unsigned bytes)
{
	MUST(bytes > 0 && bytes <= IXM_FRAME_BYTES_MAX);
	return ixm_fifo_put(&m->fifo, frame, bytes, true);
}
