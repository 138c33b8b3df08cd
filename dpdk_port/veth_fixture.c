/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/veth_fixture.h"
#include "dpdk_port/rtnetlink.h"

#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

/* IFLA_LINKINFO { KIND = veth, DATA { PEER { ifinfomsg, IFNAME } } }, built from the inside. */
int veth_make(const char *ours, const char *peers)
{
	struct rtnetlink_request peer, data, info, r;
	struct ifinfomsg link = {0};
	const size_t head = NLMSG_HDRLEN;

	rtnetlink_begin(&peer, 0, 0, &link, sizeof(link));
	rtnetlink_add(&peer, IFLA_IFNAME, peers, strlen(peers) + 1);
	rtnetlink_begin(&data, 0, 0, "", 0);
	rtnetlink_add(&data, VETH_INFO_PEER, peer.body, peer.header.nlmsg_len - head);
	rtnetlink_begin(&info, 0, 0, "", 0);
	rtnetlink_add(&info, IFLA_INFO_KIND, "veth", 4);
	rtnetlink_add(&info, IFLA_INFO_DATA, data.body, data.header.nlmsg_len - head);
	rtnetlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
	rtnetlink_add(&r, IFLA_IFNAME, ours, strlen(ours) + 1);
	rtnetlink_add(&r, IFLA_LINKINFO, info.body, info.header.nlmsg_len - head);
	return rtnetlink_run(&r);
}

int veth_up(const char *interface)
{
	struct rtnetlink_request r;
	struct ifinfomsg link = {
		.ifi_index = (int)if_nametoindex(interface), .ifi_flags = IFF_UP, .ifi_change = IFF_UP};

	rtnetlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	return rtnetlink_run(&r);
}

int veth_mtu(const char *interface, unsigned mtu)
{
	struct rtnetlink_request r;
	struct ifinfomsg link = {.ifi_index = (int)if_nametoindex(interface)};

	rtnetlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	rtnetlink_add(&r, IFLA_MTU, &mtu, sizeof(mtu));
	return rtnetlink_run(&r);
}
