/* SPDX-License-Identifier: Apache-2.0 */
/* godwitctl: asks the running broker through its control socket. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "tools/godwitctl_ask.h"
#include "tools/godwitctl_print.h"

enum { EXIT_REFUSED = 1, EXIT_MISUSE = 2 }; /* 0, 1 and 3: enum ask_result */
enum { TIMEOUT_MS = 10000 };

static const char root_socket[] = "/run/godwit/control.sock";

struct options {
	const char *socket; /* NULL: the default */
	const char *command;
	bool json, all;
};

static void usage(FILE *out)
{
	fputs("usage: godwitctl [--socket PATH] COMMAND [OPTION...]\n"
	      "\n"
	      "Asks the running broker through its control socket.\n"
	      "\n"
	      "  status         what the broker is and does: cores, ports, connections, queues, counters\n"
	      "    --json       as JSON with sorted keys\n"
	      "    --all        counters that are zero too\n"
	      "\n"
	      "  --socket PATH  the broker's control.socket; without it, where a broker of this user puts "
	      "it\n"
	      "  --help         this text\n"
	      "  --version      the version\n"
	      "\n"
	      "Exit codes: 0 done, 1 the broker refuses, 2 wrong usage, 3 no broker to talk to.\n",
		out);
}

static int misuse(const char *what, const char *word)
{
	fprintf(stderr, "godwitctl: %s%s; godwitctl --help lists what there is\n", what, word);
	return EXIT_MISUSE;
}

/* -1: go on with *o; otherwise the exit code. */
static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"all", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int option;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
		if (option == 's')
			o->socket = optarg;
		else if (option == 'j')
			o->json = true;
		else if (option == 'a')
			o->all = true;
		else if (option == 'h')
			return usage(stdout), 0;
		else if (option == 'v')
			return puts("godwitctl " GODWIT_VERSION), 0;
		else if (option == ':')
			return misuse("a value is missing after ", argv[optind - 1]);
		else
			return misuse("unknown option ", argv[optind - 1]);
	}
	if (optind == argc)
		return usage(stderr), EXIT_MISUSE;
	o->command = argv[optind++];
	if (strcmp(o->command, "status") != 0)
		return misuse("unknown command ", o->command);
	if (optind < argc)
		return misuse("one command at a time, not also ", argv[optind]);
	return -1;
}

/* The embedded defaults know where this user's broker listens. NULL when they cannot be had. */
static const char *socket_default(void)
{
	static struct config defaults;
	if (config_load(NULL, &defaults, stderr))
		return NULL;
	return defaults.control.socket;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	json_t *result;
	char error[512];
	int code = options_read(argc, argv, &o);
	if (code >= 0)
		return code;
	const char *path = o.socket ? o.socket : socket_default();
	if (!path)
		return misuse("no default for ", "--socket");
	code = (int)ask(path, o.command, TIMEOUT_MS, &result, error, sizeof(error));
	if (code != ASK_OK) {
		fprintf(stderr, "godwitctl: %s\n", error);
		if (code == ASK_UNREACHABLE && !o.socket && strcmp(path, root_socket) != 0 &&
			access(root_socket, F_OK) == 0)
			fprintf(stderr, "godwitctl: root's broker is there: --socket %s\n", root_socket);
		return code;
	}
	if (o.json)
		print_json(result, stdout);
	else
		print_result(result, o.all, stdout);
	json_decref(result);
	if (fflush(stdout) || ferror(stdout)) {
		perror("godwitctl: standard output");
		return EXIT_REFUSED;
	}
	return 0;
}
