/* SPDX-License-Identifier: Apache-2.0 */
/* interleave_handover [SCENE [ACTIVITIES [PREEMPTIONS]]]: queues between cores, in all orders of what cores
 * and clients do; so many activities on a way, so many of them interrupted, in place of the scene's own
 * numbers. */
#include "tests/interleave/report.h"
#include "tests/interleave/world.h"

#include <stdlib.h>
#include <string.h>

#define PUB                      \
	{                        \
		DO_PUBLISH, 0, 0 \
	}
#define GET                  \
	{                    \
		DO_GET, 0, 0 \
	}
#define D(what)                 \
	{                       \
		DO_##what, 0, 0 \
	}
#define D1(what)                \
	{                       \
		DO_##what, 1, 0 \
	}
#define CREDIT(of, n)            \
	{                        \
		DO_CREDIT, of, n \
	}
#define NO_ACK(credit)                 \
	{                              \
		0, credit, true, false \
	}
#define ACKS(credit)                    \
	{                               \
		0, credit, false, false \
	}
#define EXCLUSIVE(credit)             \
	{                             \
		0, credit, true, true \
	}

/* Of two queues; room for one letter a core. */
#define LETTERS(cores_n, clients_n, consumers_n)                                                        \
	.cores = cores_n, .clients = clients_n, .queues = 2, .consumers = consumers_n, .letters = true, \
	.letters_max = 1, .link_records = 2
/* The second consumer is there when the first one comes: the queue does not move. */
#define STAY D1(CONSUME), D1(CANCEL)

/* The queue is the first core's at the beginning, the consumer another one's: it moves. */
static const struct scene scenes[] = {
	{
		.name = "a queue moves to its consumer while messages come",
		.cores = 2,
		.queues = 1,
		.consumers = 1,
		.clients = 2,
		.link_records = 2,
		.consumer = {NO_ACK(4)},
		.client = {{0, {PUB, PUB}}, {1, {D(CONSUME)}}},
		.activities_max = 14,
		.states_min = 50,
	},
	{
		.name = "and is cancelled",
		.cores = 2,
		.queues = 1,
		.consumers = 1,
		.clients = 2,
		.link_records = 2,
		.consumer = {ACKS(2)},
		.client = {{0, {PUB, PUB, PUB}}, {1, {D(CONSUME), D(ACK), D(CANCEL), D(REQUEUE)}}},
		.activities_max = 14,
		.states_min = 200,
	},
	{
		.name = "and its client dies",
		.cores = 3,
		.queues = 1,
		.consumers = 1,
		.clients = 2,
		.link_records = 2,
		.consumer = {ACKS(2)},
		.client = {{2, {PUB, PUB}}, {1, {D(CONSUME), D(ACK), D(GONE)}}},
		.activities_max = 13,
		.states_min = 200,
	},
	{
		.name = "and is deleted, and declared again",
		.cores = 3,
		.queues = 1,
		.consumers = 1,
		.clients = 3,
		.link_records = 2,
		.consumer = {ACKS(2)},
		.client = {{0, {PUB, PUB}}, {1, {D(CONSUME)}}, {2, {D(DELETE), D(DECLARE), PUB}}},
		.drops = true,
		.activities_max = 12,
		.states_min = 2000,
	},
	{
		.name = "and a second consumer comes",
		.cores = 3,
		.queues = 1,
		.consumers = 2,
		.clients = 3,
		.link_records = 2,
		.consumer = {NO_ACK(2), ACKS(2)},
		.client = {{0, {PUB, PUB}}, {1, {D(CONSUME)}}, {2, {D1(CONSUME), D(ACK)}}},
		.activities_max = 12,
		.states_min = 600,
	},
	{
		.name = "and others get, count and purge",
		.cores = 3,
		.queues = 1,
		.consumers = 1,
		.clients = 3,
		.link_records = 2,
		.consumer = {NO_ACK(2)},
		.client = {{0, {PUB, PUB}}, {1, {D(CONSUME)}}, {2, {GET, D(COUNT), D(ACK), D(PURGE)}}},
		.drops = true,
		.activities_max = 12,
		.states_min = 700,
	},
	{
		.name = "and its consumer has no room and has it again",
		.cores = 2,
		.queues = 1,
		.consumers = 1,
		.clients = 2,
		.link_records = 2,
		.consumer = {ACKS(3)},
		.client = {{0, {PUB, PUB, PUB}},
			{1, {D(CONSUME), D(STALL), CREDIT(0, 1), D(ACK), D(REQUEUE)}}},
		.activities_max = 14,
		.states_min = 300,
	},
	{
		.name = "two consumers of other cores, one without room",
		.cores = 3,
		.queues = 1,
		.consumers = 2,
		.clients = 3,
		.link_records = 2,
		.consumer = {ACKS(2), ACKS(2)},
		.client = {{0, {PUB, PUB, PUB}}, {1, {D(CONSUME), D(STALL), CREDIT(0, 1)}},
			{2, {D1(CONSUME), D1(CANCEL)}}},
		.marks_freely = true,
		.activities_max = 11,
		.states_min = 1500,
	},
	{
		.name = "exclusive consumers of two cores",
		.cores = 3,
		.queues = 1,
		.consumers = 2,
		.clients = 3,
		.link_records = 2,
		.consumer = {EXCLUSIVE(2), EXCLUSIVE(2)},
		.client = {{0, {PUB, PUB}}, {1, {D(CONSUME), D(CANCEL)}}, {2, {D1(CONSUME)}}},
		.activities_max = 12,
		.states_min = 1500,
	},
	{
		.name = "an auto-delete queue whose consumer goes",
		.cores = 3,
		.queues = 1,
		.consumers = 1,
		.clients = 3,
		.link_records = 2,
		.consumer = {ACKS(2)},
		.auto_delete = true,
		.client = {{0, {PUB}}, {1, {D(CONSUME), D(CANCEL), D(ACK)}}, {2, {GET, D(DECLARE), PUB}}},
		.drops = true,
		.activities_max = 12,
		.states_min = 1500,
	},
	{
		.name = "what was published before is got",
		.cores = 3,
		.queues = 1,
		.clients = 2,
		.link_records = 2,
		.client = {{1, {PUB, PUB, GET, D(REQUEUE), GET}}, {2, {PUB, PUB}}},
		.activities_max = 14,
		.states_min = 2000,
	},
	{
		.name = "clients die that have asked",
		.cores = 2,
		.queues = 1,
		.clients = 2,
		.link_records = 2,
		.client = {{1, {PUB, GET, D(GONE)}}, {0, {PUB, GET, D(ACK)}}},
		.marks_freely = true,
		.activities_max = 8,
		.preemptions_max = 1,
		.states_min = 20000,
	},
	{
		.name = "from its own core, at any moment",
		.cores = 2,
		.queues = 1,
		.consumers = 1,
		.clients = 2,
		.link_records = 2,
		.consumer = {NO_ACK(4)},
		.client = {{1, {PUB, PUB}, 0}, {1, {D(CONSUME)}, 0}},
		.activities_max = 9,
		.preemptions_max = 1,
		.states_min = 20000,
	},
	{
		.name = "one that stays where it is, whose consumer has no room and has it again",
		.cores = 2,
		.queues = 1,
		.consumers = 2,
		.clients = 2,
		.link_records = 2,
		.consumer = {NO_ACK(4), ACKS(0)},
		.client = {{0, {D1(CONSUME), D1(CANCEL), PUB, PUB, PUB}, 2},
			{1, {D(CONSUME), D(STALL), CREDIT(0, 1)}, 1}},
		.activities_max = 14,
		.states_min = 300,
	},
	{
		.name = "the same with little credit, at any moment",
		.cores = 2,
		.queues = 1,
		.consumers = 2,
		.clients = 2,
		.link_records = 2,
		.consumer = {NO_ACK(1), ACKS(0)},
		.client = {{0, {D1(CONSUME), D1(CANCEL), PUB, PUB, PUB}, 2},
			{1, {D(CONSUME), CREDIT(0, 1), CREDIT(0, 1)}, 1}},
		.activities_max = 8,
		.preemptions_max = 1,
		.states_min = 8000,
	},
	{
		.name = "what was published before is purged",
		.cores = 3,
		.queues = 1,
		.clients = 3,
		.link_records = 2,
		.client = {{1, {PUB, PUB, D(PURGE), PUB}}, {2, {PUB, D(PURGE), PUB}}, {0, {PUB}}},
		.drops = true,
		.activities_max = 11,
		.states_min = 8000,
	},
	{
		.name = "a fan-out to queues of two cores",
		.cores = 3,
		.queues = 2,
		.consumers = 2,
		.clients = 3,
		.link_records = 2,
		.owner = {0, 1},
		.consumer = {NO_ACK(4), {1, 4, true, false}},
		.client = {{2, {D(FANOUT), D(FANOUT), D(FANOUT)}}, {1, {D(CONSUME)}}, {0, {D1(CONSUME)}}},
		.activities_max = 11,
		.states_min = 5000,
	},
	{
		.name = "from a third core, and from that of the consumer",
		.cores = 3,
		.queues = 1,
		.consumers = 1,
		.clients = 3,
		.link_records = 2,
		.consumer = {NO_ACK(8)},
		.client = {{2, {PUB, PUB, PUB}}, {1, {D(CONSUME)}}, {1, {PUB, PUB}}},
		.activities_max = 14,
		.states_min = 10000,
	},
	{
		.name = "what is rejected on another core goes on to that core",
		LETTERS(2, 2, 2),
		.owner = {0, 1},
		.consumer = {ACKS(3), ACKS(0)},
		.client = {{0, {STAY, PUB, PUB, PUB}, 2}, {1, {D(CONSUME), D(REJECT), D(REJECT), D(ACK)}, 1}},
		.activities_max = 14,
		.states_min = 350,
	},
	{
		.name = "and its queue is deleted",
		LETTERS(3, 3, 2),
		.owner = {0, 2},
		.consumer = {ACKS(3), ACKS(0)},
		.client = {{0, {STAY, PUB, PUB}, 2}, {1, {D(CONSUME), D(REJECT), D(REJECT)}, 1},
			{2, {D(DELETE)}}},
		.drops = true,
		.activities_max = 12,
		.states_min = 500,
	},
	{
		.name = "and its client dies, who rejected some",
		LETTERS(3, 2, 2),
		.owner = {0, 2},
		.consumer = {ACKS(3), ACKS(0)},
		.client = {{0, {STAY, PUB, PUB, PUB}, 2},
			{1, {D(CONSUME), D(REJECT), D(REJECT), D(GONE)}, 1}},
		.marks_freely = true,
		.activities_max = 13,
		.states_min = 700,
	},
	{
		.name = "and there is no room for letters",
		LETTERS(3, 3, 3),
		.owner = {0, 2},
		.consumer = {ACKS(2), ACKS(0), ACKS(2)},
		.client = {{0, {STAY, PUB, PUB, PUB, D(HOLD_LETTERS), D(PASS_LETTERS)}, 2},
			{1, {D(CONSUME), D(REJECT), D(REJECT)}, 1},
			{2, {{DO_CONSUME, 2, 0}, D(REJECT), D(ACK)}, 1}},
		.mixes = true,
		.activities_max = 13,
		.states_min = 850,
	},
	{
		.name = "where the queue may move to who rejects",
		LETTERS(2, 2, 1),
		.owner = {0, 0},
		.consumer = {ACKS(2)},
		.client = {{0, {PUB, PUB, D(DELETE)}}, {1, {D(CONSUME), D(REJECT), D(CANCEL), D(REJECT)}}},
		.drops = true,
		.activities_max = 14,
		.states_min = 400,
	},
	{
		.name = "rejected and deleted, at any moment",
		LETTERS(2, 2, 2),
		.owner = {0, 1},
		.consumer = {ACKS(3), ACKS(0)},
		.client = {{0, {STAY, PUB, PUB, D(DELETE)}, 4}, {1, {D(CONSUME), D(REJECT), D(REJECT)}, 1}},
		.drops = true,
		.activities_max = 8,
		.preemptions_max = 1,
		.states_min = 12000,
	},
};

/* What the code would do wrong without one of its rules (tests/interleave/bugs). */
static const char *const bugs[] = {"call_overtakes", "late_record_seems_stalled", "message_of_no_queue_kept",
	"move_does_not_drain", "move_with_deliveries_out", "fence_is_no_fence", "flows_on_after_refusal",
	"credit_read_too_early", "returned_as_unseen", "letters_beyond_their_room",
	"letter_that_waits_is_lost", "letter_without_an_address"};

static void bug(void *name)
{
	plant(name);
	for (unsigned i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct turns_result r;
		turns_explore(world_model(&scenes[i]), false, &r);
		if (!r.found)
			continue;
		report(true, name, "is found by '%s': %s", scenes[i].name, r.what);
		return;
	}
	report(false, name, "is not found");
}

static void run_one(const struct scene *s)
{
	struct turns_result r;
	double began = report_seconds();

	turns_explore(world_model(s), true, &r);
	report(!r.found && r.states >= s->states_min, s->name,
		"%llu states, %llu steps, %llu ends, %.1f s%s%s", (unsigned long long)r.states,
		(unsigned long long)r.steps, (unsigned long long)r.ends, report_seconds() - began,
		r.found ? ": " : "", r.what);
}

int main(int argc, char **argv)
{
	for (unsigned i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct scene s = scenes[i];
		if (argc > 1 && strcmp(argv[1], s.name))
			continue;
		if (argc > 2)
			s.activities_max = (unsigned)atoi(argv[2]);
		if (argc > 3)
			s.preemptions_max = (unsigned)atoi(argv[3]);
		run_one(&s);
	}
	for (unsigned i = 0; i < sizeof(bugs) / sizeof(bugs[0]) && argc == 1; i++)
		report_apart(bug, (void *)(uintptr_t)bugs[i]);
	return report_end();
}
