/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the table code: how long a value of each field type is on the wire. */
#ifndef BROKER_AMQP091_TABLE_TYPES_H
#define BROKER_AMQP091_TABLE_TYPES_H

#define AMQP091_TYPE_NONE    (-1)  /* no field type has this letter */
#define AMQP091_TYPE_COUNTED 0x100 /* a 32-bit count of octets stands in front */

/* The octets of a value after its type letter, or one of the two above. */
static inline int amqp091_type_size(char type)
{
	switch (type) {
	case 'V':
		return 0;
	case 't':
	case 'b':
	case 'B':
		return 1;
	case 's':
	case 'U':
	case 'u':
		return 2;
	case 'I':
	case 'i':
	case 'f':
		return 4;
	case 'D':
		return 5;
	case 'l':
	case 'L':
	case 'd':
	case 'T':
		return 8;
	case 'S':
	case 'x':
	case 'F':
	case 'A':
		return AMQP091_TYPE_COUNTED;
	default:
		return AMQP091_TYPE_NONE;
	}
}

#endif
