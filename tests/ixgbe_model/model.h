/* SPDX-License-Identifier: Apache-2.0 */
/* An 82599 in software. Debian's own net_ixgbe, not changed in any way, is probed in this process on a PCI
 * device of ours whose BAR 0 is memory. What the driver writes there the model reads in its next turn, and
 * answers as the datasheet says; frames go through the driver's descriptor rings. No privilege, no PCI, no
 * hugepages: EAL with --no-huge, --no-pci and IOVA as VA. The other families that the driver serves are the
 * same device with the differences that the driver knows of (part.h).
 *
 * Numbers such as 7.2.3 in comments are sections of the 82599's datasheet. What cites none, and is no matter
 * of the cable or of memory, rests on the driver's source (DPDK 22.11, drivers/net/ixgbe).
 *
 * The device plays when it is given turns: by a thread of its own (ixm_thread_start), or by hand (ixm_turn),
 * which makes a test the same in each run. Beside that each wait of the driver is a turn of all models: the
 * programs that link this are linked with --wrap=rte_delay_us_sleep (meson's ixgbe_model_dep), so that a
 * reset takes no time and never times out on a loaded machine.
 *
 * What plain memory cannot show: a read. Registers that clear or change when they are read keep their value
 * (SWSM.SMBI, EICR). Statistics clear on read, and the driver adds up what it reads; they are therefore
 * served around the calls that read them (rte_eth_stats_get and its kin, wrapped at link time) and are 0 at
 * all other times.
 *
 * Not there: flow director, VFs beside their PF, RSC, header split, MACsec, IPsec, priority flow control,
 * FCoE, time stamps, link speeds below 10 Gbit/s; the CRC is always stripped. */
#ifndef TESTS_IXGBE_MODEL_H
#define TESTS_IXGBE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ixm;

enum {
	IXM_FRAME_BYTES_MAX = 15872, /* 8.2.3.22: MAXFRS goes to 15.5 KB */
};

enum ixm_part_name {
	IXM_82599,    /* KX4, 8086:10f7 */
	IXM_82598,    /* AF, 8086:10c6: fibre */
	IXM_X540,     /* 8086:1528: 10GBASE-T */
	IXM_X550,     /* 8086:1563: 10GBASE-T, and firmware that is asked for things */
	IXM_82599_VF, /* 8086:10ed, net_ixgbe_vf: a VF, its PF and the host's driver */
	IXM_X540_VF,  /* 8086:1515, the same */
};

/* How the host has set up a VF, and its PF. */
struct ixm_host_config {
	bool mac_unset;	  /* it has given the VF no MAC: the VF makes one up */
	bool trusted;	  /* "trust on": the VF may have other MACs, and all groups */
	bool silent;	  /* it does not answer, from the beginning */
	bool spoof_check; /* frames from other MACs are dropped */
	unsigned queues;  /* of each VF: 1, 2 or 4; 0: 1 */
	unsigned mtu;	  /* the PF's; 0: 1500 */
};

struct ixm_config {
	enum ixm_part_name part;
	const char *address; /* "0000:03:00.0": the name of the ethdev port */
	uint8_t mac[6];	     /* in the EEPROM */
	bool interrupts;     /* event descriptors for RX queues, as vfio-pci makes them */
	bool eeprom_broken;  /* its checksum is wrong */
	struct ixm_host_config host;
};

/* Makes the device and probes the driver on it. EAL runs with IOVA as VA. 0, -ENODEV (no such driver in the
 * program, or it gave up), -ENOTSUP (another DPDK than the one that our declarations are for, or no IOVA as
 * VA), -ENOMEM, -EEXIST (address in use); error says it in words. Main thread. */
int ixm_open(const struct ixm_config *config, struct ixm **out, char *error, size_t error_bytes);

/* Closes the port where it is still open, takes the wire off and frees the device. No thread plays it. NULL
 * is allowed. */
void ixm_close(struct ixm *m);

/* The ethdev port. */
uint16_t ixm_port_id(const struct ixm *m);

/* What the hardware can do in an instant: registers, then transmission of all that is in the rings, then
 * reception of all that is in the packet buffer. True where a frame moved. Any thread. */
bool ixm_turn(struct ixm *m);

/* Turns of all models until nothing moves. */
void ixm_settle(void);

/* A thread that plays the device until it is stopped; asleep for 50 us at a time when nothing moves. 0 or
 * -errno. */
int ixm_thread_start(struct ixm *m);
void ixm_thread_stop(struct ixm *m);

/* ---- the wire ---- */

/* What a device sends: bytes without CRC. Called in the device's turn; must not call back into it. */
typedef void (*ixm_wire_out)(void *context, const uint8_t *frame, unsigned bytes);

/* The other end of the cable: each other, itself, or a function. The link comes up with it and goes down
 * with NULL or ixm_close. */
void ixm_wire_join(struct ixm *a, struct ixm *b);
void ixm_wire_loop(struct ixm *m);
void ixm_wire_to(struct ixm *m, ixm_wire_out out, void *context);

/* A device does not fetch while the other end has no room, which stands for 802.3x pause frames (3.7.7).
 * Else, as on a wire without flow control, what finds no room is lost (MPC). Off at first. */
void ixm_wire_lossless(struct ixm *m, bool on);

/* A frame arrives (bytes without CRC, 1 to IXM_FRAME_BYTES_MAX). True if the packet buffer took it. */
bool ixm_inject(struct ixm *m, const uint8_t *frame, unsigned bytes);

/* The same, damaged on the way: its CRC is wrong (7.1.6.2 RXE, FCTRL.SBP). */
bool ixm_inject_damaged(struct ixm *m, const uint8_t *frame, unsigned bytes);

/* ---- what goes wrong ---- */

struct ixm_faults {
	bool link_down;	 /* the cable is out */
	bool pf_silent;	 /* the host does not answer a VF's messages */
	unsigned pf_mtu; /* with which the host's interface comes up again; 0: its own */
	bool pf_down;	 /* the host's interface is being reset, or down; back again a VF has to begin anew */
	bool tx_stuck;	 /* descriptors are not fetched */
	bool rx_stuck;	 /* the device sees no free descriptor */
	uint32_t rx_status_or; /* ored to status and error bits of the next frames' write-back */
	uint16_t rx_length; /* written as the length of the next frames' last descriptor; 0: the true one */
};
void ixm_faults_set(struct ixm *m, const struct ixm_faults *faults);

/* ---- what it saw ---- */

struct ixm_counters {
#define IXM_COUNT(name) uint64_t name;
#include "tests/ixgbe_model/counters.def"
#undef IXM_COUNT
};
void ixm_counters(struct ixm *m, struct ixm_counters *out);

/* ---- memory that the device may reach ---- */

enum ixm_dma_kind { IXM_DMA_RX_RING, IXM_DMA_TX_RING, IXM_DMA_RX_BUFFER, IXM_DMA_TX_BUFFER };

struct ixm_dma_fault {
	uint64_t count;	  /* accesses outside all ranges; the device did not do them, as behind an IOMMU */
	uint64_t address; /* of the first */
	size_t bytes;
	enum ixm_dma_kind kind;
	unsigned queue;
};

/* At first the ranges are those that vfio maps: EAL's memory as it is at ixm_open, external memory not.
 * rte_dev_dma_map and rte_dev_dma_unmap on the port's device add to them and take away. */
void ixm_dma_fault(struct ixm *m, struct ixm_dma_fault *out);

/* Sees each access before it is done, in the device's turn. NULL takes it off. */
typedef void (*ixm_dma_watch)(
	void *context, enum ixm_dma_kind kind, unsigned queue, uint64_t address, size_t bytes);
void ixm_dma_watch_set(struct ixm *m, ixm_dma_watch watch, void *context);

#endif
