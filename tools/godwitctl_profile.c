/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl profile`: where the cores' time goes, for some seconds. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/units.h"
#include "tools/godwitctl_command.h"
#include "tools/godwitctl_print.h"

enum { SECONDS = 5, SECONDS_MAX = 3600 };

struct profile_options {
	const char *socket; /* NULL: the default */
	bool json;
	uint64_t seconds;
};

static void usage(FILE *out)
{
	fputs("usage: godwitctl [--socket PATH] profile [OPTION...]\n"
	      "\n"
	      "Looks some ten thousand times a second at what each data core is doing and prints, for each\n"
	      "phase of the work, its share of the time in turns and of the cost of a delivery. The cores "
	      "do\n"
	      "not notice. A core that polls spends its time without work in rx.\n"
	      "\n"
	      "  --seconds N      for how long, 1 to 3600; 5 without it\n"
	      "  --json           as JSON with sorted keys\n"
	      "  --socket PATH    the broker's control.socket\n"
	      "  --help           this text\n",
		out);
}

static int take_seconds(struct profile_options *o)
{
	const char *why = units_parse_count(optarg, strlen(optarg), &o->seconds);

	if (why || o->seconds < 1 || o->seconds > SECONDS_MAX)
		return misuse("--seconds takes a number from 1 to 3600, not ", optarg);
	return -1;
}

/* -1: go on; otherwise the exit code. */
static int options_read(int argc, char **argv, struct profile_options *o)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"seconds", required_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option, code = -1;

	while (code < 0 && (option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
		if (option == 's')
			o->socket = optarg;
		else if (option == 'j')
			o->json = true;
		else if (option == 'n')
			code = take_seconds(o);
		else if (option == 'h')
			return usage(stdout), 0;
		else if (option == ':')
			return misuse("a value is missing after ", argv[optind - 1]);
		else
			return misuse("unknown option ", argv[optind - 1]);
	}
	if (code >= 0)
		return code;
	if (optind + 1 < argc)
		return misuse("one command at a time, not also ", argv[optind + 1]);
	return -1;
}

/* What each phase means is for programs: a table with it is wider than a terminal. */
static void print_table(json_t *result)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(result, "phases"), i, row)
	{
		json_object_del(row, "what");
	}
	print_result(result, true, stdout);
}

int command_profile(int argc, char **argv)
{
	struct profile_options o = {.seconds = SECONDS};
	struct talk_reply reply = {0};
	struct talk *t;
	char error[512];
	int code = options_read(argc, argv, &o);
	const char *path = code < 0 ? socket_path(o.socket) : NULL;

	if (code >= 0)
		return code;
	if (!path)
		return EXIT_MISUSE;
	json_t *arguments = json_pack("{s:I}", "seconds", (json_int_t)o.seconds);
	unsigned timeout_ms = (unsigned)o.seconds * 1000 + COMMAND_TIMEOUT_MS;
	enum ask_result asked = talk_open(path, "profile", arguments, timeout_ms, &t, error, sizeof(error));
	if (asked == ASK_OK) {
		asked = talk_next(t, &reply, error, sizeof(error));
		talk_close(t);
	}
	if (asked != ASK_OK)
		return say_failed(asked, error, o.socket, path);
	if (o.json)
		print_json(reply.result, stdout);
	else
		print_table(reply.result);
	json_decref(reply.result);
	return 0;
}
