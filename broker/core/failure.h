/* SPDX-License-Identifier: Apache-2.0 */
/* Why an operation of the core was refused, without a protocol's numbers: each adaptor maps the code to its
 * own reply (0-9-1: 404, 403, 405, 406, ...) and uses the text as it is. */
#ifndef BROKER_CORE_FAILURE_H
#define BROKER_CORE_FAILURE_H

enum failure_code {
	FAILURE_NONE = 0,
	FAILURE_NOT_FOUND = -1,	      /* no such exchange, queue, vhost */
	FAILURE_ACCESS_REFUSED = -2,  /* reserved or default names, exclusive consumer present */
	FAILURE_RESOURCE_LOCKED = -3, /* exclusive queue of another session */
	FAILURE_PRECONDITION = -4,    /* differs from what exists, in use, not empty, bad argument */
	FAILURE_LIMIT = -5,	      /* a configured limit is reached */
	FAILURE_COMMAND_INVALID = -6, /* unknown exchange type and the like */
	FAILURE_NOT_IMPLEMENTED = -7, /* an argument that is known and not honoured yet */
	FAILURE_AGAIN = -8,	      /* not now: the same call again in a later turn; has no text */
};

struct failure {
	enum failure_code code;
	char text[256]; /* without the code's name in front, e.g. "no exchange 'x' in vhost '/'" */
};

/* Fills f (may be NULL) and returns code. */
__attribute__((format(printf, 3, 4))) enum failure_code failure_set(
	struct failure *f, enum failure_code code, const char *fmt, ...);

#endif
