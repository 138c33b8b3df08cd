/* SPDX-License-Identifier: Apache-2.0 */
/* As much of rtnetlink as tap.c needs: one request at a time, and dumps. Private to dpdk_port. */
#ifndef DPDK_PORT_RTNETLINK_H
#define DPDK_PORT_RTNETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>

/* A message under construction, with room for a few attributes. */
struct rtnetlink_request {
	struct nlmsghdr header;
	char body[256];
};

/* Begins a request of a type and flags (NLM_F_REQUEST is added) with a family header of n bytes. */
void rtnetlink_begin(
	struct rtnetlink_request *r, unsigned type, unsigned flags, const void *family_header, size_t n);

/* Appends an attribute. It MUST fit. */
void rtnetlink_add(struct rtnetlink_request *r, unsigned attribute, const void *value, size_t n);

/* Sends a request and waits for the kernel's answer. 0 or -errno. */
int rtnetlink_run(struct rtnetlink_request *r);

/* Sends a dump request of the type and calls each(message, context) for every object; a non-zero result ends
 * it. That result, 0 at the end, or -errno. */
int rtnetlink_dump(unsigned type, unsigned char family,
	int (*each)(const struct nlmsghdr *message, void *context), void *context);

/* Finds an attribute behind a family header of header_bytes; NULL where there is none. */
const struct rtattr *rtnetlink_find(const struct nlmsghdr *message, size_t header_bytes, unsigned attribute);

#endif
