/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: TCP and UDP in IPv4 and IPv6, with checksums made by DPDK's functions, not by the model's. */
#ifndef TESTS_IXGBE_MODEL_TEST_PACKET_H
#define TESTS_IXGBE_MODEL_TEST_PACKET_H

#include <stdbool.h>
#include <stdint.h>

enum { TP_TCP = 6, TP_UDP = 17 };

struct test_packet {
	bool v6, fragment;
	uint8_t protocol;		     /* TP_TCP, TP_UDP or another one, without a header of its own */
	uint8_t source[16], destination[16]; /* IPv4: the first four */
	uint16_t source_port, destination_port;
	uint32_t mark; /* in the last bytes, if the payload has room for them */
	unsigned payload;
	uint8_t tcp_flags;
	uint16_t vlan; /* 0: none */
};

/* Writes the frame for a MAC; its length. */
unsigned test_packet_write(uint8_t *frame, const uint8_t mac[6], const struct test_packet *p);

/* Where headers begin in a frame that test_packet_write or the device wrote. */
unsigned test_packet_l3(const uint8_t *frame);
unsigned test_packet_l4(const uint8_t *frame);

/* Whether lengths and checksums in it are right. */
bool test_packet_right(const uint8_t *frame, unsigned bytes);

#endif
