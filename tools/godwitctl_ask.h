/* SPDX-License-Identifier: Apache-2.0 */
/* One question to the broker's control socket, one answer. */
#ifndef TOOLS_GODWITCTL_ASK_H
#define TOOLS_GODWITCTL_ASK_H

#include <jansson.h>
#include <stddef.h>

enum ask_result {
	ASK_OK = 0,
	ASK_REFUSED = 1,     /* the broker says why not */
	ASK_UNREACHABLE = 3, /* no broker, no permission, or no proper answer within timeout_ms */
};

/* Sends command without arguments to the broker at path and waits for its answer. ASK_OK: *result is a new
 * reference that becomes the caller's. Otherwise error holds one sentence. Blocks for timeout_ms at most in
 * each step. */
enum ask_result ask(const char *path, const char *command, unsigned timeout_ms, json_t **result, char *error,
	size_t error_bytes);

#endif
