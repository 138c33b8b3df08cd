/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>

/* A core to each other core at most 4096 records, fewer where many cores would make the matrix large: 16384
 * records a core and kind. 64 cores: 64 x 16384 x (24 + 48 + 56) bytes = 128 MiB. */
enum { RECORDS_MAX = 4096, RECORDS_MIN = 64, RECORDS_A_CORE = 16384 };

uint32_t link_capacity(uint32_t cores)
{
	uint32_t n = RECORDS_MAX;

	while (n > RECORDS_MIN && n * cores > RECORDS_A_CORE)
		n /= 2;
	return n;
}

static void link_free(struct core_link *l)
{
	ring_destroy(l->publish);
	ring_destroy(l->deliver);
	ring_destroy(l->control);
}

int links_create(struct broker *b)
{
	uint32_t cores = b->config.cores;
	uint32_t n = b->config.link_records ? b->config.link_records : link_capacity(cores);

	b->links = calloc((size_t)cores * cores, sizeof(*b->links));
	if (!b->links)
		return -1;
	for (uint32_t i = 0; i < cores * cores; i++) {
		struct core_link *l = &b->links[i];
		l->publish = ring_create(sizeof(struct publish_record), n);
		l->deliver = ring_create(sizeof(struct deliver_record), n);
		l->control = ring_create(sizeof(struct control_record), n);
		if (!l->publish || !l->deliver || !l->control)
			return -1;
	}
	return 0;
}

void links_destroy(struct broker *b)
{
	for (uint32_t i = 0; b->links && i < b->config.cores * b->config.cores; i++)
		link_free(&b->links[i]);
	free(b->links);
	b->links = NULL;
}

static void *stage(struct link_out *out, struct ring *r)
{
	void *record = ring_stage(r);

	out->staged |= record != NULL;
	return record;
}

struct publish_record *link_publish(struct broker_core *c, uint32_t to)
{
	return stage(&c->out[to], c->out[to].link->publish);
}

struct deliver_record *link_deliver(struct broker_core *c, uint32_t to)
{
	return stage(&c->out[to], c->out[to].link->deliver);
}

struct control_record *link_control(struct broker_core *c, uint32_t to)
{
	return stage(&c->out[to], c->out[to].link->control);
}

uint64_t link_stamp(struct broker_core *c)
{
	return ++c->stamp;
}

/* A ring that has been filled since the mark, which nobody may have asked about for long, has passed it. */
static bool mark_passed(struct ring *control, uint32_t mark)
{
	return ring_position(control) - mark > ring_capacity(control) || ring_passed(control, mark);
}

/* One mark for all who ask: who comes later than it was set waits for the next one. */
bool link_settled(struct broker_core *c, uint32_t to, uint64_t stamp)
{
	struct link_out *out = &c->out[to];
	struct ring *control = out->link->control;

	while (stamp > out->settled.passed) {
		if (!out->settled.asked) {
			out->settled.asked = c->stamp;
			out->settled.mark = ring_position(control);
		}
		if (!mark_passed(control, out->settled.mark))
			return false;
		out->settled.passed = out->settled.asked;
		out->settled.asked = 0;
	}
	return true;
}

bool link_control_room(struct broker_core *c, uint32_t to, uint32_t n)
{
	return ring_room(c->out[to].link->control, n) >= n;
}

static bool parcel_stage(struct broker_core *c, uint32_t to, struct parcel *p)
{
	struct control_record *r = link_control(c, to);

	if (r)
		*r = (struct control_record){.parcel = p};
	return r != NULL;
}

void parcel_send(struct broker_core *c, uint32_t to, struct parcel *p, enum parcel_kind kind)
{
	struct link_out *out = &c->out[to];

	p->kind = kind;
	if (cds_list_empty(&out->outbox) && parcel_stage(c, to, p))
		return;
	cds_list_add_tail(&p->outbox, &out->outbox);
	c->counters.parcels_waited++;
}

static void outbox_flush(struct broker_core *c, uint32_t to)
{
	struct link_out *out = &c->out[to];

	while (!cds_list_empty(&out->outbox)) {
		struct parcel *p = cds_list_first_entry(&out->outbox, struct parcel, outbox);
		/* Out of the list first: once it is staged the object is the other core's. */
		cds_list_del(&p->outbox);
		if (!parcel_stage(c, to, p)) {
			cds_list_add(&p->outbox, &out->outbox);
			return;
		}
	}
}

void links_post(struct broker_core *c)
{
	for (uint32_t to = 0; to < c->broker->config.cores; to++)
		outbox_flush(c, to);
}

void links_flush(struct broker_core *c)
{
	for (uint32_t to = 0; to < c->broker->config.cores; to++) {
		struct link_out *out = &c->out[to];
		outbox_flush(c, to);
		if (!out->staged)
			continue;
		out->staged = false;
		ring_commit(out->link->publish);
		ring_commit(out->link->deliver);
		ring_commit(out->link->control);
		struct broker_core *other = c->broker->cores[to];
		if (other != c && other->wake)
			other->wake(other->wake_ctx);
	}
}
