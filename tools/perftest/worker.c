/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_US = 1000000, WORDS_BYTES = 240 };

void worker_init(struct worker *w, struct run *run, struct loop *loop, bool pub, unsigned index,
	const struct client_app *app)
{
	char queue[PERFTEST_NAME_BYTES];

	w->run = run;
	w->loop = loop;
	w->pub = pub;
	w->index = index;
	client_init(&w->client, app, &run->machine.login, w);
	perftest_control_name(&run->options, w->control);
	perftest_worker_name(&run->options, pub, index, queue);
	script_consume(&w->client.setup, queue, "control", true);
	w->client.setup.channel = WORKER_SAY_CHANNEL;
	script_channel_open(&w->client.setup);
	w->client.setup.channel = 0;
}

void worker_free(struct worker *w)
{
	client_free(&w->client);
}

void worker_connect(struct worker *w)
{
	w->alive_us = w->heard_us = w->loop->now_us;
	loop_connect(w->loop, &w->client, &w->run->machine.broker);
}

void worker_say(struct worker *w, const char *format, ...)
{
	char words[WORDS_BYTES];
	struct script s = {.channel = WORKER_SAY_CHANNEL};
	va_list args;

	int n = snprintf(words, sizeof(words), "%s %u ", w->pub ? "pub" : "sub", w->index);
	va_start(args, format);
	vsnprintf(words + n, sizeof(words) - (size_t)n, format, args);
	va_end(args);
	script_publish_text(&s, "", w->control, words);
	client_say(&w->client, &s);
	script_free(&s);
}

void worker_fail(struct worker *w, bool between, const char *why)
{
	char text[400];

	if (outcome_has_failed(&w->run->outcome))
		return;
	if (between && w->client.state == CLIENT_READY)
		worker_say(w, "failed %s", why);
	snprintf(text, sizeof(text), "%s %u: %s", w->pub ? "pub" : "sub", w->index, why);
	outcome_fail(&w->run->outcome, text);
}

void worker_ended(struct client *c, const char *why)
{
	struct worker *w = c->user;

	w->over = true;
	if (why)
		worker_fail(w, false, why);
	run_leave(w->run);
}

enum worker_word worker_heard(struct worker *w, const struct reader_delivery *d, struct worker_order *order)
{
	char words[WORDS_BYTES];
	uint32_t n = d->shown < sizeof(words) ? d->shown : (uint32_t)sizeof(words) - 1;

	memcpy(words, d->body, n);
	words[n] = '\0';
	w->heard_us = w->loop->now_us;
	if (sscanf(words, "start %u %" SCNu64, &order->iteration, &order->count) == 2)
		return WORKER_START;
	if (sscanf(words, "next %u %" SCNu64, &order->iteration, &order->count) == 2)
		return WORKER_NEXT;
	if (!strcmp(words, "bye")) {
		worker_say(w, "bye");
		client_close(&w->client);
	} else if (!strncmp(words, "stop ", 5)) {
		outcome_fail(&w->run->outcome, words + 5);
	}
	return WORKER_NOTHING;
}

void worker_tick(struct worker *w, uint64_t now_us, uint64_t count, bool between)
{
	if (w->client.state != CLIENT_READY)
		return;
	client_try(&w->client);
	if (between && now_us - w->alive_us >= SECOND_US) {
		w->alive_us = now_us;
		worker_say(w, "alive %llu", (unsigned long long)count);
	}
	if (now_us - w->heard_us >= w->run->options.timeout_s * SECOND_US) {
		w->heard_us = now_us;
		worker_fail(w, false, "nothing is heard of control");
	}
}
