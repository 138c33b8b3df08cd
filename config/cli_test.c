/* SPDX-License-Identifier: Apache-2.0 */
#include "config/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static char messages[1000];

static int parse(struct cli *cli, const char *const *words)
{
	char *argv[16] = {(char *)"godwit"};
	int argc = 1;
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	memset(messages, 0, sizeof(messages));
	FILE *err = fmemopen(messages, sizeof(messages) - 1, "w");
	int rc = cli_parse(argc, argv, cli, err);
	fclose(err);
	return rc;
}
#define PARSE(cli, ...) parse(cli, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_understood(void)
{
	struct cli cli;
	CU_ASSERT_EQUAL(PARSE(&cli), 0);
	CU_ASSERT_EQUAL(cli.action, CLI_RUN);
	CU_ASSERT_PTR_NULL(cli.config_path);
	CU_ASSERT_FALSE(cli.no_tap || cli.no_kernel || cli.no_huge || cli.log_level_set);

	CU_ASSERT_EQUAL(
		PARSE(&cli, "--config", "a.yaml", "--no-tap", "--no-huge", "--log-level", "debug"), 0);
	CU_ASSERT_STRING_EQUAL(cli.config_path, "a.yaml");
	CU_ASSERT_TRUE(cli.no_tap && !cli.no_kernel && cli.no_huge && cli.log_level_set);
	CU_ASSERT_EQUAL(cli.log_level, LOG_LEVEL_DEBUG);

	CU_ASSERT_EQUAL(PARSE(&cli, "--config=b.yaml", "--check-config", "--no-kernel"), 0);
	CU_ASSERT_STRING_EQUAL(cli.config_path, "b.yaml");
	CU_ASSERT_EQUAL(cli.action, CLI_CHECK_CONFIG);
	CU_ASSERT_TRUE(cli.no_kernel);

	CU_ASSERT_EQUAL(PARSE(&cli, "--print-config", "-c", "c.yaml"), 0);
	CU_ASSERT_EQUAL(cli.action, CLI_PRINT_CONFIG);
	CU_ASSERT_EQUAL(PARSE(&cli, "--version"), 0);
	CU_ASSERT_EQUAL(cli.action, CLI_VERSION);
	CU_ASSERT_EQUAL(PARSE(&cli, "-h"), 0);
	CU_ASSERT_EQUAL(cli.action, CLI_HELP);
	CU_ASSERT_STRING_EQUAL(messages, "");
}

#define MISUSE(words, ...)                                                                         \
	do {                                                                                       \
		struct cli cli;                                                                    \
		CU_ASSERT_EQUAL(PARSE(&cli, __VA_ARGS__), -EINVAL);                                \
		CU_ASSERT_STRING_EQUAL(messages, "godwit: " words "; godwit --help tells more\n"); \
	} while (0)

static void test_misuse(void)
{
	MISUSE("unknown option --confg; did you mean --config?", "--confg", "x");
	MISUSE("unknown option --no-tcp=1; did you mean --no-tap?", "--no-tcp=1");
	MISUSE("unknown option --frobnicate", "--frobnicate");
	MISUSE("unknown option -x", "-x");
	MISUSE("option --config needs a value", "--config");
	MISUSE("option --config needs a value", "-c");
	MISUSE("option --log-level needs a value", "--log-level");
	MISUSE("option --no-tap takes no value", "--no-tap=yes");
	MISUSE("--log-level: found \"loud\"; allowed: one of error, warn, info, debug", "--log-level",
		"loud");
	MISUSE("more than one --config", "--config", "a", "--config", "b");
	MISUSE("--config: the file's name is empty", "--config", "");
	MISUSE("found \"godwit.yaml\", which is no option", "godwit.yaml");
	MISUSE("found \"x\", which is no option", "--no-tap", "--", "x");
	MISUSE("more than one of --check-config, --print-config, --version and --help", "--check-config",
		"--print-config");
}

static void test_apply(void)
{
	struct config *c = calloc(1, sizeof(*c));
	struct cli cli;
	CU_ASSERT_EQUAL(config_load(NULL, c, stderr), 0);
	CU_ASSERT_EQUAL(PARSE(&cli, "--no-tap", "--no-huge", "--log-level", "error"), 0);
	CU_ASSERT_EQUAL(cli_apply(&cli, c, stderr), 0);
	CU_ASSERT_EQUAL(c->port_count, 0);
	CU_ASSERT_EQUAL(c->listener_count, 1);
	CU_ASSERT_EQUAL(c->memory.hugepages, CONFIG_HUGEPAGES_OFF);
	CU_ASSERT_EQUAL(c->log.level, LOG_LEVEL_ERROR);

	CU_ASSERT_EQUAL(PARSE(&cli, "--no-tap", "--no-kernel"), 0);
	FILE *err = fmemopen(messages, sizeof(messages) - 1, "w");
	CU_ASSERT_EQUAL(cli_apply(&cli, c, err), -EINVAL);
	fclose(err);
	CU_ASSERT_STRING_EQUAL(messages,
		"godwit: --no-tap with --no-kernel leaves no listener: there is nothing to serve\n");
	free(c);
}

static void test_help(void)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	cli_help(out);
	fclose(out);
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		CU_ASSERT_TRUE(strcspn(line, "\n") <= 80);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "--print-config"));
	free(text);
	out = open_memstream(&text, &bytes);
	cli_version(out);
	fclose(out);
	CU_ASSERT_STRING_EQUAL(text, "godwit " GODWIT_VERSION "\n");
	free(text);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"understood", test_understood},
		{"misuse", test_misuse},
		{"apply", test_apply},
		{"help", test_help},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
