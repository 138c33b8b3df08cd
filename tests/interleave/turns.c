/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/turns.h"

#include "tests/interleave/undo.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum {
	ACTORS = TURNS_ACTORS_MAX,
	STACK_BYTES = 128 * 1024,
	KEPT_BYTES = 16 * 1024, /* of a stack that stops */
	DEPTH_MAX = 512,
	SEEN_MAX = 1 << 24, /* a power of two */
	OWNED_MAX = 1 << 14,
	PLACES_MAX = 256,
	LOOK_EVERY = 4096, /* steps after which all memory is looked at for a write that was not told of */
};

/* An actor in the middle of an activity. */
struct actor {
	bool stops;
	uint8_t activity;
	const uint64_t *lock; /* that it waits for */
	jmp_buf place;
	size_t kept_bytes;
	uint8_t kept[KEPT_BYTES]; /* the end of its stack */
};

struct step {
	uint8_t activity;
	bool goes_on;
	const void *stopped_at;
};

/* A word is one actor's until another one comes. */
struct owned {
	const void *at;
	uint8_t actor;
	bool shared;
};

/* Where the code has atomic operations. */
struct place {
	const void *from;
	bool stops;
};

struct seen {
	uint64_t hash;
	uint8_t left; /* activities that could still be begun, and one */
};

static struct {
	const struct turns_model *model;
	struct turns_result *result;
	bool verbose, anew;
	struct actor *actors; /* as they stand */
	struct actor *before; /* by depth: the one that was moved, as it stood */
	uint8_t *stacks[ACTORS];
	ucontext_t entry;
	jmp_buf main, given_up;
	unsigned running;
	struct seen *seen;
	uint64_t seen_count;
	struct owned *owned;
	struct place places[PLACES_MAX];
	unsigned place_count;
	struct step steps[DEPTH_MAX];
	unsigned depth;
} t;

static void failed(const char *what)
{
	struct turns_result *r = t.result;

	machine = (struct machine){0};
	r->found = true;
	snprintf(r->what, sizeof(r->what), "%s", what);
	if (t.verbose) {
		printf("# %s: %s\n", t.model->name, what);
		for (unsigned i = 0; i < t.depth; i++)
			printf("# %u: %s%s%s%s\n", i, t.model->text(t.steps[i].activity),
				t.steps[i].goes_on ? " goes on" : "",
				t.steps[i].stopped_at ? ", stops before " : "",
				t.steps[i].stopped_at ? place_text(t.steps[i].stopped_at) : "");
	}
	_longjmp(t.given_up, 1);
}

/* Activities */

static uint32_t hash_of(const void *at)
{
	return (uint32_t)(((uintptr_t)at >> 1) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static bool own(const void *at)
{
	for (uint32_t i = hash_of(at);; i++) {
		struct owned *o = &t.owned[i % OWNED_MAX];
		if (!o->at)
			*o = (struct owned){at, (uint8_t)t.running, false};
		if (o->at != at)
			continue;
		if (!o->shared && o->actor != t.running) {
			o->shared = t.anew = true;
			machine = (struct machine){0};
			_longjmp(t.given_up, 1);
		}
		return !o->shared;
	}
}

static bool stops_at(const void *from)
{
	unsigned i = 0;

	while (i < t.place_count && t.places[i].from != from)
		i++;
	if (i == t.place_count) {
		if (i == PLACES_MAX)
			failed("room for more places");
		t.places[t.place_count++] = (struct place){from, t.model->stops_at(place_text(from))};
	}
	return t.places[i].stops;
}

/* Where it stands: the stack from here on is kept. */
static __attribute__((noinline)) void stop(void)
{
	struct actor *a = &t.actors[t.running];
	uint8_t *here = __builtin_frame_address(0), *end = t.stacks[t.running] + STACK_BYTES;

	/* Below the frame lie what the compiler saves. */
	here -= 512;
	a->kept_bytes = (size_t)(end - here);
	if (a->kept_bytes > KEPT_BYTES)
		failed("room for a stack that stops");
	a->stops = true;
	if (_setjmp(a->place) == 0) {
		memcpy(a->kept, here, a->kept_bytes);
		_longjmp(t.main, 1);
	}
}

static void on_atomic(struct op *op)
{
	if (!arena_holds(op->at)) {
		op_do(op);
		return;
	}
	if (t.model->preemptions_max && op->kind != OP_FENCE && stops_at(op->from) && !own(op->at)) {
		t.steps[t.depth - 1].stopped_at = op->from;
		stop();
		t.steps[t.depth - 1].stopped_at = NULL;
	}
	while (op->kind == OP_LOCK && op->operand && *op->at) {
		t.actors[t.running].lock = op->at;
		stop();
	}
	t.actors[t.running].lock = NULL;
	if (op->kind != OP_LOAD && op->kind != OP_FENCE)
		undo_write(op->at, op->bytes, true, NULL);
	op_do(op);
}

static void on_atomic_whole(struct op *op)
{
	if (op->kind != OP_LOAD && op->kind != OP_FENCE && arena_holds(op->at))
		undo_write(op->at, op->bytes, true, NULL);
	op_do(op);
}

static const struct machine acting = {
	.atomic = on_atomic, .plain = undo_write, .failed = failed, .inner = undo_write};

static void actor_main(void)
{
	t.model->act(t.actors[t.running].activity);
	t.actors[t.running].stops = false;
	_longjmp(t.main, 1);
}

static void actor_begin(unsigned actor)
{
	getcontext(&t.entry);
	t.entry.uc_stack.ss_sp = t.stacks[actor];
	t.entry.uc_stack.ss_size = STACK_BYTES;
	t.entry.uc_link = NULL;
	makecontext(&t.entry, actor_main, 0);
	setcontext(&t.entry);
}

static void actor_goes(unsigned actor)
{
	struct actor *a = &t.actors[actor];

	t.running = actor;
	machine = acting;
	if (_setjmp(t.main) == 0) {
		if (!a->stops)
			actor_begin(actor);
		memcpy(t.stacks[actor] + STACK_BYTES - a->kept_bytes, a->kept, a->kept_bytes);
		_longjmp(a->place, 1);
	}
	machine = (struct machine){.failed = failed};
}

/* States */

static uint64_t state_hash(void)
{
	uint64_t h = undo_hash();

	for (unsigned i = 0; i < ACTORS; i++) {
		const struct actor *a = &t.actors[i];
		h = (h ^ (a->stops ? a->activity + 1 : 0)) * UINT64_C(0x9e3779b97f4a7c15);
		for (size_t k = 0; a->stops && k + 8 <= a->kept_bytes; k += 8)
			h = (h ^ op_value(a->kept + k, 8)) * UINT64_C(0x9e3779b97f4a7c15), h ^= h >> 31;
	}
	return h;
}

/* True where it was met with as much left to do. */
static bool met(uint64_t hash, unsigned left)
{
	hash |= 1;
	for (uint64_t i = hash >> 20;; i++) {
		struct seen *s = &t.seen[i % SEEN_MAX];
		if (s->hash == hash && s->left > left)
			return true;
		if (s->hash && s->hash != hash)
			continue;
		if (!s->hash && ++t.seen_count > SEEN_MAX / 4 * 3)
			failed("room for more states");
		t.result->states += !s->hash;
		*s = (struct seen){hash, (uint8_t)(left + 1)};
		return false;
	}
}

static bool any_stops(void)
{
	for (unsigned i = 0; i < ACTORS; i++)
		if (t.actors[i].stops)
			return true;
	return false;
}

/* Those that stand go on, then everything goes on in a fair order, and the end is looked at. */
static void end(void)
{
	static struct actor kept[ACTORS];
	struct undo_mark m = undo_mark();
	unsigned depth = t.depth;

	t.result->ends++;
	memcpy(kept, t.actors, sizeof(kept));
	for (unsigned i = 0; any_stops(); i = (i + 1) % ACTORS) {
		t.depth = depth + 1;
		t.steps[depth] = (struct step){t.actors[i].activity, true, NULL};
		if (t.actors[i].stops)
			actor_goes(i);
	}
	t.depth = depth;
	machine = (struct machine){
		.atomic = on_atomic_whole, .plain = undo_write, .inner = undo_write, .failed = failed};
	t.model->finish();
	machine = (struct machine){.failed = failed};
	memcpy(t.actors, kept, sizeof(kept));
	undo_back(m);
}

/* last: who was moved last. */
static void explore(unsigned left, unsigned preemptions, unsigned last);

static void step(unsigned activity, unsigned actor, unsigned left, unsigned preemptions)
{
	struct undo_mark m = undo_mark();
	struct actor *a = &t.actors[actor];

	if (t.depth + 2 >= DEPTH_MAX)
		failed("the way is too long");
	t.before[t.depth] = *a;
	t.steps[t.depth++] = (struct step){(uint8_t)activity, a->stops, NULL};
	t.result->steps++;
	a->activity = (uint8_t)activity;
	actor_goes(actor);
	undo_hash();
	if (t.result->steps % LOOK_EVERY == 0 && !undo_holds())
		failed("a write that nobody told of");
	explore(left, preemptions, actor);
	*a = t.before[--t.depth];
	undo_back(m);
}

static void others(unsigned left, unsigned preemptions, unsigned last)
{
	const struct turns_model *m = t.model;
	bool went = false;

	for (unsigned i = 0; i < ACTORS; i++) {
		if (i == last || !t.actors[i].stops)
			continue;
		went = true;
		step(t.actors[i].activity, i, left, preemptions);
	}
	for (unsigned i = 0; left > 0 && i < m->activities; i++) {
		unsigned actor = m->actor_of(i);
		if (t.actors[actor].stops || !m->may(i))
			continue;
		went = true;
		step(i, actor, left - 1, preemptions);
	}
	if (!went && !any_stops())
		end();
}

static void explore(unsigned left, unsigned preemptions, unsigned last)
{
	const uint64_t *lock = t.actors[last].lock;
	bool stands = t.actors[last].stops && !(lock && *lock);

	if (met(state_hash() ^ (preemptions << 8 | (stands ? last + 1 : 0)) * UINT64_C(0x9e3779b97f4a7c15),
		    left))
		return;
	if (!any_stops() && t.model->quiet()) {
		end();
		return;
	}
	if (stands)
		step(t.actors[last].activity, last, left, preemptions);
	if (!stands || preemptions > 0)
		others(left, preemptions - stands, last);
}

static void memory_take(void)
{
	if (t.actors)
		return;
	t.actors = machine_memory(ACTORS * sizeof(*t.actors));
	t.before = machine_memory(DEPTH_MAX * sizeof(*t.before));
	t.seen = machine_memory(SEEN_MAX * sizeof(*t.seen));
	t.owned = machine_memory(OWNED_MAX * sizeof(*t.owned));
	for (unsigned i = 0; i < ACTORS; i++)
		t.stacks[i] = machine_memory(STACK_BYTES);
}

static void begin(const struct turns_model *m, struct turns_result *out)
{
	struct turns_range ignored[32];

	t.model = m;
	t.result = out;
	t.depth = 0;
	t.anew = false;
	*out = (struct turns_result){0};
	memset(t.actors, 0, ACTORS * sizeof(*t.actors));
	if (t.seen_count)
		madvise(t.seen, SEEN_MAX * sizeof(*t.seen), MADV_DONTNEED); /* zeroes */
	t.seen_count = 0;
	machine = (struct machine){0};
	arena_reset();
	m->setup();
	undo_begin(ignored, m->ignored(ignored, 32));
}

void turns_explore(const struct turns_model *m, bool verbose, struct turns_result *out)
{
	memory_take();
	memset(t.owned, 0, OWNED_MAX * sizeof(*t.owned));
	t.verbose = verbose;
	do {
		begin(m, out);
		if (_setjmp(t.given_up) == 0)
			explore(m->activities_max, m->preemptions_max, 0);
		machine = (struct machine){0};
	} while (t.anew);
}
