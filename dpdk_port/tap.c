/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/tap.h"
#include "dpdk_port/rtnetlink.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char tun_path[] = "/dev/net/tun";

struct subnet {
	uint32_t address; /* host byte order */
	unsigned prefix;
};

/* The search for whoever holds a part of our subnet. */
struct overlap {
	struct subnet ours, theirs;
	unsigned interface; /* index; 0: a route without one */
	bool found;
};

__attribute__((format(printf, 3, 4))) static void say(char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
}

static uint32_t mask_of(unsigned prefix)
{
	return prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
}

static bool subnets_overlap(struct subnet a, struct subnet b)
{
	uint32_t mask = mask_of(a.prefix < b.prefix ? a.prefix : b.prefix);
	return (a.address & mask) == (b.address & mask);
}

static void subnet_text(struct subnet s, char text[INET_ADDRSTRLEN + 4])
{
	char address[INET_ADDRSTRLEN];
	struct in_addr in = {htonl(s.address & mask_of(s.prefix))};

	inet_ntop(AF_INET, &in, address, sizeof(address));
	snprintf(text, INET_ADDRSTRLEN + 4, "%s/%u", address, s.prefix);
}

static int overlap_note(struct overlap *o, struct subnet theirs, unsigned interface)
{
	if (!subnets_overlap(o->ours, theirs))
		return 0;
	o->theirs = theirs;
	o->interface = interface;
	o->found = true;
	return 1;
}

static uint32_t attribute_u32(const struct rtattr *a)
{
	uint32_t v = 0;
	if (a && RTA_PAYLOAD(a) >= sizeof(v))
		memcpy(&v, RTA_DATA(a), sizeof(v));
	return v;
}

static int address_look(const struct nlmsghdr *m, void *context)
{
	const struct ifaddrmsg *a = NLMSG_DATA(m);
	const struct rtattr *address = rtnetlink_find(m, sizeof(*a), IFA_ADDRESS);

	if (m->nlmsg_type != RTM_NEWADDR || a->ifa_family != AF_INET || !address)
		return 0;
	return overlap_note(
		context, (struct subnet){ntohl(attribute_u32(address)), a->ifa_prefixlen}, a->ifa_index);
}

static int route_look(const struct nlmsghdr *m, void *context)
{
	const struct rtmsg *r = NLMSG_DATA(m);

	if (m->nlmsg_type != RTM_NEWROUTE || r->rtm_family != AF_INET || r->rtm_dst_len == 0)
		return 0;
	/* What the kernel itself derives from addresses was looked at with them. */
	if (r->rtm_type == RTN_LOCAL || r->rtm_type == RTN_BROADCAST || r->rtm_type == RTN_MULTICAST)
		return 0;
	return overlap_note(context,
		(struct subnet){ntohl(attribute_u32(rtnetlink_find(m, sizeof(*r), RTA_DST))), r->rtm_dst_len},
		attribute_u32(rtnetlink_find(m, sizeof(*r), RTA_OIF)));
}

static int overlap_check(const struct tap_host *h, char *error, size_t bytes)
{
	struct overlap o = {.ours = {h->address, h->prefix}};

	int rc = rtnetlink_dump(RTM_GETADDR, AF_INET, address_look, &o);
	if (rc == 0)
		rc = rtnetlink_dump(RTM_GETROUTE, AF_INET, route_look, &o);
	if (rc < 0) {
		say(error, bytes, "the host's addresses and routes cannot be read: %s", strerror(-rc));
		return rc;
	}
	if (!o.found)
		return 0;
	char ours[INET_ADDRSTRLEN + 4], theirs[INET_ADDRSTRLEN + 4], holder[IF_NAMESIZE];
	subnet_text(o.ours, ours);
	subnet_text(o.theirs, theirs);
	if (o.interface == 0 || !if_indextoname(o.interface, holder))
		snprintf(holder, sizeof(holder), "no interface");
	say(error, bytes, "%s overlaps %s on %s: choose another subnet with %s", ours, theirs, holder,
		h->address_key);
	return -EADDRINUSE;
}

static int arguments_check(const struct tap_host *h, char *error, size_t bytes)
{
	size_t n = strlen(h->interface);
	bool good = n > 0 && n < IF_NAMESIZE;

	for (size_t i = 0; i < n; i++)
		good &= isalnum((unsigned char)h->interface[i]) || strchr("_.-", h->interface[i]);
	if (!good || h->interface[0] == '.') {
		say(error, bytes,
			"\"%s\" is no name for an interface (1 to %d letters, digits, \"_.-\"): change %s",
			h->interface, IF_NAMESIZE - 1, h->interface_key);
		return -EINVAL;
	}
	uint32_t host = h->address & ~mask_of(h->prefix);
	if (h->prefix < 8 || h->prefix > 30 || host == 0 || host == ~mask_of(h->prefix)) {
		say(error, bytes, "%s must be a host's address in a subnet of 8 to 30 bits", h->address_key);
		return -EINVAL;
	}
	return 0;
}

static bool net_admin_held(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN);
}

static int permission_check(char *error, size_t bytes)
{
	int fd = open(tun_path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		int rc = -errno;
		bool absent = rc == -ENOENT || rc == -ENXIO || rc == -ENODEV;
		say(error, bytes, absent ? "%s is not there (module tun is not loaded)" : "%s: %s", tun_path,
			strerror(-rc));
		return absent ? -ENODEV : rc;
	}
	close(fd);
	if (!net_admin_held()) {
		say(error, bytes, "making a TAP needs root (CAP_NET_ADMIN)");
		return -EPERM;
	}
	return 0;
}

int tap_host_check(const struct tap_host *h, char *error, size_t error_bytes)
{
	error[0] = '\0';
	int rc = arguments_check(h, error, error_bytes);
	if (rc == 0)
		rc = permission_check(error, error_bytes);
	if (rc)
		return rc;
	if (if_nametoindex(h->interface)) {
		say(error, error_bytes, "an interface %s exists already: choose another name with %s",
			h->interface, h->interface_key);
		return -EEXIST;
	}
	return overlap_check(h, error, error_bytes);
}

static int link_up(unsigned index, unsigned mtu)
{
	struct rtnetlink_request r;
	struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	uint32_t value = mtu;

	rtnetlink_begin(&r, RTM_NEWLINK, 0, &link, sizeof(link));
	rtnetlink_add(&r, IFLA_MTU, &value, sizeof(value));
	return rtnetlink_run(&r);
}

static int address_add(unsigned index, const struct tap_host *h)
{
	struct rtnetlink_request r;
	struct ifaddrmsg address = {
		.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)h->prefix, .ifa_index = index};
	uint32_t value = htonl(h->address);

	rtnetlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof(address));
	rtnetlink_add(&r, IFA_LOCAL, &value, sizeof(value));
	rtnetlink_add(&r, IFA_ADDRESS, &value, sizeof(value));
	return rtnetlink_run(&r);
}

int tap_host_address_add(const struct tap_host *h, char *error, size_t error_bytes)
{
	error[0] = '\0';
	unsigned index = if_nametoindex(h->interface);
	if (!index) {
		say(error, error_bytes, "there is no interface %s", h->interface);
		return -ENODEV;
	}
	int rc = link_up(index, h->mtu);
	if (rc) {
		say(error, error_bytes, "%s cannot be brought up with MTU %u: %s", h->interface, h->mtu,
			strerror(-rc));
		return rc;
	}
	rc = address_add(index, h);
	if (rc)
		say(error, error_bytes, "%s does not take its address (%s): %s", h->interface, h->address_key,
			strerror(-rc));
	return rc;
}
