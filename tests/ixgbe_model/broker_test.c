/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's whole way over an 82599: the program's own cores on one device, AMQP clients on our TCP on
 * another, a cable between them. Both are models under the unmodified driver, which compute the checksums and
 * cut the segments. One thread and a virtual clock. While messages flow the cable comes out, devices stand
 * still, and frames are damaged, and a VF's host is reset; every message comes once, and in order. */
#include "broker/core/core.h"
#include "broker/main/instance.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/log.h"
#include "runtime/reclaim.h"
#include "tests/ixgbe_model/model.h"
#include "tests/unit/unit.h"
#include "tools/client/client.h"
#include "tools/client/lap.h"
#include "tools/client/stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HOST_CORES_MAX = 4,
	PAIRS = 12,
	MESSAGES = 400, /* of each publisher */
	TCP_PORT = 5672,
	TURN_US = 20,
	ROUNDS_MAX = 2000000,
	FAULT_ROUNDS = 1500, /* 30 ms: no connection's end */
	CALM_ROUNDS = 2500,
	PREFETCH = 16,
};

/* A publisher and a consumer of one queue. */
struct pair {
	struct client publisher, consumer;
	struct stamp_account account;
	struct lap lap;
	char queue[16];
	size_t bytes;
	uint64_t sent, received, acked;
	bool ready, wrong;
	unsigned ended;
};

struct host {
	struct ixm *device;
	struct port *port;
};

struct scene {
	unsigned cores, mtu;
	uint32_t offloads;
	enum ixm_part_name part;
	unsigned vf_queues; /* that a VF's host gives it */
	uint16_t vlan;
};

struct net {
	const struct scene *scene;
	struct host client, server;
	struct instance in;
	struct rte_mempool *tx_pool;
	struct bypass *bypass;
	struct pair pairs[PAIRS];
	uint64_t now_us;
	unsigned faults; /* begun so far */
};

static const struct client_login login = {"user", "secret", "/"};

/* ---- clients ---- */

static struct pair *pair_of(struct client *c)
{
	return c->user;
}

static void on_ready(struct client *c)
{
	struct pair *p = pair_of(c);

	if (c == &p->publisher)
		lap_make(&p->lap, c->frame_max, "", p->queue, p->bytes, false);
	p->ready = p->publisher.state == CLIENT_READY && p->consumer.state == CLIENT_READY;
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct pair *p = pair_of(c);
	uint8_t ack[SCRIPT_ACK_BYTES];

	p->wrong |= d->bytes != p->bytes || stamp_take(&p->account, wire_get64(d->body)) != STAMP_FINE;
	p->received++;
	if (d->tag - p->acked < PREFETCH / 2 && p->received < MESSAGES)
		return;
	script_ack_put(ack, d->tag, true);
	if (client_write(c, ack, sizeof(ack)))
		p->acked = d->tag;
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
}

static void on_writable(struct client *c)
{
}

static void on_ended(struct client *c, const char *why)
{
	if (why)
		printf("# %s: %s\n", pair_of(c)->queue, why);
	CU_ASSERT_PTR_NULL(why);
	pair_of(c)->ended++;
}

static const struct client_app app = {on_ready, on_delivery, on_method, on_writable, on_ended};

static void client_open(struct net *n, struct pair *p, struct client *c)
{
	const struct ip_addr broker = ip_v4(0x0a000002);

	client_init(c, &app, &login, p);
	script_declare(&c->setup, p->queue, 0);
	if (c == &p->consumer) {
		script_qos(&c->setup, PREFETCH);
		script_consume(&c->setup, p->queue, "t", false);
	}
	struct transport_conn *conn = bypass_connect(n->bypass, &broker, TCP_PORT, c, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
	client_opening(c, conn);
}

static void pairs_open(struct net *n)
{
	static const size_t sizes[] = {8, 100, 1000, 1448, 4096, 9000, 30000};

	for (unsigned i = 0; i < PAIRS; i++) {
		struct pair *p = &n->pairs[i];
		p->bytes = sizes[i % RTE_DIM(sizes)];
		snprintf(p->queue, sizeof(p->queue), "q%u", i);
		CU_ASSERT_FATAL(stamp_account_init(&p->account, i, 1, false));
		client_open(n, p, &p->consumer);
		client_open(n, p, &p->publisher);
	}
}

static void pair_publish(struct pair *p, unsigned index)
{
	if (!p->ready)
		return;
	lap_send(&p->lap, &p->publisher);
	if (!lap_is_sent(&p->lap) || p->sent == MESSAGES)
		return;
	uint32_t k = (uint32_t)RTE_MIN(p->lap.count, MESSAGES - p->sent);
	lap_fill(&p->lap, index, p->sent, k);
	p->sent += k;
	lap_send(&p->lap, &p->publisher);
}

/* ---- the two hosts ---- */

/* Fixed, so that the connections are spread over all queues. */
static const uint8_t key[PORT_RSS_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d,
	0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static void host_make(struct host *h, unsigned number, unsigned cores, const struct scene *s)
{
	char name[32], error[512] = "";
	const struct ixm_config device = {.part = s->part,
		.address = name,
		.mac = {2, 0, 0, 0, 6, (uint8_t)number},
		.host = {.spoof_check = true, .queues = s->vf_queues, .mtu = s->mtu}};
	const struct port_config c = {.device = name,
		.queues = cores,
		.mtu = s->mtu,
		.rss_key = key,
		.rx_descriptors = 256,
		.tx_descriptors = 256,
		.offloads = s->offloads,
		.rx_held = 1024};

	snprintf(name, sizeof(name), "0000:06:00.%u", number);
	if (ixm_open(&device, &h->device, error, sizeof(error)) ||
		port_open(&c, &h->port, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->port);
}

static void host_close(struct host *h)
{
	struct ixm_dma_fault fault;
	struct ixm_counters count;

	port_close(h->port);
	ixm_dma_fault(h->device, &fault);
	ixm_counters(h->device, &count);
	CU_ASSERT_EQUAL(fault.count, 0);
	CU_ASSERT_EQUAL(count.tx_malformed, 0);
	ixm_close(h->device);
}

static void configure(struct config *c, const struct scene *s)
{
	CU_ASSERT_EQUAL_FATAL(config_load(NULL, c, stderr), 0);
	c->lcore_count = s->cores;
	c->idle = CONFIG_IDLE_POLL;
	c->memory.message_bytes = 16 << 20;
	c->memory.buffers = 2048;
	c->limits.messages = 65536;
	c->limits.connections = 4 * PAIRS;
	c->limits.queues = c->limits.consumers = 4 * PAIRS;
	c->limits.handshake_timeout_us = 60000000;
	c->port_count = c->listener_count = 1;
	c->ports[0] = (struct config_port){.name = "lan",
		.device_kind = CONFIG_DEVICE_PCI,
		.mtu_bytes = s->mtu,
		.rx_descriptors = 256,
		.tx_descriptors = 256,
		.vlan = s->vlan,
		.address = {0x0a000002, 24}};
	c->listeners[0] = (struct config_listener){.name = "lan",
		.transport = CONFIG_TRANSPORT_BYPASS,
		.tcp_port = TCP_PORT,
		.address = {.version = 4},
		.nodelay = true,
		.rto_us_min = (uint32_t)c->tcp.rto_us_min,
		.user_timeout_us = (uint32_t)c->tcp.user_timeout_us};
}

static void broker_make(struct net *n)
{
	const struct auth_user user = {.name = login.user, .password = login.password};

	configure(&n->in.config, n->scene);
	n->in.sizes = sizes_of(&n->in.config);
	n->in.ports[0] = n->server.port;
	n->in.auth = auth_create(&user, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->in.auth);
	CU_ASSERT_EQUAL_FATAL(cores_create(&n->in, n->now_us), 0);
	CU_ASSERT_EQUAL_FATAL(listeners_open(&n->in), 1);
	devices_begin(&n->in, n->now_us);
}

static void stack_make(struct net *n)
{
	struct bypass_config c = {.app = &client_transport_app, .port = n->client.port};

	n->tx_pool = port_pool_create("clients_tx", 8191, port_pool_room(n->scene->mtu), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, ip_v4(0x0a000001), 24);
	c.stack.tx_pool = n->tx_pool;
	c.stack.vlan = n->scene->vlan;
	c.stack.conn_max = 4 * PAIRS;
	c.stack.time_wait_us = 1000;
	n->bypass = bypass_create(&c, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->bypass);
}

static struct net *net_open(const struct scene *s)
{
	const struct eal_options o = {.memory_mb = 768, .data_cores = HOST_CORES_MAX};
	struct net *n = calloc(1, sizeof(*n));
	char error[512];

	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	log_set_level(LOG_LEVEL_ERROR);
	n->scene = s;
	n->now_us = 1000000;
	host_make(&n->client, 0, 1, s);
	host_make(&n->server, 1, s->cores, s);
	ixm_wire_join(n->client.device, n->server.device);
	ixm_wire_lossless(n->client.device, true);
	ixm_wire_lossless(n->server.device, true);
	ixm_settle();
	broker_make(n);
	stack_make(n);
	pairs_open(n);
	return n;
}

static void net_close(struct net *n)
{
	bypass_destroy(n->bypass);
	for (unsigned i = 0; i < n->scene->cores; i++)
		message_cache_flush(n->in.cores[i].core->cache);
	struct message_store_stats s = message_store_stats(n->in.messages);
	CU_ASSERT_EQUAL(s.cells.used + s.blocks.used, 0);
	CU_ASSERT_EQUAL(n->in.connections, 0);
	cores_destroy(&n->in);
	reclaim_run();
	host_close(&n->client);
	host_close(&n->server);
	cores_free(&n->in);
	auth_destroy(n->in.auth);
	CU_ASSERT(unit_pool_full(n->tx_pool));
	rte_mempool_free(n->tx_pool);
	for (unsigned i = 0; i < PAIRS; i++) {
		struct pair *p = &n->pairs[i];
		stamp_account_free(&p->account);
		lap_free(&p->lap);
		client_free(&p->publisher);
		client_free(&p->consumer);
	}
	free(n);
}

/* ---- time passes ---- */

static void round_take(struct net *n)
{
	struct turn_source *s = bypass_source(n->bypass);

	s->poll(s, n->now_us);
	for (unsigned i = 0; i < PAIRS; i++)
		pair_publish(&n->pairs[i], i);
	s->flush(s, n->now_us);
	ixm_turn(n->client.device);
	for (unsigned i = 0; i < n->scene->cores; i++)
		turn_run_once(&n->in.cores[i].turn, n->now_us);
	ixm_turn(n->server.device);
	devices_look(&n->in, n->now_us);
	reclaim_run();
	n->now_us += TURN_US;
}

/* One thing at a time, on one of the two devices. */
static void fault_begin(struct net *n)
{
	static const struct ixm_faults all[] = {{.link_down = true}, {.tx_stuck = true}, {.rx_stuck = true},
		{.rx_status_or = 1u << 30 /* 7.1.5.2: TCPE, a wrong checksum */}, {.rx_length = 60}};
	unsigned k = n->faults++;

	if (k == 0 && n->scene->vf_queues) {
		ixm_faults_set(n->server.device, &(struct ixm_faults){.pf_down = true});
		return;
	}
	ixm_faults_set(k % 2 ? n->client.device : n->server.device, &all[k / 2 % RTE_DIM(all)]);
}

static void fault_end(struct net *n)
{
	ixm_faults_set(n->client.device, &(struct ixm_faults){0});
	ixm_faults_set(n->server.device, &(struct ixm_faults){0});
}

static bool all_came(const struct net *n)
{
	for (unsigned i = 0; i < PAIRS; i++)
		if (n->pairs[i].received < MESSAGES)
			return false;
	return true;
}

static void messages_flow(struct net *n)
{
	unsigned rounds = 0;

	for (; rounds < ROUNDS_MAX && !all_came(n); rounds++) {
		unsigned phase = rounds % (CALM_ROUNDS + FAULT_ROUNDS);
		if (phase == CALM_ROUNDS)
			fault_begin(n);
		else if (phase == 0)
			fault_end(n);
		round_take(n);
	}
	fault_end(n);
	if (rounds == ROUNDS_MAX)
		for (unsigned i = 0; i < PAIRS; i++)
			printf("# %s: %lu sent, %lu received\n", n->pairs[i].queue,
				(unsigned long)n->pairs[i].sent, (unsigned long)n->pairs[i].received);
}

/* The queues go, and all connections in order. */
static void all_leave(struct net *n)
{
	unsigned ended = 0;

	for (unsigned i = 0; i < PAIRS; i++) {
		struct script s = {0};
		script_delete(&s, n->pairs[i].queue);
		client_say(&n->pairs[i].publisher, &s);
		script_free(&s);
	}
	for (unsigned k = 0; k < 5000; k++)
		round_take(n);
	for (unsigned i = 0; i < PAIRS; i++) {
		client_close(&n->pairs[i].publisher);
		client_close(&n->pairs[i].consumer);
	}
	for (unsigned k = 0; k < ROUNDS_MAX && ended < 2 * PAIRS; k++) {
		round_take(n);
		ended = 0;
		for (unsigned i = 0; i < PAIRS; i++)
			ended += n->pairs[i].ended;
	}
	CU_ASSERT_EQUAL(ended, 2 * PAIRS);
	for (unsigned k = 0; k < 5000; k++)
		round_take(n);
}

static void everything_is_well(const struct net *n)
{
	struct ixm_counters client, server;
	unsigned busy = 0;

	for (unsigned i = 0; i < PAIRS; i++) {
		CU_ASSERT_EQUAL(n->pairs[i].received, MESSAGES);
		CU_ASSERT_FALSE(n->pairs[i].wrong);
	}
	for (unsigned i = 0; i < n->scene->cores; i++)
		busy += bypass_stats(n->in.cores[i].bypass[0]).accepted > 0;
	CU_ASSERT(busy * 4 >= n->scene->cores * 3);
	CU_ASSERT(n->faults >= 2);
	ixm_counters(n->client.device, &client);
	ixm_counters(n->server.device, &server);
	bool contexts = n->scene->offloads & PORT_TX_TCP_CHECKSUM;
	CU_ASSERT_EQUAL(server.resets > 2, n->scene->vf_queues > 0); /* probed, started, and once more */
	CU_ASSERT_EQUAL(client.tx_contexts > 0, contexts);
	CU_ASSERT_EQUAL(server.tx_contexts > 0, contexts);
	CU_ASSERT_EQUAL(server.tx_segmentations > 0, (n->scene->offloads & PORT_TX_TSO) != 0);
}

static void play(const struct scene *s)
{
	struct net *n = net_open(s);

	messages_flow(n);
	all_leave(n);
	everything_is_well(n);
	net_close(n);
}

static void test_the_device_sums_and_cuts(void)
{
	play(&(struct scene){.cores = 1, .mtu = 1500, .offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
}

static void test_four_queues_and_large_frames(void)
{
	play(&(struct scene){.cores = 4, .mtu = 9000, .offloads = PORT_OFFLOADS_ALL});
}

static void test_the_stack_does_it_all(void)
{
	play(&(struct scene){.cores = 2, .mtu = 1500});
}

/* All frames come by one queue, and rings carry them on. */
static void test_four_cores_on_an_82598(void)
{
	play(&(struct scene){
		.cores = 4, .mtu = 1500, .offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO, .part = IXM_82598});
}

static void test_four_cores_on_an_x550(void)
{
	play(&(struct scene){
		.cores = 4, .mtu = 1500, .offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO, .part = IXM_X550});
}

static void test_three_cores_on_a_vf_of_two_queues(void)
{
	play(&(struct scene){.cores = 3,
		.mtu = 1500,
		.offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO,
		.part = IXM_82599_VF,
		.vf_queues = 2});
}

static void test_large_frames_on_a_vf(void)
{
	play(&(struct scene){.cores = 1,
		.mtu = 9000,
		.offloads = PORT_OFFLOADS_ALL,
		.part = IXM_82599_VF,
		.vf_queues = 1});
}

/* The tag lies in the frames: checksums, segments and RSS are the device's all the same. */
static void test_two_cores_in_a_vlan(void)
{
	play(&(struct scene){
		.cores = 2, .mtu = 1500, .offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO, .vlan = 7});
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"the_device_sums_and_cuts", test_the_device_sums_and_cuts},
		{"four_queues_and_large_frames", test_four_queues_and_large_frames},
		{"the_stack_does_it_all", test_the_stack_does_it_all},
		{"four_cores_on_an_82598", test_four_cores_on_an_82598},
		{"four_cores_on_an_x550", test_four_cores_on_an_x550},
		{"three_cores_on_a_vf_of_two_queues", test_three_cores_on_a_vf_of_two_queues},
		{"large_frames_on_a_vf", test_large_frames_on_a_vf},
		{"two_cores_in_a_vlan", test_two_cores_in_a_vlan},
		{NULL, NULL},
	};
	reclaim_start_manual();
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
