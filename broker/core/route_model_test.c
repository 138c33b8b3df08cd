/* SPDX-License-Identifier: Apache-2.0 */
/* Random exchanges that lead to exchanges and have alternates, beside a model that looks at every binding for
 * every message. Each route is asked for through a session's notes, in slices of a random length, with one
 * key or several; memory that is given back is poisoned. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPERATIONS = 30000,
	LOOKS = 6,
	EXCHANGES = 10,
	QUEUES = 10,
	BINDINGS = 70,
	KEYS = 5,
	PATTERNS = 6,
	NONE = 99
};

static const char *const types[] = {"direct", "fanout", "topic"};
static const char *const keys[KEYS] = {"a", "b", "a.b", "b.a", "c"};
static const char *const patterns[PATTERNS] = {"a", "b", "a.b", "#", "*.b", "a.#"};
static const bool topic_matches[PATTERNS][KEYS] = {
	{1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 1, 0, 0}, {1, 1, 1, 1, 1}, {0, 0, 1, 0, 0}, {1, 0, 1, 0, 0}};

struct model_binding {
	bool exists, to_exchange;
	unsigned from, to, pattern;
};

static struct {
	struct {
		bool exists, auto_delete;
		unsigned type, alternate;
	} exchanges[EXCHANGES];
	bool queues[QUEUES];
	struct model_binding bindings[BINDINGS];
	unsigned wrong, matched, hits;
} model;

static const char *name_of(char kind, unsigned i)
{
	static char names[2][10][4];
	char *name = names[kind == 'x'][i];

	name[0] = kind;
	name[1] = (char)('0' + i);
	return name;
}

static bool leads(const struct model_binding *b, unsigned from)
{
	return b->exists && b->from == from;
}

static void model_exchange_goes(unsigned i);

static void model_without_binding(unsigned from)
{
	for (unsigned b = 0; b < BINDINGS; b++)
		if (leads(&model.bindings[b], from))
			return;
	if (model.exchanges[from].exists && model.exchanges[from].auto_delete)
		model_exchange_goes(from);
}

static void model_destination_goes(bool exchange, unsigned i)
{
	bool touched[EXCHANGES] = {false};

	for (unsigned b = 0; b < BINDINGS; b++) {
		struct model_binding *x = &model.bindings[b];
		if (!x->exists || x->to_exchange != exchange || x->to != i)
			continue;
		x->exists = false;
		touched[x->from] = true;
	}
	for (unsigned x = 0; x < EXCHANGES; x++)
		if (touched[x])
			model_without_binding(x);
}

static void model_exchange_goes(unsigned i)
{
	model.exchanges[i].exists = false;
	for (unsigned b = 0; b < BINDINGS; b++)
		if (leads(&model.bindings[b], i))
			model.bindings[b].exists = false;
	model_destination_goes(true, i);
}

static bool model_matches(const struct model_binding *b, unsigned key)
{
	switch (model.exchanges[b->from].type) {
	case 0:
		return strcmp(patterns[b->pattern], keys[key]) == 0;
	case 1:
		return true;
	default:
		return topic_matches[b->pattern][key];
	}
}

struct answer {
	bool queues[QUEUES], exchanges[EXCHANGES];
};

static void model_walk(unsigned from, const unsigned *some_keys, unsigned count, struct answer *out)
{
	bool any = false;

	if (!model.exchanges[from].exists || out->exchanges[from])
		return;
	out->exchanges[from] = true;
	for (unsigned b = 0; b < BINDINGS; b++)
		for (unsigned k = 0; leads(&model.bindings[b], from) && k < count; k++) {
			const struct model_binding *x = &model.bindings[b];
			if (!model_matches(x, some_keys[k]))
				continue;
			any = true;
			if (x->to_exchange)
				model_walk(x->to, some_keys, count, out);
			else
				out->queues[x->to] = true;
		}
	if (!any && model.exchanges[from].alternate != NONE)
		model_walk(model.exchanges[from].alternate, some_keys, count, out);
}

static void op_declare_exchange(void)
{
	unsigned i = unit_random_below(EXCHANGES), type = unit_random_below(3);
	unsigned alternate = unit_random_below(2) ? unit_random_below(EXCHANGES) : NONE;
	struct exchange_declaration d = {.name = text(name_of('x', i)),
		.type = text(types[type]),
		.auto_delete = unit_random_below(2)};
	struct field a = {text(ALTERNATE_EXCHANGE), {.kind = VALUE_STRING}};

	if (model.exchanges[i].exists)
		return;
	if (alternate != NONE) {
		a.value.bytes = text(name_of('x', alternate));
		d.arguments = (struct fields){&a, 1};
	}
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	model.exchanges[i].exists = true;
	model.exchanges[i].auto_delete = d.auto_delete;
	model.exchanges[i].type = type;
	model.exchanges[i].alternate = alternate;
}

static void op_delete_exchange(void)
{
	unsigned i = unit_random_below(EXCHANGES);
	bool if_unused = unit_random_below(2), used = false;

	for (unsigned b = 0; b < BINDINGS; b++)
		used |= leads(&model.bindings[b], i);
	bool refused = if_unused && used;
	CU_ASSERT_EQUAL(exchange_delete_code(name_of('x', i), if_unused), refused ? FAILURE_PRECONDITION : 0);
	if (!refused)
		model_exchange_goes(i);
}

static void op_queue(void)
{
	unsigned i = unit_random_below(QUEUES);

	if (!model.queues[i]) {
		queue_make(name_of('q', i));
		model.queues[i] = true;
		return;
	}
	if (unit_random_below(3) > 0)
		return;
	CU_ASSERT_EQUAL(queue_delete_code(0, name_of('q', i)), 0);
	model.queues[i] = false;
	model_destination_goes(false, i);
}

static enum failure_code change(bool add, const struct model_binding *b)
{
	const char *from = name_of('x', b->from), *to = name_of(b->to_exchange ? 'x' : 'q', b->to);
	const char *pattern = patterns[b->pattern];

	if (b->to_exchange)
		return (add ? exchange_bind_code : exchange_unbind_code)(from, to, pattern);
	return (add ? bind_code : unbind_code)(from, to, pattern);
}

static void op_binding(void)
{
	struct model_binding *b = &model.bindings[unit_random_below(BINDINGS)], wanted = {.exists = true};

	if (b->exists) {
		if (unit_random_below(3) > 0)
			return;
		CU_ASSERT_EQUAL(change(false, b), 0);
		b->exists = false;
		model_without_binding(b->from);
		return;
	}
	wanted.from = unit_random_below(EXCHANGES);
	wanted.to_exchange = unit_random_below(2);
	wanted.to = unit_random_below(10);
	wanted.pattern = unit_random_below(PATTERNS);
	for (unsigned i = 0; i < BINDINGS; i++)
		if (memcmp(&model.bindings[i], &wanted, sizeof(wanted)) == 0)
			return;
	bool can = model.exchanges[wanted.from].exists &&
		   (wanted.to_exchange ? model.exchanges[wanted.to].exists : model.queues[wanted.to]);
	CU_ASSERT_EQUAL(change(true, &wanted), can ? 0 : FAILURE_NOT_FOUND);
	if (can)
		*b = wanted;
}

struct more {
	unsigned keys[4], count;
};

static bool next_key(const void *ctx, uint32_t *at, struct slice *key)
{
	const struct more *m = ctx;

	if (*at + 1 >= m->count)
		return false;
	*key = text(keys[m->keys[++*at]]);
	return true;
}

static bool agrees(const struct route_set *found, const struct answer *wanted)
{
	unsigned count = 0;

	for (unsigned i = 0; i < QUEUES; i++)
		count += wanted->queues[i];
	for (uint32_t i = 0; i < found->count; i++)
		if (!wanted->queues[queue_name(found->queues[i]).data[1] - '0'])
			return false;
	model.matched += count;
	return found->count == count && !found->overflow;
}

static void look(void)
{
	unsigned from = unit_random_below(EXCHANGES);
	struct more m = {.count = unit_random_below(3) ? 1 : 2 + unit_random_below(3)};
	struct key_source source = {next_key, &m};
	struct route_set *to = fixture.core->route;
	struct answer wanted = {0};
	bool all;

	for (unsigned i = 0; i < m.count; i++)
		m.keys[i] = unit_random_below(KEYS);
	struct route_request r = {
		.routing_key = text(keys[m.keys[0]]), .more_keys = m.count > 1 ? &source : NULL};
	to->slice = 16 + unit_random_below(32);
	struct exchange *x = route_cached(&fixture.session[0], text(name_of('x', from)), &r, to, &all);
	if (x)
		while (!all)
			all = route_find_more(x, &r, to);
	to->slice = ROUTE_SLICE;
	model_walk(from, m.keys, m.count, &wanted);
	model.wrong += x ? !agrees(to, &wanted) : model.exchanges[from].exists;
}

static void topologies_agree(void)
{
	for (unsigned i = 0; i < EXCHANGES; i++)
		model.wrong += exchange_exists(name_of('x', i)) != model.exchanges[i].exists;
}

static void random_topologies_match_the_model(void)
{
	static void (*const operations[])(void) = {op_declare_exchange, op_declare_exchange, op_queue,
		op_binding, op_binding, op_binding, op_binding, op_binding};
	struct broker_core_stats stats;

	fixture_begin();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		if (unit_random_below(40) == 0)
			op_delete_exchange();
		else
			operations[unit_random_below(8)]();
		topologies_agree();
		for (unsigned k = 0; k < LOOKS; k++)
			look();
		if (unit_random_below(4) == 0)
			reclaim_run();
	}
	CU_ASSERT_EQUAL(model.wrong, 0);
	broker_core_stats(fixture.core, &stats);
	printf("# %llu noted, %u matched\n", (unsigned long long)stats.route_hits, model.matched);
	CU_ASSERT_TRUE(stats.route_hits > OPERATIONS / 20 && model.matched > OPERATIONS);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"random_topologies_match_the_model", random_topologies_match_the_model}, {0}});
}
