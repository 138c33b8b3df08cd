/* SPDX-License-Identifier: Apache-2.0 */
/* godwitctl: asks the running broker through its control socket. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "tools/godwitctl_command.h"
#include "tools/godwitctl_print.h"

static const char root_socket[] = "/run/godwit/control.sock";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"status", command_status},
	{"stats", command_stats},
	{"profile", command_profile},
	{"capture", command_capture},
	{"tcp", command_tcp},
	{NULL, NULL},
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
	      "  stats          where each core's time goes, and what fills up; --json and --all as above\n"
	      "  profile        where its cores' time goes, looked at for some seconds\n"
	      "  tcp            the TCP connections of its ports, one by one, as `ss -ti` shows the "
	      "kernel's\n"
	      "  capture        the frames of its ports, both directions, as pcapng\n"
	      "\n"
	      "  --socket PATH  the broker's control.socket; without it, where a broker of this user puts "
	      "it\n"
	      "  --help         this text; after a command, what that command takes\n"
	      "  --version      the version\n"
	      "\n"
	      "Exit codes: 0 done, 1 the broker refuses, 2 wrong usage, 3 no broker to talk to.\n",
		out);
}

int misuse(const char *what, const char *word)
{
	fprintf(stderr, "godwitctl: %s%s; godwitctl --help lists what there is\n", what, word);
	return EXIT_MISUSE;
}

/* The embedded defaults know where this user's broker listens. */
const char *socket_path(const char *asked_or_null)
{
	static struct config defaults;
	if (asked_or_null)
		return asked_or_null;
	if (config_load(NULL, &defaults, stderr) == 0)
		return defaults.control.socket;
	misuse("no default for ", "--socket");
	return NULL;
}

int say_failed(enum ask_result code, const char *error, const char *asked_or_null, const char *path)
{
	fprintf(stderr, "godwitctl: %s\n", error);
	if (code == ASK_UNREACHABLE && !asked_or_null && strcmp(path, root_socket) != 0 &&
		access(root_socket, F_OK) == 0)
		fprintf(stderr, "godwitctl: root's broker is there: --socket %s\n", root_socket);
	return (int)code;
}

/* The first word that is no option; general options may stand before it. NULL: there is none. */
static const char *command_name(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--socket") == 0)
			i++;
		else if (argv[i][0] != '-')
			return argv[i];
	}
	return NULL;
}

/* Without a command there are only the general options. */
static int no_command(int argc, char **argv)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
		if (option == 'h')
			return usage(stdout), 0;
		if (option == 'v')
			return puts("godwitctl " GODWIT_VERSION), 0;
		if (option == ':')
			return misuse("a value is missing after ", argv[optind - 1]);
		if (option == '?')
			return misuse("unknown option ", argv[optind - 1]);
	}
	return usage(stderr), EXIT_MISUSE;
}

struct status_options {
	const char *socket; /* NULL: the default */
	bool json, all;
};

/* -1: go on with *o; otherwise the exit code. */
static int status_read(int argc, char **argv, struct status_options *o)
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
	if (optind + 1 < argc)
		return misuse("one command at a time, not also ", argv[optind + 1]);
	return -1;
}

/* One question, its answer printed. left_out: a part that is for programs, or for who asks for all. */
static int command_print(int argc, char **argv, const char *command, const char *left_out)
{
	struct status_options o = {0};
	json_t *result;
	char error[512];
	int code = status_read(argc, argv, &o);
	if (code >= 0)
		return code;
	const char *path = socket_path(o.socket);
	if (!path)
		return EXIT_MISUSE;
	enum ask_result asked = ask(path, command, COMMAND_TIMEOUT_MS, &result, error, sizeof(error));
	if (asked != ASK_OK)
		return say_failed(asked, error, o.socket, path);
	if (left_out && !o.json && !o.all)
		json_object_del(result, left_out);
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

int command_status(int argc, char **argv)
{
	return command_print(argc, argv, "status", NULL);
}

int command_stats(int argc, char **argv)
{
	return command_print(argc, argv, "stats", "rx_to_tx_buckets");
}

int main(int argc, char **argv)
{
	const char *name = command_name(argc, argv);

	opterr = 0;
	if (!name)
		return no_command(argc, argv);
	for (size_t i = 0; commands[i].name; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc, argv);
	return misuse("unknown command ", name);
}
