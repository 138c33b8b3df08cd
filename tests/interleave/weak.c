/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/weak_inside.h"

#include <stdio.h>
#include <string.h>

struct weak_state w;

/* Orders */

unsigned weak_places(const struct weak_place **out)
{
	*out = w.places;
	return w.place_count;
}

void weak_weaken(const void *from, bool failed)
{
	w.weakened.from = from;
	w.weakened.failed = failed;
}

static void note_place(struct op *op)
{
	unsigned i = 0;

	if (op->order == __ATOMIC_RELAXED && op->order_failed == __ATOMIC_RELAXED)
		return;
	while (i < w.place_count && w.places[i].from != op->from)
		i++;
	if (i == w.place_count && i < WEAK_PLACES_MAX)
		w.places[w.place_count++] = (struct weak_place){op->from, op->order, op->order_failed};
	if (w.weakened.from != op->from)
		return;
	if (w.weakened.failed)
		op->order_failed = __ATOMIC_RELAXED;
	else
		op->order = __ATOMIC_RELAXED;
}

/* Faults */

static void trace_print(void)
{
	static const char *const kinds[] = {"load", "store", "exchange", "add", "sub", "and", "or", "xor",
		"swap if", "fence", "lock", "unlock"};

	for (unsigned i = 0; i < w.step_count; i++) {
		const struct step *s = &w.steps[i];
		printf("# %u: thread %u %-8s %p %s%llx -> %llx  %s\n", i, s->thread, kinds[s->op.kind],
			(const void *)s->op.at, s->stale ? "(stale) " : "", (unsigned long long)s->op.before,
			(unsigned long long)op_result(&s->op, s->op.before), place_text(s->op.from));
	}
}

void weak_failed(const char *what)
{
	struct weak_result *r = w.result;

	machine = (struct machine){0};
	r->found = true;
	snprintf(r->what, sizeof(r->what), "%s", what);
	if (w.verbose) {
		printf("# %s: %s\n", w.scenario->name, what);
		trace_print();
	}
	_longjmp(w.given_up, 1);
}

void weak_raced(const struct race *r)
{
	char text[512];

	snprintf(text, sizeof(text), "race of thread %u %s with %s of thread %u", w.running,
		place_text(r->from), r->of, r->other);
	weak_failed(text);
}

/* Choosing */

static struct choice *choice_new(void)
{
	if (w.choice_count == CHOICES_MAX)
		weak_failed("an execution has too many choices");
	return &w.choices[w.choice_count++];
}

uint8_t weak_choose_store(const uint8_t *options, unsigned count)
{
	struct choice *c = &w.choices[w.choice_at];

	if (w.choice_at++ == w.choice_count) {
		c = choice_new();
		*c = (struct choice){.count = (uint8_t)count};
		memcpy(c->options, options, count);
	}
	return c->options[c->at];
}

static bool choice_moves_on(struct choice *c)
{
	if (!c->of_thread)
		return ++c->at < c->count;
	c->done |= (uint8_t)(1u << c->at);
	uint8_t left = c->todo & (uint8_t) ~(c->done | c->sleeping);
	if (left)
		c->at = (uint8_t)__builtin_ctz(left);
	return left != 0;
}

/* The next way through; false: there is none. */
static bool choices_next(void)
{
	while (w.choice_count > 0) {
		if (choice_moves_on(&w.choices[w.choice_count - 1]))
			return true;
		w.choice_count--;
	}
	return false;
}

/* Whose turn it is */

static bool enabled(const struct thread *t)
{
	if (t->state == THREAD_ENDED)
		return false;
	return t->next->kind != OP_LOCK || !t->next->operand || *t->next->at == 0;
}

static bool independent(const struct op *a, const struct op *b)
{
	bool fences = a->kind == OP_FENCE || b->kind == OP_FENCE;

	if (a->order == __ATOMIC_SEQ_CST && b->order == __ATOMIC_SEQ_CST)
		return false;
	return fences || a->at != b->at || (a->kind == OP_LOAD && b->kind == OP_LOAD);
}

/* What is about to be done could have been done before a step that it depends on: that is to be tried. */
static void revisit(unsigned thread, const struct op *op)
{
	const struct clock *known = &w.threads[thread].depends;

	for (unsigned i = w.step_count; i-- > 0;) {
		const struct step *s = &w.steps[i];
		if (s->thread == thread || independent(&s->op, op) ||
			s->depends.at[s->thread] <= known->at[s->thread])
			continue;
		struct choice *c = &w.choices[s->choice];
		c->todo |= c->enabled >> thread & 1 ? (uint8_t)(1u << thread) : c->enabled;
	}
}

static void depend(struct step *s, const struct op *op)
{
	struct clock *known = &w.threads[s->thread].depends;

	for (const struct step *before = w.steps; before < s; before++)
		if (!independent(&before->op, op))
			clock_join(known, &before->depends);
	known->at[s->thread]++;
	s->depends = *known;
}

static uint8_t enabled_now(unsigned before)
{
	const struct weak_scenario *s = w.scenario;
	uint8_t mask = 0;

	for (unsigned i = 0; i < s->threads; i++)
		if (enabled(&w.threads[i]))
			mask |= (uint8_t)(1u << i);
	if (s->preemptions_max && before < THREADS && mask >> before & 1 &&
		w.preemptions >= s->preemptions_max)
		mask = (uint8_t)(1u << before);
	return mask;
}

static void choose_thread_anew(unsigned before, uint8_t may, uint8_t sleeping)
{
	uint8_t awake = may & (uint8_t)~sleeping;
	struct choice *c = choice_new();

	*c = (struct choice){.of_thread = true, .enabled = may, .sleeping = sleeping};
	c->at = (uint8_t)(before < THREADS && awake >> before & 1 ? before : (unsigned)__builtin_ctz(awake));
	c->todo = w.scenario->preemptions_max ? may : (uint8_t)(1u << c->at);
}

/* Who goes on: any that may, but for those that sleep. THREADS: nobody. */
static unsigned next_thread(unsigned before, uint8_t *sleeping)
{
	uint8_t may = enabled_now(before);

	if ((may & ~*sleeping) == 0)
		return THREADS;
	if (w.choice_at == w.choice_count)
		choose_thread_anew(before, may, *sleeping);
	const struct choice *c = &w.choices[w.choice_at++];
	w.preemptions += before < THREADS && may >> before & 1 && c->at != before;
	if (w.scenario->preemptions_max)
		return c->at;
	*sleeping |= c->done;
	for (unsigned i = 0; i < w.scenario->threads; i++)
		if (*sleeping >> i & 1 && !independent(w.threads[i].next, w.threads[c->at].next))
			*sleeping &= (uint8_t) ~(1u << i);
	return c->at;
}

static void perform(struct op *op)
{
	if (w.step_count == STEPS_MAX)
		weak_failed("an execution does not end");
	struct step *step = &w.steps[w.step_count];
	*step = (struct step){.thread = (uint8_t)w.running, .op = *op, .choice = w.choice_at - 1};
	revisit(w.running, op);
	depend(step, op);
	w.step_count++;
	weak_do(op);
	step->op = *op;
}

/* A location that no other thread ever touches. */
static bool own(const struct op *op)
{
	uint32_t i = address_hash(op->at);

	for (;; i++) {
		struct owned *o = &w.owned[i % LOCATIONS_MAX];
		if (!o->at)
			*o = (struct owned){op->at, (uint8_t)w.running, false};
		if (o->at != op->at)
			continue;
		if (!o->shared && o->thread != w.running) {
			o->shared = w.anew = true;
			machine = (struct machine){0};
			_longjmp(w.given_up, 1);
		}
		return !o->shared;
	}
}

/* Threads */

static void on_plain(const void *at, size_t bytes, bool write, const void *from)
{
	struct race race;

	if (clock_plain(at, bytes, write, w.running, &me()->now, &race)) {
		race.from = from;
		weak_raced(&race);
	}
	if (write)
		weak_written(at, bytes);
}

static void on_atomic(struct op *op)
{
	struct thread *t = me();

	if (!arena_holds(op->at) && op->kind != OP_FENCE) {
		op_do(op);
		return;
	}
	note_place(op);
	if (op->kind != OP_FENCE && own(op)) {
		weak_do(op);
		return;
	}
	t->next = op;
	if (_setjmp(t->place) == 0)
		_longjmp(w.main, 1);
}

static void thread_main(void)
{
	w.scenario->run(w.running);
	me()->state = THREAD_ENDED;
	me()->next = NULL;
	_longjmp(w.main, 1);
}

static void thread_start(unsigned i)
{
	struct thread *t = &w.threads[i];

	t->state = THREAD_STOPS;
	t->entered = false;
	t->next = NULL;
	t->now = t->fence_released = t->fence_acquiring = t->depends = (struct clock){0};
	t->now.at[i] = 1;
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK_BYTES;
	t->context.uc_link = NULL;
	makecontext(&t->context, thread_main, 0);
}

static const struct machine running = {.atomic = on_atomic, .plain = on_plain, .failed = weak_failed};

/* Until its next operation, which is not done yet, or its end. */
static void thread_go(unsigned i)
{
	struct thread *t = &w.threads[i];

	w.running = i;
	machine = running;
	if (_setjmp(w.main) == 0) {
		if (t->entered)
			_longjmp(t->place, 1);
		t->entered = true;
		setcontext(&t->context);
	}
	machine = (struct machine){.failed = weak_failed};
}

static bool all_ended(void)
{
	for (unsigned i = 0; i < w.scenario->threads; i++)
		if (w.threads[i].state != THREAD_ENDED)
			return false;
	return true;
}

static bool may_any(void)
{
	for (unsigned i = 0; i < w.scenario->threads; i++)
		if (enabled(&w.threads[i]))
			return true;
	return false;
}

/* True where it came to its end. */
static bool threads_run(void)
{
	uint8_t sleeping = 0;
	unsigned at = THREADS;

	for (unsigned i = 0; i < w.scenario->threads; i++) {
		thread_start(i);
		thread_go(i);
	}
	while ((at = next_thread(at, &sleeping)) < THREADS) {
		w.running = at;
		perform(w.threads[at].next);
		thread_go(at);
	}
	if (all_ended())
		return true;
	if (!may_any())
		weak_failed("the threads wait for each other");
	for (unsigned i = 0; i < w.scenario->threads; i++)
		if (w.threads[i].state != THREAD_ENDED)
			revisit(i, w.threads[i].next);
	w.result->cut++;
	return false;
}

static void execution(void)
{
	w.execution++;
	clock_begin(w.execution);
	w.step_count = w.choice_at = w.preemptions = 0;
	memcpy(arena_base(), w.kept, w.kept_bytes);
	machine = (struct machine){.failed = weak_failed};
	/* A fault comes back here. */
	if (_setjmp(w.given_up))
		return;
	if (!threads_run())
		return;
	w.result->executions++;
	if (w.scenario->check)
		w.scenario->check();
}

static void begin(const struct weak_scenario *s, struct weak_result *out)
{
	if (!w.choices) {
		w.choices = machine_memory(CHOICES_MAX * sizeof(*w.choices));
		w.locations = machine_memory(LOCATIONS_MAX * sizeof(*w.locations));
		w.owned = machine_memory(LOCATIONS_MAX * sizeof(*w.owned));
		for (unsigned i = 0; i < THREADS; i++)
			w.threads[i].stack = machine_memory(STACK_BYTES);
		w.kept = machine_memory(64 << 20);
	}
	w.scenario = s;
	w.result = out;
	w.choice_count = 0;
	memset(w.owned, 0, LOCATIONS_MAX * sizeof(*w.owned));
	*out = (struct weak_result){0};
	machine = (struct machine){0};
	arena_reset();
	s->setup();
	w.kept_bytes = arena_bytes();
	memcpy(w.kept, arena_base(), w.kept_bytes);
}

void weak_explore(const struct weak_scenario *s, bool verbose, struct weak_result *out)
{
	w.verbose = verbose;
	begin(s, out);
	do {
		execution();
		while (w.anew) {
			w.anew = false;
			w.choice_count = 0;
			*out = (struct weak_result){0};
			execution();
		}
	} while (!out->found && choices_next());
	machine = (struct machine){0};
}
