/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/netdev.h"
#include "dpdk_port/rtnetlink.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MTU_BITS = 20, MTU_MASK = (1 << MTU_BITS) - 1 };

static int link_ask(const char *interface, unsigned long request, struct ifreq *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memset(r, 0, sizeof(*r));
	memcpy(r->ifr_name, interface, strnlen(interface, IFNAMSIZ - 1));
	int rc = ioctl(fd, request, r) ? -errno : 0;
	close(fd);
	return rc;
}

int netdev_read(const char *interface, struct netdev *out)
{
	struct ifreq mtu, flags;

	*out = (struct netdev){.index = if_nametoindex(interface)};
	if (!out->index)
		return -ENODEV;
	int rc = link_ask(interface, SIOCGIFMTU, &mtu);
	if (rc == 0)
		rc = link_ask(interface, SIOCGIFFLAGS, &flags);
	if (rc == 0)
		rc = bpf_xdp_query_id((int)out->index, 0, &out->program);
	if (rc)
		return rc;
	out->mtu = (unsigned)mtu.ifr_mtu;
	out->promiscuous = flags.ifr_flags & IFF_PROMISC;
	return 0;
}

uint64_t netdev_change_pack(const struct netdev_change *c)
{
	return (c->mtu_before & MTU_MASK) | (uint64_t)(c->mtu_set & MTU_MASK) << MTU_BITS |
	       (uint64_t)c->was_promiscuous << 2 * MTU_BITS;
}

struct netdev_change netdev_change_of(uint64_t packed)
{
	return (struct netdev_change){.mtu_before = packed & MTU_MASK,
		.mtu_set = packed >> MTU_BITS & MTU_MASK,
		.was_promiscuous = packed >> 2 * MTU_BITS & 1};
}

static bool still_there(const char *interface, unsigned index, struct netdev *now)
{
	return netdev_read(interface, now) == 0 && now->index == index;
}

void netdev_restore(const char *interface, unsigned index, const struct netdev_change *c)
{
	struct ifinfomsg link = {.ifi_index = (int)index};
	struct rtnetlink_request r;
	struct netdev now;
	uint32_t mtu = c->mtu_before;

	if (!still_there(interface, index, &now))
		return;
	if (now.promiscuous && !c->was_promiscuous)
		link.ifi_change = IFF_PROMISC;
	rtnetlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	if (now.mtu == c->mtu_set && now.mtu != mtu)
		rtnetlink_add(&r, IFLA_MTU, &mtu, sizeof(mtu));
	rtnetlink_run(&r);
}

/* The kernel wants the mode that the program was attached in. */
static uint32_t program_mode(unsigned index, uint32_t program)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, o);

	if (bpf_xdp_query((int)index, 0, &o))
		return 0;
	return o.skb_prog_id == program	  ? XDP_FLAGS_SKB_MODE
	       : o.hw_prog_id == program  ? XDP_FLAGS_HW_MODE
	       : o.drv_prog_id == program ? XDP_FLAGS_DRV_MODE
					  : 0;
}

void netdev_program_remove(const char *interface, unsigned index, uint32_t program)
{
	struct netdev now;

	if (program == 0 || !still_there(interface, index, &now) || now.program != program)
		return;
	int fd = bpf_prog_get_fd_by_id(program);
	if (fd < 0)
		return;
	LIBBPF_OPTS(bpf_xdp_attach_opts, o, .old_prog_fd = fd);
	bpf_xdp_detach((int)index, program_mode(index, program) | XDP_FLAGS_REPLACE, &o);
	close(fd);
}

void netdev_program_remove_loaded(
	const char *interface, unsigned index, uint64_t since_ns, uint64_t within_ns)
{
	struct bpf_prog_info info = {0};
	uint32_t bytes = sizeof(info);
	struct netdev now;

	if (!still_there(interface, index, &now) || now.program == 0)
		return;
	int fd = bpf_prog_get_fd_by_id(now.program);
	if (fd < 0)
		return;
	int rc = bpf_obj_get_info_by_fd(fd, &info, &bytes);
	close(fd);
	if (rc == 0 && info.load_time >= since_ns && info.load_time - since_ns < within_ns)
		netdev_program_remove(interface, index, now.program);
}
