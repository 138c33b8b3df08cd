/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/ear.h"

#include <stdio.h>
#include <stdlib.h>

static void refuse(const struct ear *e, const char *what)
{
	fprintf(stderr, "%s after %llu frames and %llu deliveries\n", what,
		(unsigned long long)e->reader.frames, (unsigned long long)e->deliveries);
	abort();
}

static void on_method(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded)
{
	if (m->id == AMQP091_METHOD_CONNECTION_CLOSE || m->id == AMQP091_METHOD_CHANNEL_CLOSE)
		refuse(ctx, "closed by the broker");
}

static void on_delivery(void *ctx, const struct reader_delivery *d)
{
	struct ear *e = ctx;

	if (e->delivery_bytes && e->delivery_bytes != d->wire_bytes)
		refuse(e, "deliveries of different lengths");
	e->delivery_bytes = (uint32_t)d->wire_bytes;
	e->deliveries++;
}

static void on_broken(void *ctx, const char *why)
{
	refuse(ctx, why);
}

static const struct reader_app app = {.method = on_method, .delivery = on_delivery, .broken = on_broken};

void ear_init(struct ear *e)
{
	*e = (struct ear){0};
	reader_init(&e->reader, &app, e);
}

void ear_take_bytes(struct ear *e, const uint8_t *bytes, uint32_t n)
{
	e->bytes += n;
	if (!e->counts)
		reader_take_bytes(&e->reader, bytes, n);
}

void ear_take(struct ear *e, const struct chain *c)
{
	e->bytes += c->bytes;
	if (!e->counts)
		reader_take(&e->reader, c);
}
