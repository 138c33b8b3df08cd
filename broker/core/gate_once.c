/* SPDX-License-Identifier: Apache-2.0 */
/* What an x-message-deduplication exchange has let through, for all cores together: a message is claimed when
 * it is routed, and remembered once it has been given to its queues. Another one of the same value that comes
 * in between waits until that is settled: it must neither get through nor be dropped for one that is lost
 * with its publisher. Up to x-cache-size values are remembered, the oldest makes room; each for x-cache-ttl,
 * the exchange's argument or the message's header. */
#include "broker/core/core.h"
#include "broker/core/deduplication.h"
#include "broker/core/gate.h"

#include <stdlib.h>
#include <string.h>

#define TTL_MS_MAX (INT64_MAX / 2000)

struct once_gate {
	struct gate gate;
	struct broker *broker;
	uint32_t size;
	uint64_t ttl_us; /* RECENT_NEVER_EXPIRES: as long as there is room */
	struct siphash_key key[2];
	pthread_mutex_t lock; /* held for one operation of the keys */
	struct recent_keys keys;
};

static const struct slice ttl_header = {(const uint8_t *)"x-cache-ttl", 11};

static struct once_gate *of(struct gate *g)
{
	return caa_container_of(g, struct once_gate, gate);
}

static enum failure_code refuse(struct failure *f, const char *why)
{
	return failure_set(f, FAILURE_PRECONDITION, "%s", why);
}

static enum failure_code arguments_read(
	const struct exchange_declaration *d, int64_t *size, int64_t *ttl_ms, struct failure *f)
{
	const struct value *v = fields_find(&d->arguments, "x-cache-size");

	*size = v ? gate_number(v) : 0;
	if (*size <= 0)
		return refuse(
			f, "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0");
	v = fields_find(&d->arguments, "x-cache-ttl");
	*ttl_ms = v ? gate_number(v) : TTL_MS_MAX;
	if (*ttl_ms <= 0)
		return refuse(f, "Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
	v = fields_find(&d->arguments, "x-cache-persistence");
	if (v && (v->kind != VALUE_STRING ||
			 (!slice_equals_text(v->bytes, "memory") && !slice_equals_text(v->bytes, "disk"))))
		return refuse(f, "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'");
	return FAILURE_NONE;
}

static uint64_t lifetime_us(int64_t ttl_ms)
{
	return ttl_ms < TTL_MS_MAX ? (uint64_t)ttl_ms * 1000 : RECENT_NEVER_EXPIRES;
}

/* What may be remembered together is bounded, and each exchange has its share from the beginning: nothing is
 * forgotten early because of others. */
static enum failure_code reserve(struct broker *b, int64_t size, struct failure *f)
{
	if (size <= UINT32_MAX && remembered_take(b, (uint32_t)size))
		return FAILURE_NONE;
	return failure_set(f, FAILURE_LIMIT,
		"x-cache-size %lld: only %u of %u values are left (limits.deduplication)", (long long)size,
		remembered_left(b), b->config.remembered_max);
}

static void once_free(struct gate *gate)
{
	struct once_gate *g = of(gate);

	recent_keys_destroy(&g->keys);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static void once_gone(struct gate *gate)
{
	remembered_give(of(gate)->broker, of(gate)->size);
}

static enum failure_code once_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f)
{
	int64_t size = 0, ttl_ms = 0;
	enum failure_code code = arguments_read(d, &size, &ttl_ms, f);

	if (code)
		return code;
	struct once_gate *g = calloc(1, sizeof(*g));
	if (!g)
		return failure_set(f, FAILURE_LIMIT, "no memory for " EXCHANGE_FMT, NAME_ARG(d->name, v));
	code = reserve(v->broker, size, f);
	if (code) {
		free(g);
		return code;
	}
	g->gate.type = &gate_once;
	g->broker = v->broker;
	g->size = (uint32_t)size;
	g->ttl_us = lifetime_us(ttl_ms);
	g->key[0] = siphash_key_random();
	g->key[1] = siphash_key_random();
	pthread_mutex_init(&g->lock, NULL);
	recent_keys_init(&g->keys, g->size, NULL);
	*bindings = &route_fanout;
	*out = &g->gate;
	return FAILURE_NONE;
}

static uint64_t expires_us(const struct once_gate *g, const struct route_request *r)
{
	struct value v;
	uint64_t us = g->ttl_us;

	if (r->headers->find(r->headers->ctx, ttl_header, &v) && v.kind == VALUE_INT && v.integer >= 0)
		us = lifetime_us(v.integer);
	return us < RECENT_NEVER_EXPIRES - r->core->now_us ? r->core->now_us + us : RECENT_NEVER_EXPIRES;
}

static void settle(struct once_gate *g, uint32_t claim, bool keep, uint64_t until_us)
{
	pthread_mutex_lock(&g->lock);
	if (keep)
		recent_keys_keep(&g->keys, claim, until_us);
	else
		recent_keys_withdraw(&g->keys, claim);
	pthread_mutex_unlock(&g->lock);
}

static enum gate_answer once_ask(struct gate *gate, const struct route_request *r, struct route_set *s)
{
	struct once_gate *g = of(gate);
	struct gate_met met = {.gate = gate};
	struct recent_key key;

	if (!deduplication_key(g->key, r->headers, &key))
		return GATE_OPEN;
	pthread_mutex_lock(&g->lock);
	enum recent answer = recent_keys_claim(&g->keys, key, r->core->now_us, &met.claim);
	pthread_mutex_unlock(&g->lock);
	if (answer == RECENT_KNOWN) {
		met.known = true;
		return gate_meet(s, met) ? GATE_SHUT : GATE_HELD;
	}
	if (answer != RECENT_NEW) {
		gate_again(s);
		return GATE_HELD;
	}
	met.us = expires_us(g, r);
	if (gate_meet(s, met))
		return GATE_OPEN;
	settle(g, met.claim, false, 0);
	return GATE_HELD;
}

static bool once_keep(struct broker_core *c, struct gate_met *met, struct message *m, struct message *keys)
{
	(void)m;
	(void)keys;
	if (met->known)
		c->counters.duplicates++;
	else
		settle(of(met->gate), met->claim, true, met->us);
	return false;
}

static void once_undo(struct broker_core *c, struct gate_met *met)
{
	(void)c;
	if (!met->known)
		settle(of(met->gate), met->claim, false, 0);
}

const struct gate_type gate_once = {
	"x-message-deduplication", once_make, once_free, once_gone, once_ask, NULL, once_keep, once_undo};
