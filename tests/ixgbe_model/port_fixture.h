/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a port over the driver and a model, with its cable in its own other end. */
#ifndef TESTS_IXGBE_MODEL_PORT_FIXTURE_H
#define TESTS_IXGBE_MODEL_PORT_FIXTURE_H

#include "dpdk_port/port.h"
#include "tests/ixgbe_model/model.h"
#include "tests/ixgbe_model/test_packet.h"
#include "tests/unit/unit.h"

extern const char pf_address[];
extern const uint8_t pf_device_mac[6];

struct port_bench {
	struct ixm *device;
	struct port *port;
	struct rte_mempool *frames;
};

/* EAL where it does not run yet. All of these assert. */
void pf_eal(void);
/* With a model of pf_device_mac at pf_address, and a port on it: 1 queue unless told, and always the same
 * key. */
void pf_open(struct port_bench *b, struct port_config c);
/* The same with another address and MAC: number (0 to 7) is added to their last digits. */
void pf_open_number(struct port_bench *b, unsigned number, struct port_config c);
/* The same with another device: its address, MAC and interrupts are filled in. */
void pf_device_open(struct port_bench *b, unsigned number, struct ixm_config device, struct port_config c);
/* Every buffer is back, and the device saw nothing wrong. */
void pf_close(struct port_bench *b);

/* TCP flow number i, from another host to the port's; its mark is i. */
struct test_packet pf_flow(unsigned i);
/* The core that the port gives it to. */
unsigned pf_owner(const struct port_bench *b, const struct test_packet *p);

struct rte_mbuf *pf_frame(struct port_bench *b, const struct test_packet *p);
/* Through the port, until the device has them. */
void pf_send(struct port_bench *b, unsigned queue, struct rte_mbuf **frames, unsigned n);
/* Receives and frees everything; how many. */
unsigned pf_drain(struct port_bench *b, unsigned queue);

#endif
