/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/map.h"

#include "tests/world/world.h"

#include <stdio.h>
#include <string.h>

static const struct map_binding stays[] = {
	{"amq.direct", "d0", MAP_STRICT + 0, false},
	{"amq.direct", "d0", MAP_LOOSE + 0, false},
	{"amq.direct", "d1", MAP_STRICT + 1, false},
	{"amq.direct", "d2", MAP_STRICT + 2, false},
	{"amq.direct", "d2", MAP_STILL, false},
	{"amq.direct", "d2", MAP_LOOSE + 1, false},
	{"amq.fanout", "", MAP_STRICT + 0, false},
	{"amq.fanout", "", MAP_STRICT + 1, false},
	{"amq.fanout", "", MAP_LOOSE + 2, false},
	{"amq.topic", "a.*", MAP_STRICT + 1, false},
	{"amq.topic", "#.z", MAP_STRICT + 2, false},
	{"amq.topic", "a.#", MAP_LOOSE + 3, false},
	{"amq.headers", "", MAP_STILL, true},
};
enum { STAYS = sizeof(stays) / sizeof(stays[0]) };

/* Topic keys and what matches them. */
static const struct {
	const char *key;
	uint64_t queues;
} topics[] = {
	{"a.b", 1u << (MAP_STRICT + 1) | 1u << (MAP_LOOSE + 3)},
	{"a.z", 1u << (MAP_STRICT + 1) | 1u << (MAP_STRICT + 2) | 1u << (MAP_LOOSE + 3)},
	{"q.z", 1u << (MAP_STRICT + 2)},
	{"a", 1u << (MAP_LOOSE + 3)},
	{"b.c", 0},
};

const char *map_queue(unsigned q)
{
	static char names[4][8];
	static unsigned at;
	static const struct {
		char letter;
		unsigned first;
	} kinds[] = {{'w', MAP_WIDE}, {'e', MAP_OWN}, {'v', MAP_BRIEF}, {'l', MAP_LOOSE}, {'s', MAP_STRICT}};
	unsigned k = 0;
	char *name = names[at++ % 4];

	while (q < kinds[k].first)
		k++;
	snprintf(name, sizeof(names[0]), "%c%u", kinds[k].letter, q - kinds[k].first);
	return name;
}

bool map_binding(unsigned index, bool wide, struct map_binding *out)
{
	if (index < STAYS) {
		*out = stays[index];
		return true;
	}
	*out = (struct map_binding){MAP_WIDE_EXCHANGE, "", MAP_WIDE + index - STAYS, false};
	return wide && index < STAYS + MAP_WIDE_QUEUES;
}

static void by_table(struct map_route *r)
{
	for (unsigned i = 0; i < STAYS; i++)
		if (!strcmp(stays[i].exchange, r->exchange) &&
			(stays[i].header ? r->header : !strcmp(stays[i].key, r->key)))
			map_add(&r->must, stays[i].queue);
}

static void may_add(struct map_route *r, unsigned first, unsigned end)
{
	for (unsigned q = first; q < end; q++)
		map_add(&r->may, q);
}

static void topic(struct map_route *r)
{
	unsigned i = world_below(sizeof(topics) / sizeof(topics[0]));

	r->exchange = "amq.topic";
	r->key = topics[i].key;
	r->must.bits[0] = topics[i].queues;
}

static const char *churn_key(void)
{
	static const char *const keys[] = {"c0", "c1"};

	return keys[world_below(2)];
}

static void to_queue(struct map_route *r, unsigned q)
{
	r->key = map_queue(q);
	map_add(map_stays(q) ? &r->must : &r->may, q);
}

void map_route_to(struct map_route *r, unsigned queue)
{
	*r = (struct map_route){.exchange = ""};
	to_queue(r, queue);
	r->may.bits[0] |= r->must.bits[0];
	r->may.bits[1] |= r->must.bits[1];
}

void map_route_choose(struct map_route *r, bool wide)
{
	static const char *const direct[] = {"d0", "d1", "d2", "nowhere"};

	*r = (struct map_route){.exchange = "", .key = ""};
	switch (world_below(wide ? 12 : 11)) {
	case 0:
	case 1:
		r->exchange = "amq.direct";
		r->key = direct[world_below(4)];
		by_table(r);
		break;
	case 2:
		r->exchange = "amq.fanout";
		by_table(r);
		may_add(r, MAP_BRIEF, MAP_WIDE);
		break;
	case 3:
		topic(r);
		break;
	case 4:
		r->exchange = "amq.headers";
		r->header = world_permille(700);
		by_table(r);
		break;
	case 5:
		r->exchange = world_permille(500) ? MAP_CHURN_EXCHANGE : "amq.direct";
		r->may_be_gone = r->exchange[0] == 'v';
		r->key = churn_key();
		may_add(r, 0, MAP_WIDE);
		break;
	case 11:
		r->exchange = MAP_WIDE_EXCHANGE;
		for (unsigned q = MAP_WIDE; q < MAP_QUEUES_MAX; q++)
			map_add(&r->must, q);
		break;
	default:
		to_queue(r, world_below(MAP_WIDE));
	}
	r->may.bits[0] |= r->must.bits[0];
	r->may.bits[1] |= r->must.bits[1];
}

void map_churn_choose(const char **exchange, const char **key)
{
	*exchange = world_permille(500) ? MAP_CHURN_EXCHANGE : "amq.direct";
	*key = churn_key();
}
