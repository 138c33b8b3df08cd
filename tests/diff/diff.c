/* SPDX-License-Identifier: Apache-2.0 */
/* The same random segments and calls to Linux's TCP and to the stack, and everything compared on which the
 * RFCs leave no freedom (freedoms.def has what is left out):
 *
 *   diff DEVICE [--seeds N] [--seed FIRST] [--seconds S] [--min EXCHANGES] [--plant NAME]
 *   [--verbose]
 *   diff --plants        names of wrong behaviour that a comparison must find
 *
 * A seed is a conversation; the same seed repeats it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tcpstack/tcp_seq.h"
#include "tests/diff/exchange.h"

enum { EXCHANGES_MAX = 60, SLOW_US = 500000, TRIES = 5, WRITES_MAX = 3, STATES = 11 };

static const struct {
	const char *name, *clause, *why;
	unsigned free;
} freedoms[FREEDOMS] = {
#define FREEDOM(name, free, clause, why) [FREEDOM_##name] = {#name, clause, why, free},
#include "tests/diff/freedoms.def"
};

static const char *const states[STATES] = {"none", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
	"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT", NULL};

static struct {
	unsigned long conversations, exchanges, slow, freedom[FREEDOMS], state[STATES];
	unsigned char met[STATES][64];
} counts;
static bool verbose;
static struct side_ops *const sides[2] = {&linux_side, &stack_side};

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* What one side did in one exchange. */
struct seen {
	unsigned resets, syn_acks;
	bool acked, sent_data;
	struct answer reset;
	const char *state;
};

static struct seen look(const struct side_ops *ops)
{
	struct seen seen = {.state = ops->state()};

	for (unsigned i = 0; i < ops->side.answers_n; i++) {
		const struct answer *a = &ops->side.answers[i];
		if (a->flags & RST) {
			seen.resets++;
			seen.reset = *a;
		} else if ((a->flags & (SYN | ACK)) == (SYN | ACK)) {
			seen.syn_acks++;
		} else if (a->len || (a->flags & FIN)) {
			seen.sent_data = true;
		} else if (!(a->flags & SYN)) {
			seen.acked = true;
		}
	}
	return seen;
}

/* RFC 9293 section 3.10.7.1: with an ACK in the segment the reset's number is from there. */
static bool resets_differ(const struct exchange *x, const struct answer *a, const struct answer *b)
{
	bool relative = (x->segment.flags & ACK) && !x->segment.ack_absolute;
	uint32_t a_seq = a->seq - (relative ? sides[0]->side.isn : 0);
	uint32_t b_seq = b->seq - (relative ? sides[1]->side.isn : 0);

	return a_seq != b_seq || ((a->flags ^ b->flags) & ACK) || ((a->flags & ACK) && a->ack != b->ack);
}

/* All that was written fits what the peer has told, and nothing has slowed the sender: then it is sent. */
static bool all_is_sent(const struct conversation *c)
{
	const struct side *s = &sides[0]->side;

	return (!strcmp(c->state, "ESTABLISHED") || !strcmp(c->state, "CLOSE-WAIT") || c->shut ||
		       c->closed) &&
	       !c->unsure && c->dup_acks < 2 && c->writes <= WRITES_MAX && !sides[0]->side.resent &&
	       !sides[1]->side.resent && seq_lt(1 + s->written + 1, c->edge);
}

static unsigned free_of(const struct exchange *x)
{
	unsigned free = 0;

	for (unsigned i = 0; i < FREEDOMS; i++)
		free |= x->freedoms >> i & 1 ? freedoms[i].free : 0;
	return free;
}

/* NULL, or what the two do not agree on. */
static const char *differs(
	const struct conversation *c, const struct exchange *x, const struct seen *a, const struct seen *b)
{
	const struct side *l = &sides[0]->side, *s = &sides[1]->side;
	unsigned free = free_of(x);

	if (!(free & FREE_RESET) && !a->resets != !b->resets)
		return "whether a reset is sent";
	if (!(free & FREE_NUMBERS) && a->resets && b->resets && !x->is_act &&
		resets_differ(x, &a->reset, &b->reset))
		return "the reset's numbers";
	if (!(free & FREE_SYN_ACK) && !a->syn_acks != !b->syn_acks)
		return "whether a SYN-ACK is sent";
	if (!(free & FREE_ANSWER) && !a->sent_data && !b->sent_data && a->acked != b->acked)
		return "whether an acknowledgement is sent";
	if (!(free & FREE_ACKED) && (l->has_acked != s->has_acked || (l->has_acked && l->acked != s->acked)))
		return "the acknowledgement number";
	if (free & FREE_REST)
		return NULL;
	if (strcmp(a->state, b->state))
		return "the state";
	if (l->wrong || s->wrong)
		return "a byte on its way";
	if (l->delivered != s->delivered)
		return "the bytes delivered";
	if (l->open && !c->closed && (l->eof != s->eof || l->reset != s->reset))
		return "how it ended for the application";
	if (all_is_sent(c) && l->snd_max != s->snd_max)
		return "what was sent";
	if (seq_lt(c->edge_max + 1, s->snd_max) && seq_lt(c->edge_max + 1, l->snd_max) == false)
		return "something sent beyond the peer's window";
	return NULL;
}

static void exchange_do(const struct conversation *c, const struct exchange *x)
{
	uint8_t frame[FRAME_BYTES_MAX];

	for (int i = 0; i < 2; i++) {
		if (x->again)
			sides[i]->again();
		sides[i]->side.answers_n = 0;
		if (x->is_act)
			sides[i]->act(x->act, x->bytes);
		else
			sides[i]->inject(frame, segment_frame(&x->segment, &sides[i]->side, frame));
		sides[i]->settle();
	}
}

static void exchange_print(FILE *out, const struct conversation *c, const struct exchange *x,
	const struct seen *a, const struct seen *b)
{
	static const char *const acts[ACTS] = {"write", "shutdown", "close", "abort"};

	fprintf(out, "  %s: %s", c->state, x->name);
	if (x->is_act)
		fprintf(out, ": %s %u\n", acts[x->act], x->bytes);
	else
		putc('\n', out), segment_print(out, &x->segment, c->isn);
	for (int i = 0; i < 2; i++)
		answers_print(out, &sides[i]->side, c->isn);
	fprintf(out, "    linux %s, delivered %u%s%s; stack %s, delivered %u%s%s", a->state,
		linux_side.side.delivered, linux_side.side.eof ? " eof" : "",
		linux_side.side.reset ? " reset" : "", b->state, stack_side.side.delivered,
		stack_side.side.eof ? " eof" : "", stack_side.side.reset ? " reset" : "");
	for (unsigned i = 0; i < FREEDOMS; i++)
		fprintf(out, "%s%s", x->freedoms >> i & 1 ? "; freedom: " : "",
			x->freedoms >> i & 1 ? freedoms[i].name : "");
	putc('\n', out);
}

static unsigned state_index(const char *name)
{
	unsigned i = 0;

	while (states[i] && strcmp(states[i], name))
		i++;
	return i;
}

static void count(const struct conversation *c, const struct exchange *x)
{
	unsigned state = state_index(c->state);

	counts.exchanges++;
	for (unsigned i = 0; i < FREEDOMS; i++)
		counts.freedom[i] += x->freedoms >> i & 1;
	counts.state[state]++;
	counts.met[state][exchange_kind(x->name)] = 1;
}

enum outcome { AGREE, DIFFER, TOO_SLOW };

/* The kernel may leave an answer to its thread for softirqs, which a busy machine lets wait. */
static bool answer_was_late(const struct conversation *c, const struct exchange *x, const struct seen *stack)
{
	enum { LATE_US = 20000 };

	usleep(LATE_US);
	linux_side.settle();
	struct seen a = look(&linux_side);
	return !differs(c, x, &a, stack);
}

/* One conversation. Too slow: the kernel's timers may have run out in between, and nothing was compared. */
static enum outcome converse(uint64_t seed, FILE *out)
{
	struct conversation c;
	const char *difference = NULL;
	uint64_t began_us = clock_us();
	bool too_slow = false;

	conversation_begin(&c, seed);
	for (int i = 0; i < 2; i++) {
		sides[i]->begin(c.addr, c.port, c.active);
		sides[i]->settle();
		sides[i]->state();
	}
	if (c.active)
		c.state = "SYN-SENT";
	unsigned n = 5 + conversation_random(&c, EXCHANGES_MAX - 5);
	for (unsigned i = 0; i < n && !difference; i++) {
		const char *state = c.state;
		struct exchange x = exchange_next(&c, &linux_side.side, &stack_side.side);
		exchange_do(&c, &x);
		struct seen a = look(&linux_side), b = look(&stack_side);
		difference = differs(&c, &x, &a, &b);
		too_slow = clock_us() - began_us > SLOW_US || (difference && answer_was_late(&c, &x, &b));
		if (too_slow)
			break;
		c.state = state;
		count(&c, &x);
		exchange_print(out, &c, &x, &a, &b);
		if (free_of(&x) & FREE_REST)
			break;
		c.state = a.state;
	}
	if (difference && !too_slow)
		fprintf(out, "  differs: %s\n", difference);
	for (int i = 0; i < 2; i++)
		sides[i]->end();
	return too_slow ? TOO_SLOW : difference ? DIFFER : AGREE;
}

static enum outcome converse_in_time(uint64_t seed)
{
	enum outcome outcome = TOO_SLOW;
	char *text = NULL;
	size_t n;

	for (int i = 0; i < TRIES && outcome == TOO_SLOW; i++) {
		FILE *out = open_memstream(&text, &n);
		outcome = converse(seed, out);
		fclose(out);
		if (outcome == DIFFER)
			printf("# seed %llu: the two differ:\n", (unsigned long long)seed);
		if (verbose || outcome == DIFFER)
			fputs(text, stdout);
		free(text);
		counts.slow += outcome == TOO_SLOW;
	}
	return outcome;
}

static void report(uint64_t first, uint64_t next)
{
	unsigned met = 0;

	for (unsigned i = 0; i < STATES; i++)
		for (unsigned j = 0; j < exchange_kinds(); j++)
			met += counts.met[i][j];
	printf("# %lu exchanges compared in %lu conversations, seeds %llu to %llu; %u pairs of state and "
	       "kind; "
	       "%lu conversations again, they took too long\n",
		counts.exchanges, counts.conversations, (unsigned long long)first,
		(unsigned long long)next - 1, met, counts.slow);
	for (unsigned i = 0; states[i]; i++)
		printf("# %s: %lu\n", states[i], counts.state[i]);
	for (unsigned i = 0; i < FREEDOMS; i++)
		printf("# not compared: %s: %lu times: %s (%s)\n", freedoms[i].name, counts.freedom[i],
			freedoms[i].why, freedoms[i].clause);
#define AVOIDED(name, clause, why) printf("# avoided: %s: %s (%s)\n", #name, why, clause);
#include "tests/diff/freedoms.def"
}

/* Every state was there, and many exchanges. */
static bool enough(uint64_t min)
{
	bool all = counts.exchanges >= min;

	if (!all)
		printf("# too few exchanges\n");
	for (unsigned i = 0; min && states[i]; i++)
		if (!counts.state[i]) {
			printf("# never in %s\n", states[i]);
			all = false;
		}
	return all;
}

struct options {
	uint64_t first, seeds, seconds, min; /* min: so many exchanges, or the run says nothing */
};

static bool options_read(struct options *o, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(argv[i], "--verbose"))
			verbose = true;
		else if (!strcmp(argv[i], "--seed"))
			o->first = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--seeds"))
			o->seeds = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--seconds"))
			o->seconds = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--min"))
			o->min = strtoull(value, NULL, 0), i++;
		else if (!strcmp(argv[i], "--plant") && stack_plant(value))
			i++;
		else
			return false;
	}
	return argc > 1;
}

int main(int argc, char **argv)
{
	struct options o = {.first = 1, .seeds = UINT64_MAX, .seconds = UINT64_MAX / 2000000};
	uint64_t seed, began_us = clock_us();

	if (argc == 2 && !strcmp(argv[1], "--plants")) {
		stack_plants_print();
		return 0;
	}
	if (!options_read(&o, argc, argv)) {
		fprintf(stderr,
			"usage: diff DEVICE [--seeds N] [--seed FIRST] [--seconds S] [--min EXCHANGES] "
			"[--plant NAME] "
			"[--verbose]\n");
		return 2;
	}
	stack_start();
	if (!linux_start(argv[1]))
		return 2;
	for (seed = o.first; seed - o.first < o.seeds && clock_us() - began_us < o.seconds * 1000000;
		seed++) {
		counts.conversations++;
		if (converse_in_time(seed) != DIFFER)
			continue;
		report(o.first, seed + 1);
		return 1;
	}
	report(o.first, seed);
	return !enough(o.min);
}
