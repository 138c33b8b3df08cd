/* SPDX-License-Identifier: Apache-2.0 */
/* The registers that the model knows, by their names and numbers in the 82599 datasheet's chapter 8.2 (Device
 * Registers - PF). What part.c does not name apart is the same in the other parts: rests on the driver's
 * source, which uses one set of numbers for all of them. Everything else in BAR 0 is memory that keeps what
 * is written to it. */
#ifndef TESTS_IXGBE_MODEL_REGISTERS_H
#define TESTS_IXGBE_MODEL_REGISTERS_H

#include <stdint.h>

enum {
	IXM_BAR_BYTES = 0x20000, /* 8.1.1: 128 KB of CSRs */
	IXM_VF_BAR_BYTES = 0x4000,
	IXM_QUEUES = 64,	/* 64 and more have other addresses; the driver's RSS uses 16 at most */
	IXM_RSS_QUEUES = 16,	/* 7.1.2.8: a RETA entry has four bits */
	IXM_RETA_ENTRIES = 128, /* ... and so many the first table has; an X550 has another behind it */
	IXM_RSS_KEY_BYTES = 40,
	IXM_STAT_COUNTERS = 16,
	IXM_DESCRIPTOR_BYTES = 16,
};

enum { /* 8.2.3.1 general control */
	CTRL = 0x00000,
	CTRL_GIO_DIS = 1u << 2,
	CTRL_LNK_RST = 1u << 3,
	CTRL_RST = 1u << 26,
	STATUS = 0x00008,
	STATUS_GIO = 1u << 19,
};

enum { /* 8.2.3.5 interrupts */
	EIMS = 0x00880,
	EIMC = 0x00888,
	GPIE = 0x00898,
	GPIE_EIAME = 1u << 30,
	IVAR = 0x00900,
	IVAR_VECTOR = 0x3f,
	IVAR_VALID = 1u << 7,
};

enum { /* 8.2.3.2 EEPROM */
	EEC = 0x10010,
	EEC_PRES = 1u << 8,
	EEC_ARD = 1u << 9,
	EEC_SIZE_SHIFT = 11, /* words: 2 to the power of (6 + field) */
	EERD = 0x10014,
	EERD_START = 1u << 0,
	EERD_DONE = 1u << 1,
	EERD_ADDR_SHIFT = 2,
	EERD_ADDR_MASK = 0x3fff,
	EERD_DATA_SHIFT = 16,
	EEMNGCTL = 0x10110,
	EEMNGCTL_CFG_DONE0 = 1u << 18,
};

enum { /* the host interface of an X550's firmware: the driver's source */
	FLEX_MNG = 0x15800,
	HICR = 0x15f00,
	HICR_EN = 1u << 0,
	HICR_C = 1u << 1,
	HICR_SV = 1u << 2,
};

enum { /* 8.2.3.22 MAC */
	HLREG0 = 0x04240,
	HLREG0_TXPADEN = 1u << 10,
	HLREG0_JUMBOEN = 1u << 2,
	HLREG0_LPBK = 1u << 15,
	MSCA = 0x0425c,
	MSCA_DEVICE_SHIFT = 16,
	MSCA_PHY_SHIFT = 21,
	MSCA_OP_SHIFT = 26,
	MSCA_OP_WRITE = 1,
	MSCA_OP_READ = 3,
	MSCA_COMMAND = 1u << 30,
	MSRWD = 0x04260,
	MSRWD_READ_SHIFT = 16,
	MAXFRS = 0x04268,
	MAXFRS_SHIFT = 16,
	AUTOC = 0x042a0,
	AUTOC_AN_RESTART = 1u << 12,
	AUTOC_LMS_SHIFT = 13,
	AUTOC_LMS_10G = 1u, /* 10 Gbit/s, nothing negotiated */
	AUTOC_LMS_KX4 = 4u, /* backplane with auto-negotiation of KX, KX4, KR */
	AUTOC_KX_SUPP = 1u << 30,
	LINKS = 0x042a4,
	LINKS_SPEED_10G = 3u << 28,
	LINKS_UP = 1u << 30,
	ANLP1 = 0x042b0,
	ANLP1_AN_STATE = 1u << 16,
};
#define AUTOC_KX4_SUPP	 (1u << 31)
#define LINKS_KX_AN_COMP (1u << 31)

enum { /* 8.2.3.7 receive filters, 8.2.3.8 receive DMA */
	RDRXCTL = 0x02f00,
	RDRXCTL_DMAIDONE = 1u << 3,
	RXCTRL = 0x03000,
	RXCTRL_RXEN = 1u << 0,
	RXPBSIZE0 = 0x03c00,
	RXCSUM = 0x05000,
	FCTRL = 0x05080,
	FCTRL_SBP = 1u << 1,
	FCTRL_MPE = 1u << 8,
	FCTRL_UPE = 1u << 9,
	FCTRL_BAM = 1u << 10,
	VLNCTRL = 0x05088,
	VLNCTRL_VFE = 1u << 30,
	MCSTCTRL = 0x05090,
	MCSTCTRL_MO = 3u << 0,
	MCSTCTRL_MFE = 1u << 2,
	MTA = 0x05200,
	MRQC = 0x05818,
	MRQC_MRQE = 0xf,
	MRQC_RSS = 1,
	MRQC_POOLS_RSS = 0xa, /* pools of queues, and RSS within each */
	MRQC_TCP4 = 1u << 16,
	MRQC_IP4 = 1u << 17,
	MRQC_IP6 = 1u << 20,
	MRQC_TCP6 = 1u << 21,
	MRQC_UDP4 = 1u << 22,
	MRQC_UDP6 = 1u << 23,
	RETA = 0x05c00,
	ERETA = 0x0ee80, /* of an X550: the driver's source */
	RSSRK = 0x05c80,
	SECRXSTAT = 0x08d04,
	SECRXSTAT_RDY = 1u << 0,
	VFTA = 0x0a000,
};
#define RAH_AV (1u << 31)

enum { /* 8.3, registers of a VF; those of its queues are laid out as the PF's */
	VFLINKS = 0x00010,
	VTEIMS = 0x00108,
	VTEIMC = 0x0010c,
	VTIVAR = 0x00120,
	VFMBMEM = 0x00200,
	VFMAILBOX = 0x002fc,
	VFMAILBOX_REQ = 1u << 0,
	VFMAILBOX_PFSTS = 1u << 4,
	VFMAILBOX_PFACK = 1u << 5,
	VFMAILBOX_RSTI = 1u << 6,
	VFPSRTYPE = 0x00300,
	PSRTYPE_RQPL_SHIFT = 29,
	VF_TX_QUEUE = 0x02000,
	VFGPRC = 0x0101c,
	VFGORC = 0x01020,
	VFMPRC = 0x01034,
	VFGPTC = 0x0201c,
	VFGOTC = 0x02020,
	MAIL_CTS = 1u << 29,
	MAIL_NACK = 1u << 30,
};
#define MAIL_ACK (1u << 31)

enum { /* 8.2.3.9 transmit */
	DMATXCTL = 0x04a80,
	DMATXCTL_TE = 1u << 0,
	DTXTCPFLGL = 0x04a88,
	DTXTCPFLGH = 0x04a8c,
	RQSMR = 0x02300,
	TQSM = 0x08600,
};

/* A queue's registers lie together, 0x40 bytes a queue. */
enum {
	RX_QUEUE = 0x01000,
	TX_QUEUE = 0x06000,
	QUEUE_STRIDE = 0x40,
	Q_BAL = 0x00,
	Q_BAH = 0x04,
	Q_LEN = 0x08,
	Q_HEAD = 0x10,
	Q_SRRCTL = 0x14, /* queues 16 to 63; the first 16 have theirs at SRRCTL0 */
	Q_TAIL = 0x18,
	Q_DCTL = 0x28,
	SRRCTL0 = 0x02100,
	SRRCTL_BSIZE_KB = 0x1f,
	SRRCTL_DROP_EN = 1u << 28,
	DCTL_ENABLE = 1u << 25,
	DCTL_SWFLSH = 1u << 26,
	RXDCTL_VME = 1u << 30,
};

enum { /* 7.1.6.2 receive descriptor, write-back format */
	RXD_DD = 1u << 0,
	RXD_EOP = 1u << 1,
	RXD_VP = 1u << 3,
	RXD_UDPCS = 1u << 4,
	RXD_L4I = 1u << 5,
	RXD_IPCS = 1u << 6,
	RXD_PIF = 1u << 7,
	RXD_RXE = 1u << 29,
	RXD_L4E = 1u << 30,
	PTYPE_IP4 = 1u << 0,
	PTYPE_IP4_OPTIONS = 1u << 1,
	PTYPE_IP6 = 1u << 2,
	PTYPE_IP6_EXTENSIONS = 1u << 3,
	PTYPE_TCP = 1u << 4,
	PTYPE_UDP = 1u << 5,
	PTYPE_SCTP = 1u << 6,
	RXD_PTYPE_SHIFT = 4,
};
#define RXD_IPE (1u << 31)

enum { /* 7.2.3.2.3 and 7.2.3.2.4 advanced transmit descriptors */
	TXD_DTALEN = 0xffff,
	TXD_DTYP = 0xfu << 20,
	TXD_DTYP_CONTEXT = 2u << 20,
	TXD_DTYP_DATA = 3u << 20,
	TXD_EOP = 1u << 24,
	TXD_RS = 1u << 27,
	TXD_DEXT = 1u << 29,
	TXD_VLE = 1u << 30,
	TXD_DD = 1u << 0,
	TXD_IDX_SHIFT = 4,
	TXD_POPTS_IXSM = 1u << 8,
	TXD_POPTS_TXSM = 1u << 9,
	TXD_PAYLEN_SHIFT = 14,
	TUCMD_IPV4 = 1u << 10,
	TUCMD_L4T_SHIFT = 11,
	L4T_UDP = 0,
	L4T_TCP = 1,
};
#define TXD_TSE (1u << 31)

/* Receive addresses: 128, the first 16 where the 82598 had them. */
static inline uint32_t ixm_ral(unsigned i)
{
	return (i < 16 ? 0x05400u : 0x0a200u) + i * 8;
}

#endif
