/* SPDX-License-Identifier: Apache-2.0 */
#include "config/cli.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "config/schema.h"

enum { OPT_CHECK_CONFIG = 256, OPT_PRINT_CONFIG, OPT_NO_TAP, OPT_NO_KERNEL, OPT_NO_HUGE, OPT_LOG_LEVEL };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
	{"print-config", no_argument, NULL, OPT_PRINT_CONFIG},
	{"no-tap", no_argument, NULL, OPT_NO_TAP},
	{"no-kernel", no_argument, NULL, OPT_NO_KERNEL},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help[] = "Usage: godwit [OPTION]...\n"
			   "An AMQP message broker with a network stack of its own.\n"
			   "\n"
			   "Without --config it serves AMQP on a TAP interface that it makes (godwit0, the\n"
			   "broker at 198.18.0.2:5672) and through the kernel on 127.0.0.1:5672. It runs in\n"
			   "the foreground until Ctrl-C or SIGTERM. SIGHUP reads the file again.\n"
			   "\n"
			   "  -c, --config FILE     read the configuration from FILE (YAML)\n"
			   "      --check-config    check the configuration, say what is wrong, and exit\n"
			   "      --print-config    print the configuration in effect as YAML, and exit\n"
			   "      --no-tap          leave out TAP ports and what listens on them\n"
			   "      --no-kernel       leave out listeners on the kernel's sockets\n"
			   "      --no-huge         use ordinary pages instead of hugepages\n"
			   "      --log-level LEVEL error, warn, info or debug; overrides log.level\n"
			   "  -V, --version         print the version, and exit\n"
			   "  -h, --help            print this text, and exit\n"
			   "\n"
			   "Exit status: 0 after a proper stop, 1 when it cannot start or the configuration\n"
			   "is refused, 2 for a wrong command line.\n";

void cli_help(FILE *out)
{
	fputs(help, out);
}

void cli_version(FILE *out)
{
	fprintf(out, "godwit %s\n", GODWIT_VERSION);
}

static const char *option_name(int value)
{
	for (const struct option *o = options; o->name; o++)
		if (o->val == value)
			return o->name;
	return NULL;
}

static const char *nearest_option(const char *text, size_t n)
{
	const char *names[sizeof(options) / sizeof(options[0])] = {0};
	char name[32];
	if (n >= sizeof(name))
		return NULL;
	memcpy(name, text, n);
	name[n] = '\0';
	for (size_t i = 0; options[i].name; i++)
		names[i] = options[i].name;
	return schema_nearest(name, names);
}

static int misuse(FILE *err, const char *words)
{
	fprintf(err, "godwit: %s; godwit --help tells more\n", words);
	return -EINVAL;
}

/* getopt_long found what it does not know, or a value where none belongs (then optopt is the option). */
static int unknown_option(char **argv, FILE *err)
{
	const char *word = argv[optind - 1], *name = option_name(optopt);
	char words[200];

	if (optopt && name) {
		snprintf(words, sizeof(words), "option --%s takes no value", name);
	} else if (optopt) {
		snprintf(words, sizeof(words), "unknown option -%c", optopt);
	} else {
		size_t n = strcspn(word, "=");
		const char *nearest = nearest_option(word + 2, n - 2);
		snprintf(words, sizeof(words), "unknown option %.60s%s%s%s", word,
			nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
	}
	return misuse(err, words);
}

static int set_action(struct cli *cli, enum cli_action action, FILE *err)
{
	if (cli->action != CLI_RUN && cli->action != action)
		return misuse(err, "more than one of --check-config, --print-config, --version and --help");
	cli->action = action;
	return 0;
}

static int set_level(struct cli *cli, const char *text, FILE *err)
{
	const struct schema_key *level = schema_key(schema_section("log"), "level");
	for (uint32_t i = 0; level->words[i]; i++) {
		if (strcmp(level->words[i], text) != 0)
			continue;
		cli->log_level = (enum log_level)i;
		cli->log_level_set = true;
		return 0;
	}
	char allowed[SCHEMA_ALLOWED_BYTES], words[SCHEMA_ALLOWED_BYTES + 100];
	snprintf(words, sizeof(words), "--log-level: found \"%.60s\"; allowed: %s", text,
		schema_allowed(level, allowed));
	return misuse(err, words);
}

static int set_path(struct cli *cli, const char *path, FILE *err)
{
	if (cli->config_path)
		return misuse(err, "more than one --config");
	if (!*path)
		return misuse(err, "--config: the file's name is empty");
	cli->config_path = path;
	return 0;
}

static int take_option(struct cli *cli, int option, char **argv, FILE *err)
{
	char words[64];
	switch (option) {
	case 'c':
		return set_path(cli, optarg, err);
	case OPT_LOG_LEVEL:
		return set_level(cli, optarg, err);
	case OPT_CHECK_CONFIG:
		return set_action(cli, CLI_CHECK_CONFIG, err);
	case OPT_PRINT_CONFIG:
		return set_action(cli, CLI_PRINT_CONFIG, err);
	case 'V':
		return set_action(cli, CLI_VERSION, err);
	case 'h':
		return set_action(cli, CLI_HELP, err);
	case OPT_NO_TAP:
		cli->no_tap = true;
		return 0;
	case OPT_NO_KERNEL:
		cli->no_kernel = true;
		return 0;
	case OPT_NO_HUGE:
		cli->no_huge = true;
		return 0;
	case ':':
		snprintf(words, sizeof(words), "option --%s needs a value", option_name(optopt));
		return misuse(err, words);
	default:
		return unknown_option(argv, err);
	}
}

int cli_parse(int argc, char **argv, struct cli *cli, FILE *err)
{
	int option, rc;

	*cli = (struct cli){.action = CLI_RUN};
	optind = 0; /* glibc: begin anew, also after an earlier call */
	opterr = 0;
	/* '+': a word that is no option ends the options, and is refused below */
	while ((option = getopt_long(argc, argv, "+:c:Vh", options, NULL)) != -1) {
		rc = take_option(cli, option, argv, err);
		if (rc < 0)
			return rc;
	}
	if (optind < argc) {
		char words[128];
		snprintf(words, sizeof(words), "found \"%.60s\", which is no option", argv[optind]);
		return misuse(err, words);
	}
	return 0;
}

int cli_apply(const struct cli *cli, struct config *c, FILE *err)
{
	if (cli->no_huge)
		c->memory.hugepages = CONFIG_HUGEPAGES_OFF;
	if (cli->log_level_set)
		c->log.level = cli->log_level;
	if (cli->no_tap)
		config_drop_taps(c);
	if (cli->no_kernel)
		config_drop_kernel(c);
	if (c->listener_count)
		return 0;
	fprintf(err, "godwit: %s%s%s leaves no listener: there is nothing to serve\n",
		cli->no_tap ? "--no-tap" : "", cli->no_tap && cli->no_kernel ? " with " : "",
		cli->no_kernel ? "--no-kernel" : "");
	return -EINVAL;
}
