/* SPDX-License-Identifier: Apache-2.0 */
/* What users may do, as RabbitMQ has it: a user has at most one permission in a virtual host, of three
 * regular expressions that say which exchanges and queues are the user's to configure, to write to and to
 * read from. What a connection was granted when it opened its virtual host stays its own until it ends. */
#ifndef BROKER_ACCESS_H
#define BROKER_ACCESS_H

#include "broker/core/value.h"
#include "runtime/pattern.h"

#include <stdbool.h>
#include <stdint.h>

struct access;	     /* shared: all permissions */
struct access_grant; /* one user's in one virtual host */

enum access_kind { ACCESS_CONFIGURE, ACCESS_WRITE, ACCESS_READ, ACCESS_KINDS };

enum { ACCESS_NAME_MAX = 255, ACCESS_ERROR_BYTES = PATTERN_ERROR_BYTES + 32 };

struct access_permission {
	const char *user, *vhost; /* up to ACCESS_NAME_MAX octets each; no two permissions of both */
	const char
		*pattern[ACCESS_KINDS]; /* PCRE2, not anchored; an empty one is ^$: no name that there is */
};

/* count 0: every user may do everything in every virtual host. Permissions are copied. NULL: a pattern cannot
 * be compiled, or there is no memory; error says which and why. Main thread. */
struct access *access_create(
	const struct access_permission *permissions, uint32_t count, char error[static ACCESS_ERROR_BYTES]);
/* No grant is open any more. Main thread. */
void access_destroy(struct access *a);

/* Replaces all permissions (SIGHUP); grants that are open stay as they are. 0, or -1 with error as above: the
 * old ones stay. Main thread. */
int access_replace(struct access *a, const struct access_permission *permissions, uint32_t count,
	char error[static ACCESS_ERROR_BYTES]);

/* What the user may do in the virtual host; NULL: nothing, not even connect to it. O(permissions). Core,
 * within a turn. */
struct access_grant *access_open(struct access *a, struct slice user, struct slice vhost);
/* Core. NULL: nothing to do. */
void access_close(struct access_grant *g);

/* Whether the exchange or queue of that name is the user's for that. The default exchange's name is
 * amq.default here. A match that runs into pattern.h's limits is no. No allocation. The core of m. */
bool access_allows(
	const struct access_grant *g, struct pattern_match *m, enum access_kind kind, struct slice name);

/* For messages: "configure", "write", "read". */
const char *access_kind_name(enum access_kind kind);

#endif
