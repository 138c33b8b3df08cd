/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/rtnetlink.h"
#include "runtime/check.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_BYTES = 32768 }; /* what the kernel makes of a dump at most, in one piece */

void rtnetlink_begin(struct rtnetlink_request *r, unsigned type, unsigned flags, const void *header, size_t n)
{
	memset(r, 0, sizeof(*r));
	MUST(n <= sizeof(r->body));
	memcpy(r->body, header, n);
	r->header.nlmsg_type = (uint16_t)type;
	r->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(n);
}

void rtnetlink_add(struct rtnetlink_request *r, unsigned attribute, const void *value, size_t n)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len);

	MUST(at + RTA_LENGTH(n) <= sizeof(*r));
	struct rtattr *a = (struct rtattr *)((char *)r + at);
	a->rta_type = (uint16_t)attribute;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), value, n);
	r->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(n));
}

static int send_request(const struct rtnetlink_request *r)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	if (sendto(fd, r, r->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Reads answers until the last; an error message with code 0 is the acknowledgement. */
static int receive(int fd, int (*each)(const struct nlmsghdr *, void *), void *context)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];

	for (;;) {
		ssize_t got = recv(fd, answer, sizeof(answer), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		int left = (int)got;
		const struct nlmsghdr *m = (const struct nlmsghdr *)answer;
		for (; NLMSG_OK(m, (unsigned)left); m = NLMSG_NEXT(m, left)) {
			if (m->nlmsg_type == NLMSG_DONE)
				return 0;
			if (m->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
			int rc = each ? each(m, context) : 0;
			if (rc)
				return rc;
		}
	}
}

int rtnetlink_run(struct rtnetlink_request *r)
{
	r->header.nlmsg_flags |= NLM_F_ACK;
	int fd = send_request(r);
	if (fd < 0)
		return fd;
	int rc = receive(fd, NULL, NULL);
	close(fd);
	return rc;
}

int rtnetlink_dump(
	unsigned type, unsigned char family, int (*each)(const struct nlmsghdr *, void *), void *context)
{
	struct rtnetlink_request r;
	/* Address, route and link headers all begin with the family; the kernel wants the longest there. */
	struct ifinfomsg header = {.ifi_family = family};

	rtnetlink_begin(&r, type, NLM_F_DUMP, &header, sizeof(header));
	int fd = send_request(&r);
	if (fd < 0)
		return fd;
	int rc = receive(fd, each, context);
	close(fd);
	return rc;
}

const struct rtattr *rtnetlink_find(const struct nlmsghdr *m, size_t header_bytes, unsigned attribute)
{
	const struct rtattr *a =
		(const struct rtattr *)((const char *)NLMSG_DATA(m) + NLMSG_ALIGN(header_bytes));
	int left = (int)(m->nlmsg_len - NLMSG_SPACE(header_bytes));

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == attribute)
			return a;
	return NULL;
}
