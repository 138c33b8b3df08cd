/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl tcp`: one TCP connection after the other, as they come. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/units.h"
#include "tools/godwitctl_command.h"
#include "tools/godwitctl_print.h"
#include "tools/godwitctl_tcp.h"

struct tcp_options {
	const char *socket; /* NULL: the default */
	bool json;
	json_t *arguments;
};

static void usage(FILE *out)
{
	fputs("usage: godwitctl [--socket PATH] tcp [OPTION...] [PORT]\n"
	      "\n"
	      "Prints every TCP connection of the broker's ports (of one PORT), with what is half open and "
	      "what is\n"
	      "in TIME-WAIT: its state, what waits to be read and to be acknowledged, both ends, the port, "
	      "and\n"
	      "below them what TCP knows of it, in the words of `ss -ti`. Times are in milliseconds. The\n"
	      "kernel's connections are in `ss -ti`.\n"
	      "\n"
	      "  --state STATE    such as ESTABLISHED, SYN-RECEIVED, TIME-WAIT, CLOSE-WAIT\n"
	      "  --tcp-port N     from or to this TCP port\n"
	      "  --json           an array of objects; times in microseconds\n"
	      "  --socket PATH    the broker's control.socket\n"
	      "  --help           this text\n",
		out);
}

static int take_tcp_port(struct tcp_options *o)
{
	uint64_t n = 0;
	const char *why = units_parse_count(optarg, strlen(optarg), &n);

	if (why || n == 0 || n > UINT16_MAX)
		return misuse("--tcp-port takes a number from 1 to 65535, not ", optarg);
	json_object_set_new(o->arguments, "tcp_port", json_integer((json_int_t)n));
	return -1;
}

/* -1: go on; otherwise the exit code. */
static int options_read(int argc, char **argv, struct tcp_options *o)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"state", required_argument, NULL, 'S'},
		{"tcp-port", required_argument, NULL, 'T'},
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
		else if (option == 'S')
			json_object_set_new(o->arguments, "state", json_string(optarg));
		else if (option == 'T')
			code = take_tcp_port(o);
		else if (option == 'h')
			return usage(stdout), 0;
		else if (option == ':')
			return misuse("a value is missing after ", argv[optind - 1]);
		else
			return misuse("unknown option ", argv[optind - 1]);
	}
	if (code >= 0)
		return code;
	if (optind + 2 < argc)
		return misuse("one port at a time, not also ", argv[optind + 2]);
	if (optind + 1 < argc)
		json_object_set_new(o->arguments, "port", json_string(argv[optind + 1]));
	return -1;
}

static void print_entries(const struct tcp_options *o, const json_t *entries, bool *any)
{
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		if (o->json) {
			fputs(*any ? ",\n" : "\n", stdout);
			json_dumpf(entry, stdout, JSON_COMPACT | JSON_SORT_KEYS);
		} else {
			tcp_print(entry, stdout);
		}
		*any = true;
	}
}

static int run(const struct tcp_options *o, struct talk *t, const char *path)
{
	struct talk_reply reply = {.more = true};
	bool any = false;
	char error[512];

	if (o->json)
		fputc('[', stdout);
	else
		tcp_print_head(stdout);
	while (reply.more) {
		enum ask_result code = talk_next(t, &reply, error, sizeof(error));
		if (code != ASK_OK)
			return say_failed(code, error, o->socket, path);
		print_entries(o, reply.result, &any);
		json_decref(reply.result);
		if (ferror(stdout))
			break;
	}
	if (o->json)
		fputs(any ? "\n]\n" : "]\n", stdout);
	if (fflush(stdout) || ferror(stdout)) {
		perror("godwitctl: standard output");
		return EXIT_REFUSED;
	}
	return 0;
}

int command_tcp(int argc, char **argv)
{
	struct tcp_options o = {.arguments = json_object()};
	struct talk *t;
	char error[512];
	int code = options_read(argc, argv, &o);

	const char *path = code < 0 ? socket_path(o.socket) : NULL;
	if (!path) {
		json_decref(o.arguments);
		return code < 0 ? EXIT_MISUSE : code;
	}
	enum ask_result opened = talk_open(
		path, "tcp", o.arguments, COMMAND_TIMEOUT_MS, &t, error, sizeof(error));
	if (opened != ASK_OK)
		return say_failed(opened, error, o.socket, path);
	code = run(&o, t, path);
	talk_close(t);
	return code;
}
