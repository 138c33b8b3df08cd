/* SPDX-License-Identifier: Apache-2.0 */
/* soak load SEED CONNECTIONS WINDOW ADDRESS:PORT...     the churn, by commands from stdin (load.h)
 * soak bystander ADDRESS:PORT...                        what it does to others (bystander.c) */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/soak/load.h"

static int usage(void)
{
	fprintf(stderr, "usage: soak load SEED CONNECTIONS WINDOW ADDRESS:PORT... | soak bystander "
			"ADDRESS:PORT...\n");
	return 2;
}

static int listeners_read(struct load *l, char **words, int count)
{
	if (count < 1 || count > LISTENERS_MAX)
		return -1;
	for (int i = 0; i < count; i++) {
		char *colon = strchr(words[i], ':');
		struct sockaddr_in *a = &l->listeners[l->listener_count++];
		if (!colon)
			return -1;
		*colon = 0;
		a->sin_family = AF_INET;
		a->sin_port = htons((uint16_t)atoi(colon + 1));
		if (inet_pton(AF_INET, words[i], &a->sin_addr) != 1)
			return -1;
	}
	return 0;
}

static int room_for(uint64_t descriptors)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_max < descriptors)
		return -1;
	r.rlim_cur = r.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	struct load l = {0};

	if (argc > 2 && strcmp(argv[1], "bystander") == 0)
		return listeners_read(&l, argv + 2, argc - 2) ? usage()
							      : bystander_run(l.listeners, l.listener_count);
	if (argc < 6 || strcmp(argv[1], "load") != 0 || listeners_read(&l, argv + 5, argc - 5))
		return usage();
	l.random = strtoull(argv[2], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	l.session_count = (unsigned)atoi(argv[3]);
	l.window = (unsigned)atoi(argv[4]);
	if (l.session_count == 0 || l.window == 0)
		return usage();
	if (room_for(l.session_count + 64)) {
		fprintf(stderr, "soak: %u connections need more descriptors (ulimit -n)\n", l.session_count);
		return 2;
	}
	return load_run(&l);
}
