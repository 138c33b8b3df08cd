/* SPDX-License-Identifier: Apache-2.0 */
/* What the specification's XML says of methods and reply codes beyond their encoding, as constant data. */
#ifndef BROKER_AMQP091_METHOD_INFO_H
#define BROKER_AMQP091_METHOD_INFO_H

#include <stdbool.h>
#include <stdint.h>

/* The wire types of method fields; codec.h lists the C type of each. */
enum amqp091_field_type {
	AMQP091_FIELD_OCTET,
	AMQP091_FIELD_SHORT,
	AMQP091_FIELD_LONG,
	AMQP091_FIELD_LONGLONG,
	AMQP091_FIELD_TIMESTAMP,
	AMQP091_FIELD_SHORTSTR,
	AMQP091_FIELD_LONGSTR,
	AMQP091_FIELD_TABLE,
	AMQP091_FIELD_BIT,
};

/* One member of a method's struct; reserved fields have none. */
struct amqp091_field_info {
	const char *name; /* as in the XML: "routing-key" */
	uint8_t type;	  /* enum amqp091_field_type */
	uint16_t offset;  /* in struct amqp091_CLASS_METHOD */
};

struct amqp091_method_info {
	uint32_t id;
	const char *name; /* "basic.publish" */
	bool content;	  /* a content header and bodies follow */
	bool synchronous; /* a response of the peer is waited for, or it is such a response */
	bool to_server;	  /* a client may send it */
	bool to_client;	  /* a server may send it */
	bool has_nowait;  /* with no-wait set no response is sent */
	bool deprecated;
	uint8_t field_count;
	uint8_t response_count;
	uint32_t responses[2];
	const struct amqp091_field_info *fields;
};

struct amqp091_reply_info {
	uint16_t code;
	const char *name; /* "NOT_FOUND", as reply texts begin */
	bool hard;	  /* ends the connection; else the channel */
};

#endif
