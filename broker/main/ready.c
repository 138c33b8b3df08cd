/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a newcomer reads: where it listens, on what, and a command to paste. They go to stdout,
 * apart from the log. */
#include "broker/main/instance.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The name under which `ip netns` knows this process's network namespace; empty where it is the host's own or
 * has no name. */
static void namespace_name(char *out, size_t room)
{
	struct stat self, entry;
	DIR *d = opendir("/run/netns");

	out[0] = 0;
	if (!d || stat("/proc/self/ns/net", &self) != 0) {
		if (d)
			closedir(d);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &entry, 0) == 0 &&
			entry.st_ino == self.st_ino && entry.st_dev == self.st_dev) {
			snprintf(out, room, "%s", e->d_name);
			break;
		}
	}
	closedir(d);
}

static void say_cores(const struct config *c)
{
	const char *plural = c->lcore_count == 1 ? "" : "s";

	if (c->lcores_auto) {
		printf("ready: %u data core%s, placed by the scheduler\n", c->lcore_count, plural);
		return;
	}
	printf("ready: data core%s on CPU%s", plural, plural);
	for (uint32_t i = 0; i < c->lcore_count; i++)
		printf("%s %u", i ? "," : "", c->lcores[i]);
	printf("\n");
}

static void say_try(const struct instance *in, const char *address, uint16_t port, const char *ns)
{
	char prefix[300] = "", login[CONFIG_NAME_BYTES + 64] = "";

	if (ns[0])
		snprintf(prefix, sizeof(prefix), "ip netns exec %s ", ns);
	if (in->config.user_count)
		snprintf(
			login, sizeof(login), " --username=%s --password=PASSWORD", in->config.users[0].name);
	printf("try: %samqp-declare-queue -s %s --port=%u%s -q hello && %samqp-publish -s %s --port=%u%s -r "
	       "hello -b "
	       "'hello, godwit' && %samqp-get -s %s --port=%u%s -q hello\n",
		prefix, address, port, login, prefix, address, port, login, prefix, address, port, login);
}

void ready_say(const struct instance *in)
{
	const struct config *c = &in->config;
	char ns[256], text[INET6_ADDRSTRLEN];

	namespace_name(ns, sizeof(ns));
	for (uint32_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		if (!in->listeners[i].open)
			continue;
		printf("ready: AMQP 0-9-1 on %s:%u over %s%s\n", config_address_text(&l->address, text),
			l->tcp_port,
			l->transport == CONFIG_TRANSPORT_BYPASS ? "the bypass, port " : "kernel sockets",
			l->transport == CONFIG_TRANSPORT_BYPASS ? c->ports[l->port_index].name : "");
	}
	say_cores(c);
	printf("ready: memory: %llu MiB for messages, %u MiB for buffers, in %s\n",
		(unsigned long long)(c->memory.message_bytes >> 20), in->memory_mb + MEMORY_EAL_MB,
		in->hugepages ? "hugepages" : "ordinary pages");
	printf("ready: running as %s; messages are kept in memory only, durable ones too%s\n", in->user,
		c->persistent == CONFIG_PERSISTENT_REFUSE ? ": persistent ones are refused" : "");
	for (uint32_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		if (in->listeners[i].open)
			say_try(in, config_address_text(&l->address, text), l->tcp_port, ns);
	}
	printf("ready: end with Ctrl-C\n");
	fflush(stdout);
}
