/* SPDX-License-Identifier: Apache-2.0 */
/* The PF behind a VF and the host's driver for it, which answers the VF's messages and sets the PF's filters
 * for the VF's pool. It does as Linux's does on an 82599 (drivers/net/ethernet/intel/ixgbe/ixgbe_sriov.c);
 * the words of the messages are those of base/ixgbe_mbx.h. There is one pool, so the filters of the whole
 * port stand for the pool's (VMOLR's ROMPE, MPE and BAM are MCSTCTRL.MFE and two bits of FCTRL). */
#include "tests/ixgbe_model/host.h"
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum { /* what the VF asks for: the first word's lower half; what is asked of it stands above */
	VF_RESET = 1,
	VF_SET_MAC = 2,
	VF_SET_MULTICAST = 3,
	VF_SET_VLAN = 4,
	VF_SET_LPE = 5,
	VF_SET_MACVLAN = 6,
	VF_NEGOTIATE = 8,
	VF_GET_QUEUES = 9,
	VF_SET_XCAST = 12,
	INFO_SHIFT = 16,
};

enum {
	API_10 = 0,
	API_11 = 2,
	API_12 = 3,
	API_13 = 4,
	XCAST_NONE = 0,
	XCAST_MULTI = 1,
	XCAST_ALL = 2,
	MULTICAST_MAX = 30,
	EXTRA_MACS_MAX = 8,
	FRAME_ADDED = 18, /* Ethernet's header and checksum, around the MTU */
	FRAME_MAX = 1518,
	FRAME_MIN = 68,
	FRAME_LONGEST = 9728,
};

static void address_set(struct ixm *m, unsigned i, const uint8_t mac[6])
{
	static const uint8_t none[6];
	uint32_t low, high = (uint32_t)mac[4] | (uint32_t)mac[5] << 8;

	memcpy(&low, mac, 4);
	ixm_set(m, ixm_ral(i), low);
	ixm_set(m, ixm_ral(i) + 4, memcmp(mac, none, 6) ? high | RAH_AV : 0);
}

static void extra_addresses_clear(struct ixm *m)
{
	static const uint8_t none[6];

	for (unsigned i = 1; i <= EXTRA_MACS_MAX; i++)
		address_set(m, i, none);
	m->host.extra_macs = 0;
}

static void vlan_set(struct ixm *m, uint32_t id, bool on)
{
	uint32_t at = VFTA + (id >> 5) * 4, bit = 1u << (id & 31);

	ixm_set(m, at, on ? ixm_get(m, at) | bit : ixm_get(m, at) & ~bit);
}

static unsigned longest_of_pf(const struct ixm *m)
{
	return (m->faults.pf_mtu ? m->faults.pf_mtu : m->host.config.mtu) + FRAME_ADDED;
}

static bool jumbo(const struct ixm *m)
{
	return longest_of_pf(m) > FRAME_MAX;
}

/* The table and the key of the hash are the PF's, which all VFs share (rests on Linux's, which fills its
 * table with the queues of a pool in turn). */
static void hash_set(struct ixm *m)
{
	ixm_set(m, MRQC,
		m->host.config.queues > 1 ? MRQC_POOLS_RSS | MRQC_TCP4 | MRQC_IP4 | MRQC_TCP6 | MRQC_IP6 : 0);
	for (unsigned i = 0; i < IXM_RSS_KEY_BYTES; i += 4)
		ixm_set(m, RSSRK + i, 0x9e3779b9u * (i + 1));
	for (unsigned i = 0; i < IXM_RETA_ENTRIES; i += 4)
		ixm_set(m, RETA + i, 0x03020100);
}

void ixm_host_up(struct ixm *m)
{
	ixm_set(m, HLREG0, HLREG0_TXPADEN | (jumbo(m) ? HLREG0_JUMBOEN : 0));
	ixm_set(m, MAXFRS, longest_of_pf(m) << MAXFRS_SHIFT);
	ixm_set(m, VLNCTRL, VLNCTRL_VFE);
	ixm_set(m, FCTRL, FCTRL_BAM);
	hash_set(m);
	m->host.clear_to_send = m->host.receive = false;
	ixm_host_vf_reset(m);
}

void ixm_host_vf_reset(struct ixm *m)
{
	for (unsigned i = 0; i < 128; i++) {
		ixm_set(m, VFTA + i * 4, 0);
		ixm_set(m, MTA + i * 4, 0);
	}
	vlan_set(m, 0, true);
	ixm_set(m, MCSTCTRL, 0);
	extra_addresses_clear(m);
	address_set(m, 0, m->host.mac);
	m->host.api = API_10;
}

static bool mac_allowed(const struct ixm *m, const uint8_t *mac)
{
	const struct ixm_host_config *c = &m->host.config;

	return !(mac[0] & 1) && (c->mac_unset || c->trusted || !memcmp(mac, m->host.mac, 6));
}

static bool mac_set(struct ixm *m, const uint32_t *message)
{
	const uint8_t *mac = (const void *)&message[1];

	if (!mac_allowed(m, mac))
		return false;
	memcpy(m->host.mac, mac, 6);
	address_set(m, 0, mac);
	return true;
}

/* 0 clears the list, 1 begins a new one. */
static bool macvlan_set(struct ixm *m, const uint32_t *message)
{
	const struct ixm_host_config *c = &m->host.config;
	const uint8_t *mac = (const void *)&message[1];
	uint32_t index = message[0] >> INFO_SHIFT & 0xff;

	if (index > 0 && ((!c->mac_unset && !c->trusted) || (mac[0] & 1)))
		return false;
	if (index <= 1)
		extra_addresses_clear(m);
	if (index == 0)
		return true;
	if (m->host.extra_macs == EXTRA_MACS_MAX)
		return false;
	address_set(m, ++m->host.extra_macs, mac);
	return true;
}

static bool multicast_set(struct ixm *m, const uint32_t *message)
{
	const uint16_t *hashes = (const void *)&message[1];
	uint32_t n = message[0] >> INFO_SHIFT & 0xff;

	for (uint32_t i = 0; i < n && i < MULTICAST_MAX; i++) {
		uint32_t at = MTA + (hashes[i] >> 5 & 0x7fu) * 4;
		ixm_set(m, at, ixm_get(m, at) | 1u << (hashes[i] & 31));
	}
	ixm_set(m, MCSTCTRL, MCSTCTRL_MFE);
	return true;
}

static bool vlan_asked(struct ixm *m, const uint32_t *message)
{
	bool on = message[0] >> INFO_SHIFT & 0xff;
	uint32_t id = message[1] & 0xfff;

	if (id || on)
		vlan_set(m, id, on);
	return true;
}

static bool frames_allowed(const struct ixm *m, uint32_t longest)
{
	if (!m->part->one_longest_frame)
		return true;
	return jumbo(m) ? m->host.api != API_10 : longest <= FRAME_MAX;
}

/* An 82599 has one longest frame for all: a VF may have long ones only where the PF has them, and is deaf
 * then until it has said how long its own are. */
static bool longest_frame_set(struct ixm *m, const uint32_t *message)
{
	uint32_t longest = message[1];

	if (longest < FRAME_MIN || longest > FRAME_LONGEST)
		return false;
	m->host.receive = frames_allowed(m, longest);
	if (!m->host.receive)
		return false;
	if (ixm_get(m, MAXFRS) >> MAXFRS_SHIFT < longest)
		ixm_set(m, MAXFRS, longest << MAXFRS_SHIFT);
	if (longest > FRAME_MAX)
		ixm_set(m, HLREG0, ixm_get(m, HLREG0) | HLREG0_JUMBOEN);
	return true;
}

static bool api_set(struct ixm *m, const uint32_t *message)
{
	if (message[1] > API_13)
		return false;
	m->host.api = message[1];
	return true;
}

static bool queues_tell(struct ixm *m, uint32_t *message)
{
	if (m->host.api < API_11)
		return false;
	message[1] = message[2] = m->host.config.queues;
	message[3] = message[4] = 0; /* no VLAN of the host's; the first queue */
	return true;
}

/* All groups are for those who are trusted; others are told yes, and get those that they have listed. No
 * 82599 makes a VF promiscuous. */
static bool xcast_set(struct ixm *m, uint32_t *message)
{
	uint32_t mode = message[1];

	if (m->host.api < API_12 || mode > XCAST_ALL)
		return false;
	if (mode > XCAST_MULTI && !m->host.config.trusted)
		mode = XCAST_MULTI;
	ixm_set(m, FCTRL, mode == XCAST_ALL ? FCTRL_BAM | FCTRL_MPE : FCTRL_BAM);
	ixm_set(m, MCSTCTRL, mode == XCAST_NONE ? 0 : MCSTCTRL_MFE);
	message[1] = mode;
	return true;
}

static void reset_answer(struct ixm *m, uint32_t message[IXM_MAIL_WORDS])
{
	ixm_host_vf_reset(m);
	m->host.clear_to_send = true;
	m->host.receive = !(m->part->one_longest_frame && jumbo(m));
	memset(message, 0, IXM_MAIL_WORDS * sizeof(*message));
	message[0] = VF_RESET | (m->host.config.mac_unset ? MAIL_NACK : MAIL_ACK);
	if (!m->host.config.mac_unset)
		memcpy(&message[1], m->host.mac, 6);
	message[3] = 0; /* MCSTCTRL.MO */
}

static bool served(struct ixm *m, uint32_t message[IXM_MAIL_WORDS])
{
	switch (message[0] & 0xffff) {
	case VF_SET_MAC:
		return mac_set(m, message);
	case VF_SET_MULTICAST:
		return multicast_set(m, message);
	case VF_SET_VLAN:
		return vlan_asked(m, message);
	case VF_SET_LPE:
		return longest_frame_set(m, message);
	case VF_SET_MACVLAN:
		return macvlan_set(m, message);
	case VF_NEGOTIATE:
		return api_set(m, message);
	case VF_GET_QUEUES:
		return queues_tell(m, message);
	case VF_SET_XCAST:
		return xcast_set(m, message);
	}
	return false;
}

void ixm_host_answer(struct ixm *m, uint32_t message[IXM_MAIL_WORDS])
{
	if (message[0] == VF_RESET)
		reset_answer(m, message);
	else if (!m->host.clear_to_send)
		message[0] |= MAIL_NACK;
	else
		message[0] |= (served(m, message) ? MAIL_ACK : MAIL_NACK) | MAIL_CTS;
}

/* Frames that do not come from the VF's own address are dropped where the host looks (8.2.3.27 PFVFSPOOF). */
bool ixm_host_lets_pass(const struct ixm *m, const uint8_t *frame)
{
	return !m->host.config.spoof_check || !memcmp(frame + 6, m->host.mac, 6);
}
