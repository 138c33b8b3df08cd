/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of godwit. */
#ifndef CONFIG_CLI_H
#define CONFIG_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "config/config.h"

enum { CLI_EXIT_MISUSE = 2 };

enum cli_action { CLI_RUN, CLI_CHECK_CONFIG, CLI_PRINT_CONFIG, CLI_VERSION, CLI_HELP };

struct cli {
	enum cli_action action;
	const char *config_path; /* of argv; NULL: the embedded defaults */
	bool no_tap, no_kernel, no_huge;
	bool log_level_set;
	enum log_level log_level;
};

/* Parses the command line. Returns 0, or -EINVAL with one line on err that says what is wrong: the caller
 * exits with CLI_EXIT_MISUSE. Uses getopt's global state; main thread, at start. */
int cli_parse(int argc, char **argv, struct cli *cli, FILE *err);

/* Applies --no-tap, --no-kernel, --no-huge and --log-level to a loaded configuration (after each load, a
 * reload too). Returns 0, or -EINVAL with one line on err where no listener is left. */
int cli_apply(const struct cli *cli, struct config *c, FILE *err);

/* The help text (lines of at most 80 columns) and the version line. */
void cli_help(FILE *out);
void cli_version(FILE *out);

#endif
