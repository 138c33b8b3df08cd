/* SPDX-License-Identifier: Apache-2.0 */
/* How the application opens connections: listeners, connects and what they do differently. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/run.h"

#define OPTION(name)                                                                                         \
	{                                                                                                    \
#name, offsetof(struct tcp_open_options, name), sizeof(((struct tcp_open_options *)0)->name) \
	}
static const struct {
	const char *name;
	size_t offset, size;
} options[] = {OPTION(delayed_ack_us), OPTION(rto_us_min), OPTION(keepalive_us),
	OPTION(keepalive_interval_us), OPTION(keepalive_probes), OPTION(user_timeout_us), OPTION(nodelay),
	OPTION(syn_backlog_max), OPTION(linger_us), OPTION(ecn), OPTION(quick_acks), OPTION(dscp),
	OPTION(hop_limit)};

static void options_begin(void)
{
	if (!run.options_set)
		run.options = tcp_open_options_of(run.stack);
	run.options_set = true;
}

void opening_option(const char *name, const char *word)
{
	unsigned long value = strtoul(word, NULL, 0);

	options_begin();
	if (!strcmp(name, "local")) {
		if (!segment_addr_parse(word, &run.options.local))
			fail("%s is no address", word);
		return;
	}
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i].name, name)) {
			memcpy((uint8_t *)&run.options + options[i].offset, &value, options[i].size);
			return;
		}
	fail("no option is called %s", name);
}

void opening_filter(const char *verdict, const char *word)
{
	bool allow = !strcmp(verdict, "allow");
	struct tcp_prefix *list = allow ? run.allow : run.deny;
	uint32_t *count = allow ? &run.filter.allow_count : &run.filter.deny_count;
	struct ip_addr address;
	char text[64];
	unsigned bits;

	if (*count == FILTER_MAX || sscanf(word, "%63[^/]/%u", text, &bits) != 2 ||
		!segment_addr_parse(text, &address)) {
		fail("%s is no prefix", word);
		return;
	}
	list[(*count)++] = (struct tcp_prefix){.address = address, .bits = (uint8_t)bits};
	options_begin();
	run.filter.allow = run.allow;
	run.filter.deny = run.deny;
	run.options.filter = &run.filter;
}

void opening_listen(const char *word, const struct tcp_app *app)
{
	struct ip_addr address;
	bool has = *word;

	if ((has && !segment_addr_parse(word, &address)) ||
		tcp_listen(run.stack, has ? &address : NULL, STACK_PORT,
			run.options_set ? &run.options : NULL, app, NULL, &run.listener))
		fail("listen failed");
}

void opening_connect(const char *word, const char *verdict, const struct tcp_app *app)
{
	struct ip_addr peer = segment_peer_addr(run.base.v6);
	bool refused = !strcmp(verdict, "refused");

	if (*word && !segment_addr_parse(word, &peer)) {
		fail("%s is no address", word);
		return;
	}
	struct tcp_conn *c = tcp_connect(
		run.stack, &peer, PEER_PORT, run.options_set ? &run.options : NULL, app, NULL, run.now_us);
	if (!c != refused)
		fail(refused ? "the connect was not refused" : "connect failed");
	run.conn = refused ? run.conn : c;
}
