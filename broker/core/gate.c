/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/gate.h"

#include "broker/core/core.h"
#include "broker/core/route_graph.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#define DELAYED_TYPE   "x-delayed-message"
#define DELAYED_INSIDE "x-delayed-type"
#define DELAY_MS_MAX   INT64_C(4294967295) /* the plugin's: longer ones are none */

enum { NUMBER_TEXT_MAX = 20 };

struct gate {
	struct delay_address *delay;
};

static const struct slice delay_header = {(const uint8_t *)"x-delay", 7};

bool gate_type_exists(struct slice name)
{
	return slice_equals_text(name, DELAYED_TYPE);
}

const char *gate_type_name(const struct gate *g)
{
	(void)g;
	return DELAYED_TYPE;
}

static enum failure_code no_memory(struct vhost *v, const struct exchange_declaration *d, struct failure *f)
{
	return failure_set(f, FAILURE_LIMIT, "no memory for " EXCHANGE_FMT, NAME_ARG(d->name, v));
}

static enum failure_code delay_gate_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate *g, struct failure *f)
{
	const struct value *inside = fields_find(&d->arguments, DELAYED_INSIDE);

	if (!inside || inside->kind != VALUE_STRING || gate_type_exists(inside->bytes))
		return failure_set(f, FAILURE_PRECONDITION,
			"Invalid argument, 'x-delayed-type' must be an existing exchange type");
	*bindings = exchange_type_find(inside->bytes);
	if (!*bindings)
		return failure_set(f, FAILURE_COMMAND_INVALID, "unknown exchange type '" SLICE_FMT "'",
			SLICE_ARG(inside->bytes));
	g->delay = delay_address_make(v, d->name);
	return g->delay ? FAILURE_NONE : no_memory(v, d, f);
}

enum failure_code gate_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f)
{
	*out = NULL;
	*bindings = exchange_type_find(d->type);
	if (*bindings)
		return FAILURE_NONE;
	struct gate *g = calloc(1, sizeof(*g));
	if (!g)
		return no_memory(v, d, f);
	enum failure_code code = delay_gate_make(v, d, bindings, g, f);
	if (code)
		gate_free(g);
	else
		*out = g;
	return code;
}

void gate_free(struct gate *g)
{
	if (g)
		delay_address_drop(g->delay);
	free(g);
}

void gate_exchange_gone(struct gate *g)
{
	if (g)
		delay_address_gone(g->delay);
}

/* A number in text, as whole; INT64_MAX: longer than any that counts. */
static int64_t number_of_text(struct slice text)
{
	char copy[NUMBER_TEXT_MAX + 1];
	char *end;

	if (text.bytes == 0 || text.bytes > NUMBER_TEXT_MAX)
		return 0;
	memcpy(copy, text.data, text.bytes);
	copy[text.bytes] = 0;
	long long n = strtoll(copy, &end, 10);
	return *end || copy[0] == ' ' ? 0 : n;
}

/* 0: it is not held back. */
static uint64_t delay_us(const struct header_source *headers)
{
	struct value v;
	int64_t ms = 0;

	if (!headers || !headers->find(headers->ctx, delay_header, &v))
		return 0;
	if (v.kind == VALUE_INT)
		ms = v.integer;
	else if (v.kind == VALUE_DOUBLE && v.real > 0 && v.real <= (double)DELAY_MS_MAX)
		ms = (int64_t)v.real;
	else if (v.kind == VALUE_STRING)
		ms = number_of_text(v.bytes);
	return ms > 0 && ms <= DELAY_MS_MAX ? (uint64_t)ms * 1000 : 0;
}

/* False: there are too many. */
static bool meet(struct route_set *s, struct gate_met met)
{
	struct gates_met *all = &s->graph->gates;

	if (all->count == GATES_MAX) {
		s->overflow = true;
		return false;
	}
	s->gated = true;
	all->at[all->count++] = met;
	return true;
}

enum gate_answer gate_ask(struct gate *g, const struct route_request *r, struct route_set *s)
{
	uint64_t us = r->core ? delay_us(r->headers) : 0;

	if (us == 0)
		return GATE_OPEN;
	meet(s, (struct gate_met){.gate = g, .us = us});
	return GATE_HELD;
}

bool gates_ready(struct broker_core *c, struct route_set *s)
{
	struct gates_met *all = &s->graph->gates;

	if (all->again)
		return false;
	for (uint32_t i = 0; i < all->count; i++) {
		struct gate_met *met = &all->at[i];
		if (!met->delayed && !(met->delayed = delay_take(c)))
			return false;
	}
	return true;
}

static void done(struct route_set *s)
{
	s->graph->gates.count = 0;
	s->graph->gates.again = false;
	s->gated = false;
}

uint32_t gates_keep(
	struct broker_core *c, struct route_set *s, struct message *m, struct message *keys_or_null)
{
	struct gates_met *all = &s->graph->gates;
	uint32_t held = all->count;

	for (uint32_t i = 0; i < all->count; i++) {
		struct gate_met *met = &all->at[i];
		delay_begin(c, met->delayed, met->gate->delay, m, keys_or_null, met->us);
	}
	done(s);
	return held;
}

void gates_undo(struct broker_core *c, struct route_set *s)
{
	struct gates_met *all = &s->graph->gates;

	for (uint32_t i = 0; i < all->count; i++)
		if (all->at[i].delayed)
			delay_cancel(c, all->at[i].delayed);
	done(s);
}
