/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of godwitctl share. Each command reads all of the command line but the program's name,
 * the general options among it, and returns the program's exit code. */
#ifndef TOOLS_GODWITCTL_COMMAND_H
#define TOOLS_GODWITCTL_COMMAND_H

#include <stdint.h>

#include "tools/godwitctl_ask.h"

enum { EXIT_REFUSED = 1, EXIT_MISUSE = 2 }; /* 0, 1 and 3: enum ask_result */
enum { COMMAND_TIMEOUT_MS = 10000 };

/* "godwitctl: WHATWORD; ..." EXIT_MISUSE. */
int misuse(const char *what, const char *word);

/* The socket that was asked for, or the default. NULL after a word about it. */
const char *socket_path(const char *asked_or_null);

/* Says why asking at path failed; returns code. */
int say_failed(enum ask_result code, const char *error, const char *asked_or_null, const char *path);

int command_status(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_capture(int argc, char **argv);
int command_tcp(int argc, char **argv);

#endif
