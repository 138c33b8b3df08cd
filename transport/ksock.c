/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel transport's part of the turn, and its listeners. */
#include "transport/ksock_internal.h"
#include "transport/ksock_spread.h"

#include "runtime/check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ksock *ksock_of(struct turn_source *s)
{
	return caa_container_of(s, struct ksock, source);
}

static socklen_t sockaddr_from(struct sockaddr_storage *ss, const struct transport_address *a)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		memcpy(&in6->sin6_addr, a->bytes, 16);
		return sizeof(*in6);
	}
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	in->sin_family = AF_INET;
	in->sin_port = htons(a->port);
	memcpy(&in->sin_addr, a->bytes, 4);
	return sizeof(*in);
}

static void refuse(struct ksock *k, int fd)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	k->stats.refused++;
}

static void accept_one(struct ksock *k, int fd, const struct transport_address *remote)
{
	struct ksock_conn *c = ksock_conn_create(k, fd, remote, false);

	if (!c) {
		refuse(k, fd);
		return;
	}
	k->stats.accepted++;
	if (k->config.app->accepted(k->config.app_ctx, &c->conn) != 0 && c->fd >= 0) {
		transport_abort(&c->conn);
		k->stats.refused++;
	}
}

/* To the core that is to have it. */
static void accept_spread(struct ksock *k, const struct ksock_accepted *a)
{
	int core = ksock_spread_pick(k->config.spread);

	if (core < 0)
		refuse(k, a->fd);
	else if (core == (int)k->config.core || !ksock_spread_give(k->config.spread, (unsigned)core, a))
		accept_one(k, a->fd, &a->remote);
	ksock_spread_count(k->config.spread, k->config.core, k->stats.conns);
}

/* What core 0 has accepted for this one. */
static unsigned take_given(struct ksock *k)
{
	struct ksock_accepted given[KSOCK_ACCEPT_BURST];
	unsigned n = ksock_spread_take(k->config.spread, k->config.core, given, KSOCK_ACCEPT_BURST);

	for (unsigned i = 0; i < n; i++)
		accept_one(k, given[i].fd, &given[i].remote);
	return n;
}

static void accept_burst(struct ksock_listener *l, uint64_t now_us)
{
	struct ksock *k = l->k;

	/* The application may close the listener at any connection. */
	for (unsigned i = 0; i < KSOCK_ACCEPT_BURST && l->fd >= 0; i++) {
		/* The peer's address from here: a connection that was reset while it waited has no other. */
		struct sockaddr_storage peer = {0};
		socklen_t size = sizeof(peer);
		int fd = accept4(l->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			struct ksock_accepted a = {.fd = fd};
			ksock_address_from(&a.remote, &peer);
			if (k->config.spread)
				accept_spread(k, &a);
			else
				accept_one(k, fd, &a.remote);
			continue;
		}
		if (errno == EAGAIN) {
			l->pending = false;
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Nothing to be had now: the backlog waits, the turn does not spin on it. */
			k->stats.accept_failed++;
			k->accept_retry_us = now_us + KSOCK_ACCEPT_RETRY_US;
			return;
		}
		/* ECONNABORTED and the network errors that accept(2) passes on concern that one peer. */
	}
}

static unsigned accept_pending(struct ksock *k, uint64_t now_us)
{
	struct ksock_listener *l;
	unsigned work = 0;

	if (k->accept_retry_us > now_us)
		return 0;
	k->accept_retry_us = 0;
	cds_list_for_each_entry (l, &k->listeners, link) {
		if (l->pending) {
			accept_burst(l, now_us);
			work++;
		}
	}
	return work;
}

static unsigned take_events(struct ksock *k)
{
	struct epoll_event ev[KSOCK_EVENTS];
	enum phase before = phase_enter(k->phase, PHASE_RX);
	int n = epoll_wait(k->epoll_fd, ev, KSOCK_EVENTS, 0);

	phase_leave(k->phase, before);
	for (int i = 0; i < n; i++) {
		enum ksock_kind *kind = ev[i].data.ptr;
		if (*kind == KSOCK_LISTENER)
			caa_container_of(kind, struct ksock_listener, kind)->pending = true;
		else
			ksock_conn_event(caa_container_of(kind, struct ksock_conn, kind), ev[i].events);
	}
	return n > 0 ? (unsigned)n : 0;
}

/* Each active connection once: those that stay active wait for the next turn. */
static unsigned read_active(struct ksock *k)
{
	CDS_LIST_HEAD(round);
	unsigned work = 0;

	cds_list_splice(&k->active, &round);
	CDS_INIT_LIST_HEAD(&k->active);
	while (!cds_list_empty(&round)) {
		struct ksock_conn *c = cds_list_first_entry(&round, struct ksock_conn, active);
		if (!c->rx_ended && !ksock_spares_fill(k)) {
			cds_list_splice(&round, &k->active);
			break;
		}
		cds_list_del_init(&c->active);
		if (c->rx_ended)
			ksock_conn_settle(c);
		else
			ksock_conn_read(c);
		work++;
	}
	return work;
}

static unsigned offer_room(struct ksock *k)
{
	CDS_LIST_HEAD(round);
	unsigned work = 0;

	cds_list_splice(&k->roomy, &round);
	CDS_INIT_LIST_HEAD(&k->roomy);
	for (; !cds_list_empty(&round); work++) {
		struct ksock_conn *c = cds_list_first_entry(&round, struct ksock_conn, roomy);
		cds_list_del_init(&c->roomy);
		ksock_conn_offer_room(c);
	}
	return work;
}

static unsigned source_poll(struct turn_source *s, uint64_t now_us)
{
	struct ksock *k = ksock_of(s);
	unsigned work = take_events(k);

	if (k->pool_retry_us <= now_us) {
		k->pool_retry_us = 0;
		cds_list_splice(&k->starved, &k->roomy);
		CDS_INIT_LIST_HEAD(&k->starved);
	}
	work += offer_room(k);
	work += accept_pending(k, now_us);
	if (k->config.spread) {
		if (k->config.core == 0)
			ksock_spread_tell(k->config.spread);
		work += take_given(k);
	}
	if (!k->pool_retry_us)
		work += read_active(k);
	return work;
}

/* What ended in this turn: until here readiness that was taken before and loops further up may name it. */
static void reap(struct ksock *k)
{
	struct ksock_listener *l, *next;

	while (!cds_list_empty(&k->dead))
		ksock_conn_reap(cds_list_first_entry(&k->dead, struct ksock_conn, link));
	cds_list_for_each_entry_safe (l, next, &k->listeners, link) {
		if (l->fd >= 0)
			continue;
		cds_list_del(&l->link);
		free(l);
	}
}

static void source_flush(struct turn_source *s, uint64_t now_us)
{
	struct ksock *k = ksock_of(s);

	while (!cds_list_empty(&k->dirty)) {
		struct ksock_conn *c = cds_list_first_entry(&k->dirty, struct ksock_conn, dirty);
		ksock_conn_flush(c);
		ksock_conn_settle(c);
	}
	reap(k);
	if (k->config.spread)
		ksock_spread_count(k->config.spread, k->config.core, k->stats.conns);
	if (k->pool_empty && !k->pool_retry_us)
		k->pool_retry_us = now_us + KSOCK_POOL_RETRY_US;
	k->pool_empty = false;
}

static uint64_t source_next_us(struct turn_source *s)
{
	struct ksock *k = ksock_of(s);
	uint64_t accept_us = k->accept_retry_us ? k->accept_retry_us : UINT64_MAX;
	uint64_t pool_us = k->pool_retry_us ? k->pool_retry_us : UINT64_MAX;

	return RTE_MIN(accept_us, pool_us);
}

static bool source_sleep_prepare(struct turn_source *s)
{
	struct ksock *k = ksock_of(s);
	struct ksock_listener *l;

	if (!cds_list_empty(&k->dirty) || !cds_list_empty(&k->roomy))
		return false;
	if (!cds_list_empty(&k->active) && !k->pool_retry_us)
		return false;
	cds_list_for_each_entry (l, &k->listeners, link) {
		if (l->fd >= 0 && l->pending && !k->accept_retry_us)
			return false;
	}
	return !k->config.spread || !ksock_spread_waiting(k->config.spread, k->config.core);
}

struct ksock *ksock_create(const struct ksock_config *config)
{
	struct ksock *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->config = *config;
	k->phase = config->phase ? config->phase : &k->unseen;
	CDS_INIT_LIST_HEAD(&k->listeners);
	CDS_INIT_LIST_HEAD(&k->conns);
	CDS_INIT_LIST_HEAD(&k->active);
	CDS_INIT_LIST_HEAD(&k->dirty);
	CDS_INIT_LIST_HEAD(&k->roomy);
	CDS_INIT_LIST_HEAD(&k->starved);
	CDS_INIT_LIST_HEAD(&k->dead);
	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	k->conn_pool = pool_create("kernel connections", sizeof(struct ksock_conn), config->conn_max, NULL);
	if (k->epoll_fd < 0 || !k->conn_pool) {
		int error = k->epoll_fd < 0 ? errno : ENOMEM;
		if (k->epoll_fd >= 0)
			close(k->epoll_fd);
		if (k->conn_pool)
			pool_destroy(k->conn_pool);
		free(k);
		errno = error;
		return NULL;
	}
	k->source = (struct turn_source){
		.name = "ksock",
		.poll = source_poll,
		.flush = source_flush,
		.next_us = source_next_us,
		.sleep_prepare = source_sleep_prepare,
		.wake_fd = k->epoll_fd,
	};
	return k;
}

void ksock_destroy(struct ksock *k)
{
	ksock_listen_stop(k);
	while (!cds_list_empty(&k->conns))
		transport_abort(&cds_list_first_entry(&k->conns, struct ksock_conn, link)->conn);
	reap(k);
	while (k->spares)
		rte_pktmbuf_free(k->spare[--k->spares]);
	close(k->epoll_fd);
	pool_destroy(k->conn_pool);
	free(k);
}

/* On the socket that connections are accepted from or opened with: accepted ones inherit them, and what needs
 * a privilege (busy polling beyond the host's setting) is still had when a listener is made. */
static void set_options(const struct ksock *k, int fd)
{
	int on = 1, busy_us = (int)k->config.busy_poll_us;
	int idle_s = (int)((k->config.keepalive_us + 999999) / 1000000);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (busy_us)
		setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &busy_us, sizeof(busy_us));
	if (idle_s) {
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
}

int ksock_listen(struct ksock *k, const struct transport_address *address)
{
	struct sockaddr_storage ss;
	socklen_t size = sockaddr_from(&ss, address);
	int on = 1;
	struct ksock_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	*l = (struct ksock_listener){.kind = KSOCK_LISTENER, .k = k, .pending = true};
	l->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto fail;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	set_options(k, l->fd);
	if (ss.ss_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = l};
	if (bind(l->fd, (struct sockaddr *)&ss, size) < 0 || listen(l->fd, SOMAXCONN) < 0 ||
		epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) < 0)
		goto fail;
	cds_list_add_tail(&l->link, &k->listeners);
	return 0;
fail:;
	int error = errno;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	return -error;
}

void ksock_listen_stop(struct ksock *k)
{
	struct ksock_listener *l;

	cds_list_for_each_entry (l, &k->listeners, link) {
		if (l->fd >= 0)
			close(l->fd);
		l->fd = -1;
		l->pending = false;
	}
}

struct transport_conn *ksock_connect(struct ksock *k, const struct transport_address *address, void *user)
{
	struct sockaddr_storage ss;
	socklen_t size = sockaddr_from(&ss, address);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	set_options(k, fd);
	if (connect(fd, (struct sockaddr *)&ss, size) < 0 && errno != EINPROGRESS)
		goto fail;
	struct ksock_conn *c = ksock_conn_create(k, fd, address, true);
	if (!c) {
		errno = ENOBUFS;
		goto fail;
	}
	c->conn.user = user;
	return &c->conn;
fail:;
	int error = errno;
	close(fd);
	errno = error;
	return NULL;
}

struct turn_source *ksock_source(struct ksock *k)
{
	return &k->source;
}

struct ksock_stats ksock_stats(const struct ksock *k)
{
	return k->stats;
}
