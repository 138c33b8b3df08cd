/* SPDX-License-Identifier: Apache-2.0 */
/* The AMQP 0-9-1 codec: what to include, and how it fits together.
 *
 *   codec.h                 all of it
 *   wire091.h               error codes, slices, the reader and writers of single fields, UTF-8
 *   frame091.h              frames, heartbeats, content headers, the protocol header
 *   constants.h             generated: frame types, class ids, reply codes, method ids
 *   methods.h               generated: one struct and five functions a method, content properties
 *   method_info.h           what the specification says of methods and reply codes, as data
 *   table.h                 field tables: validate, iterate, look up, build
 *
 * Receiving. amqp091_frame_parse() takes a frame from contiguous input (where a frame is spread over buffers,
 * amqp091_frame_header_get() and _check() do the header alone). A method frame's payload goes to
 * amqp091_method_decode(), or by the id in its first four octets to one amqp091_decode_CLASS_METHOD(). A
 * content header's payload goes to amqp091_content_header_decode(), its property block to
 * amqp091_basic_properties_validate() (to pass on as received) or _decode() (to look inside).
 *
 * Sending. amqp091_frame_CLASS_METHOD() writes a whole method frame and says how long it is or that there is
 * no room; size and put are its two unchecked halves. amqp091_content_header_frame_put() and
 * amqp091_frame_header_put() do the content's frames.
 *
 *   struct amqp091_queue_declare_ok ok = {.queue = name, .message_count = 3};
 *   ssize_t n = amqp091_frame_queue_declare_ok(dst, room, channel, &ok);
 *
 * Rules that all share:
 *   - Nothing is copied: slices borrow from the input and live as long as it does.
 *   - A failed decode leaves out unspecified.
 *   - Reserved fields are read and dropped, and written as zero; they are not in the structs.
 *   - bit is bool, octet to longlong and timestamp are uint8_t to uint64_t, shortstr and longstr are slices,
 *     table is a slice of validated entries.
 *   - Every function may run on any core, keeps no state, allocates nothing, and costs in proportion to the
 *     octets given.
 *
 * Names. The specification wants names of exchanges and queues to be at most 127 of [a-zA-Z0-9-_.:]. Clients
 * are used to brokers that take any UTF-8 up to 255 octets, and so does this codec: malformed UTF-8 is
 * refused (AMQP091_ERR_UTF8) in short strings of methods without content. Methods with content
 * (basic.publish) are not checked, for speed: their names are only looked up, and a routing key is opaque.
 * The specification's own limits are there to be asked for: amqp091_exchange_name_is_strict(),
 * amqp091_queue_name_is_strict(). */
#ifndef BROKER_AMQP091_CODEC_H
#define BROKER_AMQP091_CODEC_H

#include "broker/amqp091/methods.h"
#include "broker/amqp091/table.h"

/* The reply code of the connection exception that a failed decode or frame calls for: 501 for frames and for
 * short strings that are not UTF-8, 503 for an unknown method, 502 for every other malformed argument. */
static inline uint16_t amqp091_error_reply(int error)
{
	switch (error) {
	case AMQP091_ERR_UTF8:
	case AMQP091_ERR_FRAME_TYPE:
	case AMQP091_ERR_FRAME_SIZE:
	case AMQP091_ERR_FRAME_END:
		return AMQP091_REPLY_FRAME_ERROR;
	case AMQP091_ERR_UNKNOWN:
		return AMQP091_REPLY_COMMAND_INVALID;
	default:
		return AMQP091_REPLY_SYNTAX_ERROR;
	}
}

#endif
