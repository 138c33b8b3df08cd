/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl capture`: the broker makes pcapng of its ports' frames, this writes it to a file, with the
 * rights of whoever runs it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config/units.h"
#include "tools/godwitctl_command.h"

enum { COPY_BYTES = 1 << 16 };

struct capture_options {
	const char *socket; /* NULL: the default */
	const char *file;   /* "-": standard output */
	json_t *arguments;
};

struct capture {
	const struct capture_options *o;
	struct talk *talk;
	int out;     /* -1: the file is not open yet */
	int signals; /* -1: they were taken, and end the program from now on */
	bool stopped;
};

static void usage(FILE *out)
{
	fputs("usage: godwitctl [--socket PATH] capture --write FILE [OPTION...] [PORT...]\n"
	      "\n"
	      "Writes the frames of the broker's PORTs (all of them, without one) as pcapng, both "
	      "directions, with\n"
	      "the checksums and tags that the wire has. tcpdump cannot see them: they pass the kernel by. "
	      "Ends at\n"
	      "a limit or with Ctrl-C, and says how many frames were dropped because the buffer was full.\n"
	      "\n"
	      "  -w, --write FILE        the file, made with mode 0600; - is standard output:\n"
	      "                            godwitctl capture -w - | tshark -r -\n"
	      "\n"
	      "What is taken (all of it, without these; with several, what fits each):\n"
	      "  --host ADDRESS[/BITS]   to or from it: IPv4 or IPv6, ARP and neighbour discovery about it\n"
	      "  --tcp-port N            TCP from or to this port, and ICMP errors about it\n"
	      "  --connection A:P,B:P    one TCP connection, by its ends; IPv6 as [fd00::1]:5672\n"
	      "\n"
	      "Where it ends:\n"
	      "  --packets N             1000000 without it\n"
	      "  --bytes SIZE            of the file; 1G without it\n"
	      "  --duration TIME         such as 500ms, 30s, 2h; 1h without it\n"
	      "\n"
	      "  --snaplen BYTES         the first bytes of each frame; without it, all of them\n"
	      "  --buffer SIZE           between the data core and this program, for each port: 4K to 256M; "
	      "16M\n"
	      "                          without it\n"
	      "  --resolution ns|us      of the times; ns without it\n"
	      "  --socket PATH           the broker's control.socket\n"
	      "  --help                  this text\n",
		out);
}

static void set(struct capture_options *o, const char *key, json_t *value)
{
	json_object_set_new(o->arguments, key, value);
}

static int set_number(
	struct capture_options *o, const char *key, const char *option, const char *why, uint64_t n)
{
	if (why) {
		fprintf(stderr, "godwitctl: %s: %s\n", option, why);
		return EXIT_MISUSE;
	}
	set(o, key, json_integer((json_int_t)n));
	return -1;
}

static int set_count(struct capture_options *o, const char *key, const char *option)
{
	uint64_t n = 0;
	const char *why = units_parse_count(optarg, strlen(optarg), &n);

	return set_number(o, key, option, why, n);
}

static int set_bytes(struct capture_options *o, const char *key, const char *option)
{
	uint64_t n = 0;
	const char *why = units_parse_bytes(optarg, strlen(optarg), &n);

	return set_number(o, key, option, why, n);
}

static int set_connection(struct capture_options *o)
{
	const char *comma = strchr(optarg, ',');

	if (!comma)
		return misuse("--connection takes two ends with a comma between them, not ", optarg);
	set(o, "connection", json_pack("[o, s]", json_stringn(optarg, (size_t)(comma - optarg)), comma + 1));
	return -1;
}

/* -1: go on; otherwise the exit code. */
static int option_take(struct capture_options *o, int option)
{
	uint64_t us = 0;
	const char *why;

	switch (option) {
	case 's':
		o->socket = optarg;
		return -1;
	case 'w':
		o->file = optarg;
		return -1;
	case 'H':
		set(o, "host", json_string(optarg));
		return -1;
	case 'T':
		return set_count(o, "tcp_port", "--tcp-port");
	case 'C':
		return set_connection(o);
	case 'P':
		return set_count(o, "packets", "--packets");
	case 'B':
		return set_bytes(o, "bytes", "--bytes");
	case 'D':
		why = units_parse_duration(optarg, strlen(optarg), &us);
		return set_number(o, "duration_us", "--duration", why, us);
	case 'L':
		return set_bytes(o, "snaplen", "--snaplen");
	case 'U':
		return set_bytes(o, "buffer", "--buffer");
	default:
		set(o, "resolution", json_string(optarg));
		return -1;
	}
}

static int options_read(int argc, char **argv, struct capture_options *o)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"write", required_argument, NULL, 'w'},
		{"host", required_argument, NULL, 'H'},
		{"tcp-port", required_argument, NULL, 'T'},
		{"connection", required_argument, NULL, 'C'},
		{"packets", required_argument, NULL, 'P'},
		{"bytes", required_argument, NULL, 'B'},
		{"duration", required_argument, NULL, 'D'},
		{"snaplen", required_argument, NULL, 'L'},
		{"buffer", required_argument, NULL, 'U'},
		{"resolution", required_argument, NULL, 'R'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option, code = -1;

	while (code < 0 && (option = getopt_long(argc, argv, ":hw:", known, NULL)) != -1) {
		if (option == 'h')
			return usage(stdout), 0;
		if (option == ':')
			return misuse("a value is missing after ", argv[optind - 1]);
		if (option == '?')
			return misuse("unknown option ", argv[optind - 1]);
		code = option_take(o, option);
	}
	if (code >= 0)
		return code;
	for (int i = optind + 1; i < argc; i++) { /* the first word is the command */
		json_t *ports = json_object_get(o->arguments, "ports");
		if (!ports)
			set(o, "ports", ports = json_array());
		json_array_append_new(ports, json_string(argv[i]));
	}
	if (!o->file)
		return misuse("capture wants ", "--write FILE, or --write - for standard output");
	if (strcmp(o->file, "-") == 0 && isatty(STDOUT_FILENO))
		return misuse("standard output is a terminal: ", "name a file, or another program after |");
	return -1;
}

/* ---- running ---- */

static int open_file(struct capture *c)
{
	if (c->out >= 0)
		return 0;
	c->out = strcmp(c->o->file, "-") == 0
			 ? STDOUT_FILENO
			 : open(c->o->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->out < 0)
		fprintf(stderr, "godwitctl: %s: %s\n", c->o->file, strerror(errno));
	return c->out < 0 ? -1 : 0;
}

static int write_all(struct capture *c, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(c->out, bytes, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			if (errno != EPIPE) /* whoever reads has seen enough */
				fprintf(stderr, "godwitctl: %s: %s\n", c->o->file, strerror(errno));
			return -1;
		}
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

static int copy(struct capture *c, size_t n, char *error, size_t error_bytes)
{
	char buffer[COPY_BYTES];

	if (open_file(c) != 0)
		return EXIT_REFUSED;
	while (n) {
		size_t part = talk_bytes(
			c->talk, buffer, n < sizeof(buffer) ? n : sizeof(buffer), error, error_bytes);
		if (part == 0)
			return ASK_UNREACHABLE;
		if (write_all(c, buffer, part) != 0)
			return EXIT_REFUSED;
		n -= part;
	}
	return 0;
}

/* A second Ctrl-C ends the program. */
static void signals_restore(struct capture *c)
{
	struct signalfd_siginfo first;
	struct pollfd came = {.fd = c->signals, .events = POLLIN};
	sigset_t none;

	/* taken, or it would be delivered now */
	while (poll(&came, 1, 0) == 1 && read(c->signals, &first, sizeof(first)) == sizeof(first))
		;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(c->signals);
	c->signals = -1;
}

static void stop(struct capture *c)
{
	if (!c->stopped)
		talk_stop(c->talk);
	c->stopped = true;
	signals_restore(c);
}

/* Until the broker says something. A silent port may take hours; Ctrl-C, or a reader of our output that goes,
 * ends the wait by asking for the end. */
static void wait_for_news(struct capture *c)
{
	while (!c->stopped && !talk_waiting(c->talk)) {
		struct pollfd fds[3] = {
			{.fd = talk_fd(c->talk), .events = POLLIN},
			{.fd = c->signals, .events = POLLIN},
			{.fd = c->out, .events = 0},
		};
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[1].revents || (fds[2].revents & (POLLERR | POLLHUP)))
			stop(c);
		if (fds[0].revents)
			return;
	}
}

static json_int_t count(const json_t *of, const char *key)
{
	return json_integer_value(json_object_get(of, key));
}

static void say_result(const struct capture *c, const json_t *result)
{
	const char *why = json_string_value(json_object_get(result, "ended_by"));
	json_t *port;
	size_t i;

	fprintf(stderr, "godwitctl: %" JSON_INTEGER_FORMAT " frames in %s, ended by %s\n",
		count(result, "packets"), c->out == STDOUT_FILENO ? "standard output" : c->o->file,
		why ? why : "the broker");
	json_array_foreach(json_object_get(result, "ports"), i, port)
	{
		const char *name = json_string_value(json_object_get(port, "port"));
		fprintf(stderr,
			"  %s: %" JSON_INTEGER_FORMAT " frames passed, %" JSON_INTEGER_FORMAT
			" matched, %" JSON_INTEGER_FORMAT " written, %" JSON_INTEGER_FORMAT " dropped%s\n",
			name ? name : "?", count(port, "seen"), count(port, "matched"),
			count(port, "written"), count(port, "dropped"),
			count(port, "dropped") ? " (see --buffer, --snaplen)" : "");
	}
}

/* Every piece until the last. The exit code. */
static int run(struct capture *c, const char *path)
{
	struct talk_reply reply = {.more = true};
	char error[512];

	while (reply.more) {
		wait_for_news(c);
		enum ask_result code = talk_next(c->talk, &reply, error, sizeof(error));
		if (code != ASK_OK)
			return say_failed(code, error, c->o->socket, path);
		int copied = reply.bytes ? copy(c, reply.bytes, error, sizeof(error)) : 0;
		if (copied == ASK_UNREACHABLE)
			return say_failed(ASK_UNREACHABLE, error, c->o->socket, path);
		if (copied) {
			json_decref(reply.result);
			return EXIT_REFUSED;
		}
		if (!reply.more)
			say_result(c, reply.result);
		json_decref(reply.result);
	}
	return 0;
}

static int signals_take(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

int command_capture(int argc, char **argv)
{
	struct capture_options o = {.arguments = json_object()};
	struct capture c = {.o = &o, .out = -1};
	char error[512];
	int code = options_read(argc, argv, &o);

	const char *path = code < 0 ? socket_path(o.socket) : NULL;
	if (!path) {
		json_decref(o.arguments);
		return code < 0 ? EXIT_MISUSE : code;
	}
	enum ask_result opened = talk_open(
		path, "capture", o.arguments, COMMAND_TIMEOUT_MS, &c.talk, error, sizeof(error));
	if (opened != ASK_OK)
		return say_failed(opened, error, o.socket, path);
	c.signals = signals_take();
	code = run(&c, path);
	talk_close(c.talk);
	if (c.out > STDERR_FILENO && close(c.out) != 0) {
		fprintf(stderr, "godwitctl: %s: %s\n", o.file, strerror(errno));
		return EXIT_REFUSED;
	}
	return code;
}
