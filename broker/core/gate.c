/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/gate.h"

#include "broker/core/core.h"
#include "broker/core/route_graph.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_MAX = 20 };

static const struct gate_type *const types[] = {&gate_delay, &gate_once, NULL};

static const struct gate_type *type_find(struct slice name)
{
	for (unsigned i = 0; types[i]; i++)
		if (slice_equals_text(name, types[i]->name))
			return types[i];
	return NULL;
}

bool gate_type_exists(struct slice name)
{
	return type_find(name) != NULL;
}

enum failure_code gate_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f)
{
	const struct gate_type *type = type_find(d->type);

	*out = NULL;
	if (type)
		return type->make(v, d, bindings, out, f);
	*bindings = exchange_type_find(d->type);
	if (*bindings)
		return FAILURE_NONE;
	return failure_set(
		f, FAILURE_COMMAND_INVALID, "unknown exchange type '" SLICE_FMT "'", SLICE_ARG(d->type));
}

void gate_free(struct gate *g)
{
	if (g)
		g->type->free(g);
}

void gate_exchange_gone(struct gate *g)
{
	if (g && g->type->gone)
		g->type->gone(g);
}

enum gate_answer gate_ask(struct gate *g, const struct route_request *r, struct route_set *s)
{
	return r->core && r->headers ? g->type->ask(g, r, s) : GATE_OPEN;
}

bool gate_meet(struct route_set *s, struct gate_met met)
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

void gate_again(struct route_set *s)
{
	s->graph->gates.again = true;
	s->gated = true;
}

bool gates_again(const struct route_set *s)
{
	return s->graph->gates.again;
}

bool gates_ready(struct broker_core *c, struct route_set *s)
{
	struct gates_met *all = &s->graph->gates;

	for (uint32_t i = 0; i < all->count; i++) {
		const struct gate_type *type = all->at[i].gate->type;
		if (type->ready && !type->ready(c, &all->at[i]))
			return false;
	}
	return !all->again;
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
	uint32_t held = 0;

	for (uint32_t i = 0; i < all->count; i++)
		held += all->at[i].gate->type->keep(c, &all->at[i], m, keys_or_null);
	done(s);
	return held;
}

void gates_undo(struct broker_core *c, struct route_set *s)
{
	struct gates_met *all = &s->graph->gates;

	for (uint32_t i = 0; i < all->count; i++)
		all->at[i].gate->type->undo(c, &all->at[i]);
	done(s);
}

int64_t gate_number(const struct value *v)
{
	char copy[NUMBER_TEXT_MAX + 1];
	char *end;

	if (v->kind == VALUE_INT)
		return v->integer;
	if (v->kind != VALUE_STRING || v->bytes.bytes == 0 || v->bytes.bytes > NUMBER_TEXT_MAX)
		return 0;
	memcpy(copy, v->bytes.data, v->bytes.bytes);
	copy[v->bytes.bytes] = 0;
	long long n = strtoll(copy, &end, 10);
	/* strtoll passes over space in front. */
	return *end == 0 && !isspace((unsigned char)copy[0]) ? n : 0;
}
