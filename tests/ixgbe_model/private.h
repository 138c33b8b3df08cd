/* SPDX-License-Identifier: Apache-2.0 */
/* What the model's files share. All of a model's state is its lock's, which a turn holds from beginning to
 * end; only the packet buffer, which the device at the other end of the wire fills, has a lock of its own
 * (taken last). Registers and descriptors are the driver's at the same time, without any lock: they are read
 * and written as single words, in the order that a device would. */
#ifndef TESTS_IXGBE_MODEL_PRIVATE_H
#define TESTS_IXGBE_MODEL_PRIVATE_H

#include "tests/ixgbe_model/bus_pci.h"
#include "tests/ixgbe_model/host.h"
#include "tests/ixgbe_model/model.h"
#include "tests/ixgbe_model/part.h"
#include "tests/ixgbe_model/registers.h"

#include <pthread.h>
#include <sys/queue.h>

enum {
	IXM_EEPROM_WORDS = 1024,
	IXM_DMA_RANGES_MAX = 256,
	IXM_PHY_REGISTERS_MAX = 32,
	IXM_CONTEXTS = 2,		 /* 7.2.3.2.3: two a queue */
	IXM_SEND_BYTES_MAX = 256 * 1024, /* 7.2.4: a large send's payload */
	IXM_PACKET_BUFFERS_MAX = 40,	 /* 7.2.3.2.4, and the driver's IXGBE_TX_MAX_SEG */
	IXM_TURN_FRAMES_MAX = 256,	 /* of one queue in one turn */
};

/* ---- packet buffer (fifo.c) ---- */

struct ixm_fifo_frame {
	uint32_t bytes;
	bool damaged;
	const uint8_t *data;
};

struct ixm_fifo {
	pthread_mutex_t lock;
	uint8_t *ring;
	uint32_t size, head, used; /* bytes */
	uint64_t lost;		   /* frames that did not fit */
};

int ixm_fifo_init(struct ixm_fifo *f, uint32_t bytes);
void ixm_fifo_free(struct ixm_fifo *f);
void ixm_fifo_clear(struct ixm_fifo *f);
bool ixm_fifo_put(struct ixm_fifo *f, const uint8_t *frame, unsigned bytes, bool damaged);
unsigned ixm_fifo_room(struct ixm_fifo *f);
uint64_t ixm_fifo_lost(struct ixm_fifo *f);
/* The oldest frame, in place until it is dropped; only one thread at a time takes. */
bool ixm_fifo_peek(struct ixm_fifo *f, struct ixm_fifo_frame *out);
void ixm_fifo_drop(struct ixm_fifo *f);

/* ---- what a frame is (parse.c) ---- */

struct ixm_frame {
	const uint8_t *data;
	unsigned bytes;
	bool tagged;
	uint16_t tag; /* 802.1Q's, where tagged */
	bool ip4, ip6, fragment, extensions, options;
	uint8_t protocol; /* of what follows the IP headers; only where it is not a fragment */
	unsigned l3, l4;  /* offsets; l4 is 0 where there is no TCP or UDP that can be looked at */
	unsigned end;	  /* of the IP datagram: behind it is padding */
};

enum { IXM_TCP = 6, IXM_UDP = 17, IXM_SCTP = 132 };

void ixm_parse(const uint8_t *data, unsigned bytes, struct ixm_frame *out);

/* Internet checksum arithmetic; data may begin anywhere. */
uint32_t ixm_sum(uint32_t sum, const uint8_t *data, unsigned bytes);
uint16_t ixm_sum_fold(uint32_t sum);
/* Of addresses, protocol and length (RFC 9293 3.1, RFC 8200 8.1). */
uint32_t ixm_pseudo_sum(const struct ixm_frame *f);

/* ---- statistics (stats.c) ---- */

struct ixm_stats {
#define IXM_STAT(name, address)	     uint64_t name;
#define IXM_STAT_WIDE(name, address) uint64_t name;
#include "tests/ixgbe_model/stats.def"
#undef IXM_STAT
#undef IXM_STAT_WIDE
	uint64_t qprc[IXM_STAT_COUNTERS], qbrc[IXM_STAT_COUNTERS], qprdc[IXM_STAT_COUNTERS];
	uint64_t qptc[IXM_STAT_COUNTERS], qbtc[IXM_STAT_COUNTERS];
};

struct ixm_rx_queue {
	bool on;
	uint32_t head; /* what RDH shows */
};

struct ixm_tx_context {
	uint32_t vlan_macip, type_tucmd, mss_l4len_idx;
};

struct ixm_tx_queue {
	bool on;
	uint32_t head;
	struct ixm_tx_context context[IXM_CONTEXTS];
};

struct ixm_phy_register {
	uint16_t device, number, value;
};

struct ixm_dma_range {
	uint64_t first, last; /* inclusive */
};

struct ixm_dma {
	struct ixm_dma_range range[IXM_DMA_RANGES_MAX];
	unsigned ranges, hit; /* hit: the range that was used last */
	struct ixm_dma_fault fault;
	ixm_dma_watch watch;
	void *watch_context;
};

struct ixm {
	LIST_ENTRY(ixm) all; /* in model.c's list */
	pthread_mutex_t lock;
	const struct ixm_part *part;
	uint8_t *bar;
	uint8_t mac[6];
	uint16_t eeprom[IXM_EEPROM_WORDS];
	struct ixm_phy_register phy[IXM_PHY_REGISTERS_MAX]; /* those that were written */
	unsigned phy_registers;
	bool phy_asleep; /* the peer looks at it, too */
	struct ixm_rx_queue rx[IXM_QUEUES];
	struct ixm_tx_queue tx[IXM_QUEUES];
	struct ixm_fifo fifo;
	struct ixm_dma dma;
	struct ixm_stats stats;
	struct ixm_host host;
	bool host_down;
	uint64_t lost_shown; /* of the packet buffer's losses: in MPC before */
	struct ixm_counters count;
	struct ixm_faults faults;

	ixm_wire_out out; /* the other end of the cable, or NULL */
	void *out_context;
	struct ixm *peer; /* ... where that is a model */
	bool lossless;

	uint8_t *send;	/* a packet that is put together out of its descriptors */
	uint8_t *piece; /* ... and a frame cut from it */

	struct bus_pci_device pci;
	struct bus_ops bus;
	int interrupt_fd;
	bool interrupts;
	uint32_t interrupt_mask, interrupt_cause; /* bits of vectors: may fire, would fire */

	pthread_t thread;
	bool threaded, thread_stop;
};

/* ---- registers ---- */

static inline volatile uint32_t *ixm_register(const struct ixm *m, uint32_t address)
{
	return (volatile uint32_t *)(void *)(m->bar + address);
}

static inline uint32_t ixm_get(const struct ixm *m, uint32_t address)
{
	return __atomic_load_n(ixm_register(m, address), __ATOMIC_ACQUIRE);
}

static inline void ixm_set(struct ixm *m, uint32_t address, uint32_t value)
{
	__atomic_store_n(ixm_register(m, address), value, __ATOMIC_RELEASE);
}

/* Clears bits that clear themselves; what the driver wrote meanwhile stays. */
static inline void ixm_clear(struct ixm *m, uint32_t address, uint32_t bits)
{
	__atomic_and_fetch(ixm_register(m, address), ~bits, __ATOMIC_ACQ_REL);
}

static inline uint32_t ixm_rx_register(const struct ixm *m, unsigned queue, unsigned which)
{
	return RX_QUEUE + queue * QUEUE_STRIDE + which;
}

static inline uint32_t ixm_tx_register(const struct ixm *m, unsigned queue, unsigned which)
{
	return m->part->tx_queues + queue * QUEUE_STRIDE + which;
}

static inline uint32_t ixm_srrctl(const struct ixm *m, unsigned queue)
{
	return queue < 16 && !m->part->virtual ? SRRCTL0 + queue * 4 : ixm_rx_register(m, queue, Q_SRRCTL);
}

/* control.c: resets and what else the driver waits for. */
void ixm_power_on(struct ixm *m);
void ixm_control_turn(struct ixm *m);
/* virtual.c: the same for a VF. */
void ixm_virtual_power_on(struct ixm *m);
void ixm_virtual_turn(struct ixm *m);
/* eeprom.c */
void ixm_eeprom_fill(struct ixm *m, bool broken);
void ixm_eeprom_turn(struct ixm *m);
/* link.c */
void ixm_link_reset(struct ixm *m);
void ixm_link_turn(struct ixm *m);
bool ixm_link_up(const struct ixm *m);
/* phy.c */
void ixm_phy_turn(struct ixm *m);
/* firmware.c */
void ixm_firmware_turn(struct ixm *m);
/* queue.c */
void ixm_queues_turn(struct ixm *m);
void ixm_queues_reset(struct ixm *m);
uint64_t ixm_ring_base(const struct ixm *m, uint32_t queue_registers);
unsigned ixm_ring_size(const struct ixm *m, uint32_t queue_registers);
/* filter.c: whether the frame is taken; *inexact: by the hash of group addresses alone. */
bool ixm_filter(const struct ixm *m, const struct ixm_frame *f, bool *inexact);
/* rss.c: the queue; hash and RSS type as a descriptor reports them. */
unsigned ixm_rss(const struct ixm *m, const struct ixm_frame *f, uint32_t *hash, unsigned *type);
/* rx.c, tx.c: true where a frame moved. */
bool ixm_rx_turn(struct ixm *m);
bool ixm_tx_turn(struct ixm *m);
/* offload.c: sends a packet with what its descriptors ask for. */
struct ixm_send {
	unsigned bytes;
	bool insert_tag, segment, ip_checksum, l4_checksum;
	uint32_t payload;
	const struct ixm_tx_context *context;
	unsigned queue;
};
void ixm_send(struct ixm *m, const struct ixm_send *s);
/* wire.c */
void ixm_wire_send(struct ixm *m, const uint8_t *frame, unsigned bytes, unsigned queue);
bool ixm_wire_full(struct ixm *m);
/* stats.c */
void ixm_stats_sent(struct ixm *m, const uint8_t *frame, unsigned bytes, unsigned queue);
void ixm_stats_received(struct ixm *m, const struct ixm_frame *f, unsigned queue);
void ixm_stats_show(struct ixm *m);
void ixm_stats_hide(struct ixm *m);
unsigned ixm_stats_counter(const struct ixm *m, unsigned queue);
/* interrupt.c */
void ixm_interrupt(struct ixm *m, unsigned rx_queue);
void ixm_interrupt_mail(struct ixm *m);
void ixm_interrupt_turn(struct ixm *m);
/* dma.c: memory that the device may reach, or NULL with a fault counted. */
int ixm_dma_start(struct ixm *m);
void *ixm_dma(struct ixm *m, enum ixm_dma_kind kind, unsigned queue, uint64_t address, size_t bytes);
int ixm_dma_add(struct ixm *m, uint64_t address, size_t bytes);
int ixm_dma_remove(struct ixm *m, uint64_t address, size_t bytes);
/* device.c */
int ixm_device_probe(struct ixm *m, const struct ixm_config *config, char *error, size_t error_bytes);
void ixm_device_remove(struct ixm *m);
/* model.c */
bool ixm_wait(void); /* a wait of the driver; false where no model is open */
struct ixm *ixm_of_port(uint16_t port);

#endif
