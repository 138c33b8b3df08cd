/* SPDX-License-Identifier: Apache-2.0 */
/* Who may log in. A clear password is compared in constant time on the core; a crypt(3) hash takes
 * milliseconds and is computed by a thread of its own, whose answer comes back to the asking core. */
#ifndef BROKER_AUTH_H
#define BROKER_AUTH_H

#include "broker/core/value.h"

#include <stddef.h>
#include <stdint.h>

struct auth;	  /* shared: users and the hashing thread */
struct auth_port; /* one core's end of it */

struct auth_user {
	const char *name;     /* 1 to 255 bytes */
	const char *password; /* clear text, or NULL */
	const char *hash;     /* crypt(3) string, or NULL */
};

enum auth_verdict { AUTH_REFUSED, AUTH_ACCEPTED, AUTH_PENDING };

/* Main thread. count 0: guest with the password guest, from loopback and from the TAP's own link alone.
 * Users are copied. NULL without memory or thread. */
struct auth *auth_create(const struct auth_user *users, uint32_t count);
void auth_destroy(struct auth *a);

/* Replaces the users (SIGHUP). Sessions that are logged in stay. Main thread. 0 or -ENOMEM. */
int auth_replace(struct auth *a, const struct auth_user *users, uint32_t count);

/* Main thread. wake(wake_ctx) is called from the hashing thread when an answer waits for this core. */
struct auth_port *auth_port_create(struct auth *a, void (*wake)(void *ctx), void *wake_ctx);
/* Main thread, once the core has stopped. Requests that wait are dropped; waits for the hash under way. */
void auth_port_destroy(struct auth_port *p);

/* Called on the core for each answer; token is what auth_check was given. */
typedef void (*auth_answer_fn)(void *ctx, uint64_t token, enum auth_verdict verdict);

/* Checks a name and a password (each up to 255 bytes, longer is refused). PENDING: the answer comes through
 * auth_poll with token. Unknown users cost what known ones do. A full request ring is REFUSED. Core. */
enum auth_verdict auth_check(
	struct auth_port *p, struct slice user, struct slice password, bool local_link, uint64_t token);

/* Hands waiting answers over. Core, once a turn; O(answers). */
unsigned auth_poll(struct auth_port *p, auth_answer_fn answer, void *ctx);

#endif
