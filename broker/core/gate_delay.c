/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core.h"
#include "broker/core/gate.h"
#include "runtime/mutants.h"

#include <stdlib.h>

#define DELAY_MS_MAX INT64_C(4294967295) /* the plugin's: longer ones are none */

struct delay_gate {
	struct gate gate;
	struct delay_address *address;
};

static const struct slice delay_header = {(const uint8_t *)"x-delay", 7};

static struct delay_gate *of(struct gate *g)
{
	return caa_container_of(g, struct delay_gate, gate);
}

static void delay_free(struct gate *g)
{
	delay_address_drop(of(g)->address);
	free(of(g));
}

static enum failure_code delay_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f)
{
	const struct value *inside = fields_find(&d->arguments, "x-delayed-type");

	if (!inside || inside->kind != VALUE_STRING ||
		(gate_type_exists(inside->bytes) && !MUTANT(delays_of_delays)))
		return failure_set(f, FAILURE_PRECONDITION,
			"Invalid argument, 'x-delayed-type' must be an existing exchange type");
	*bindings = exchange_type_find(inside->bytes);
	if (!*bindings)
		return failure_set(f, FAILURE_COMMAND_INVALID, "unknown exchange type '" SLICE_FMT "'",
			SLICE_ARG(inside->bytes));
	struct delay_gate *g = calloc(1, sizeof(*g));
	if (g && !(g->address = delay_address_make(v, d->name))) {
		free(g);
		g = NULL;
	}
	if (!g)
		return failure_set(f, FAILURE_LIMIT, "no memory for " EXCHANGE_FMT, NAME_ARG(d->name, v));
	g->gate.type = &gate_delay;
	*out = &g->gate;
	return FAILURE_NONE;
}

static void delay_gone(struct gate *g)
{
	if (!MUTANT(delays_outlive_their_exchange))
		delay_address_gone(of(g)->address);
}

/* 0: it is not held back. */
static uint64_t delay_us(const struct header_source *headers)
{
	struct value v;
	int64_t ms;

	if (!headers->find(headers->ctx, delay_header, &v))
		return 0;
	if (v.kind == VALUE_DOUBLE)
		ms = v.real > 0 && v.real <= (double)DELAY_MS_MAX ? (int64_t)v.real : 0;
	else
		ms = gate_number(&v);
	return ms > 0 && ms <= DELAY_MS_MAX - MUTANT(longest_delay_is_none) ? (uint64_t)ms * 1000 : 0;
}

static enum gate_answer delay_ask(struct gate *g, const struct route_request *r, struct route_set *s)
{
	uint64_t us = delay_us(r->headers);

	if (us == 0)
		return GATE_OPEN;
	gate_meet(s, (struct gate_met){.gate = g, .us = us});
	return MUTANT(delayed_ones_pass_too) ? GATE_OPEN : GATE_HELD;
}

static bool delay_ready(struct broker_core *c, struct gate_met *met)
{
	if (!met->delayed)
		met->delayed = delay_take(c);
	return met->delayed;
}

static bool delay_keep(struct broker_core *c, struct gate_met *met, struct message *m, struct message *keys)
{
	delay_begin(c, met->delayed, of(met->gate)->address, m, keys, met->us);
	return true;
}

static void delay_undo(struct broker_core *c, struct gate_met *met)
{
	if (met->delayed && !MUTANT(undone_delays_leak))
		delay_cancel(c, met->delayed);
}

const struct gate_type gate_delay = {"x-delayed-message", delay_make, delay_free, delay_gone, delay_ask,
	delay_ready, delay_keep, delay_undo};
