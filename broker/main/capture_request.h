/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of the control command `capture`. */
#ifndef BROKER_MAIN_CAPTURE_REQUEST_H
#define BROKER_MAIN_CAPTURE_REQUEST_H

#include <jansson.h>

#include "config/config.h"
#include "transport/capture.h"

enum {
	CAPTURE_PACKETS_DEFAULT = 1000000,
	CAPTURE_BUFFER_DEFAULT = 16 << 20,
	CAPTURE_BUFFER_MAX = 256 << 20,
	CAPTURE_FILTER_TEXT_BYTES = 256,
};
#define CAPTURE_BYTES_DEFAULT	    (1ull << 30)
#define CAPTURE_DURATION_US_MAX	    (366ull * 24 * 3600 * 1000000)
#define CAPTURE_DURATION_US_DEFAULT (3600ull * 1000000)

struct capture_request {
	bool ports[CONFIG_PORTS_MAX]; /* by index; none is set: all that are there */
	struct capture_filter filter;
	char filter_text[CAPTURE_FILTER_TEXT_BYTES]; /* for people; empty: none */
	uint64_t packets, bytes, duration_us;	     /* what ends it, whichever comes first; 1 or more */
	uint32_t snaplen;
	uint32_t buffer_bytes; /* a power of two */
	bool nanoseconds;
};

/* Reads arguments (an object or NULL) with everything that they leave out. 0, or -1 with one sentence in
 * error.
 *
 *   "ports": ["godwit0"], "host": "10.0.0.0/8", "tcp_port": 5672, "connection": ["10.0.0.1:40000",
 *   "[fd00::2]:5672"], "packets", "bytes", "duration_us", "snaplen", "buffer": numbers, "resolution": "ns",
 * "us"
 */
int capture_request_read(struct capture_request *r, const json_t *arguments, const struct config *c,
	char *error, size_t error_bytes);

#endif
