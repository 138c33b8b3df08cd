/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the broker's control socket. */
#ifndef TOOLS_GODWITCTL_ASK_H
#define TOOLS_GODWITCTL_ASK_H

#include <jansson.h>
#include <stdbool.h>
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

/* A question whose answer comes in pieces (see broker/control/control.h). */
struct talk;

struct talk_reply {
	json_t *result; /* a new reference that becomes the caller's; NULL: the piece has none */
	size_t bytes;	/* so many bytes follow and are read with talk_bytes before the next piece */
	bool more;	/* another piece follows */
};

/* Sends command with arguments_take (NULL: none). ASK_OK: *out, which talk_close frees. */
enum ask_result talk_open(const char *path, const char *command, json_t *arguments_take, unsigned timeout_ms,
	struct talk **out, char *error, size_t error_bytes);

/* Waits for the next piece, for timeout_ms at most. */
enum ask_result talk_next(struct talk *t, struct talk_reply *reply, char *error, size_t error_bytes);

/* Takes up to n of a piece's bytes. How many, or 0 with the reason in error. */
size_t talk_bytes(struct talk *t, void *to, size_t n, char *error, size_t error_bytes);

/* Whether something was received that talk_next has not given yet; else talk_fd polls readable first. */
bool talk_waiting(const struct talk *t);
int talk_fd(const struct talk *t);

/* Asks the broker to come to the end: the last pieces still follow. */
void talk_stop(struct talk *t);
void talk_close(struct talk *t);

#endif
