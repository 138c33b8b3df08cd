/* SPDX-License-Identifier: Apache-2.0 */
/* A polling data core at work makes no system call, allocates nothing and meets no page for the first time.
 * The core is the broker's: stack, adaptor, queues, on a thread of its own; the clients are the main
 * thread's. A core that was watched never comes back, so everything it used stays until the process ends. */
#include "broker/amqp091/server.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/clock.h"
#include "runtime/reclaim.h"
#include "tests/ixgbe_model/model.h"
#include "tests/steady/load.h"
#include "tests/steady/traps.h"
#include "tests/unit/unit.h"

#include <rte_ring.h>
#include <stdlib.h>
#include <unistd.h>
#include <urcu/compiler.h>

enum {
	WARM_UP = 40000, /* messages: every pool has been through all that it will use */
	WATCHED = 20000,
	CROWDS = 4,
	CROWD_US = 20000,
	TIMEOUT_US = 60000000,
	TX_MBUFS = 1023,
	WIRE_MBUFS = 1023,
	WIRE_FRAMES = 512,
};

enum watch { WATCH_NOT, WATCH_HOLD, WATCH_ARM, WATCH_ARMED, WATCH_END };

/* What core.c of the program makes, for one core and one port. */
struct core {
	struct turn turn;
	struct turn_source watcher;
	struct traps traps;
	unsigned watch; /* enum watch: written by both threads in turn */
	struct message_store *store;
	struct broker *broker;
	struct auth *auth;
	struct broker_core *core;
	struct amqp091_server *server;
	struct rte_mempool *tx_pool;
	struct bypass *b;
};

static const struct ip_addr *address(unsigned side)
{
	static struct ip_addr both[2];

	both[side] = ip_v4(0x0a000001 + side);
	return &both[side];
}

static unsigned watcher_poll(struct turn_source *s, uint64_t now_us)
{
	struct core *c = caa_container_of(s, struct core, watcher);

	switch (__atomic_load_n(&c->watch, __ATOMIC_ACQUIRE)) {
	case WATCH_HOLD:
		while (__atomic_load_n(&c->watch, __ATOMIC_ACQUIRE) == WATCH_HOLD)
			rte_pause();
		break;
	case WATCH_ARM:
		traps_arm(&c->traps);
		__atomic_store_n(&c->watch, WATCH_ARMED, __ATOMIC_RELEASE);
		break;
	case WATCH_END:
		traps_park();
		break;
	default:
		break;
	}
	return 0;
}

static void wake(void *turn)
{
	turn_wake(turn);
}

static struct bypass *stack_make(struct port *port, unsigned side, struct rte_mempool *tx_pool,
	const struct transport_app *app, void *app_ctx)
{
	struct bypass_config c = {.port = port, .local_link = true, .app = app, .app_ctx = app_ctx};

	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, *address(side), 24);
	c.stack.tx_pool = tx_pool;
	c.stack.conn_max = 16;
	return bypass_create(&c, clock_now_us());
}

static struct rte_mempool *pool_make(const char *kind, const char *what, unsigned count)
{
	char name[32];

	snprintf(name, sizeof(name), "%s %s", kind, what);
	struct rte_mempool *p = port_pool_create(name, count, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static void core_open(struct core *c, struct port *port, const char *kind)
{
	struct message_store_config mc = {
		.memory_bytes = 16 << 20, .messages_max = 10000, .watermark_percent = 80, .caches_max = 1};
	struct broker_config bc = {.limits = {100, 100, 100, 100}};

	CU_ASSERT_EQUAL_FATAL(turn_init(&c->turn, TURN_IDLE_PAUSE, 0), 0);
	c->store = message_store_create(&mc);
	c->broker = broker_create(&bc);
	c->auth = auth_create(NULL, 0);
	CU_ASSERT_FATAL(c->store && c->broker && c->auth);
	c->core = broker_core_create(c->broker, 0, message_cache_create(c->store));
	struct amqp091_server_config sc = {.core = c->core,
		.auth = c->auth,
		.conn_max = 16,
		.channel_max = 8,
		.channels_max = 64,
		.consumers_max = 16,
		.unacked_max = 1000,
		.frame_max_bytes = 131072,
		.message_bytes_max = 1 << 20,
		.handshake_timeout_us = TIMEOUT_US,
		.close_timeout_us = TIMEOUT_US,
		.wake = wake,
		.wake_ctx = &c->turn};
	c->server = amqp091_server_create(&sc, clock_now_us());
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->server);
	c->tx_pool = pool_make(kind, "core", TX_MBUFS);
	c->b = stack_make(port, 1, c->tx_pool, &amqp091_app, c->server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->b);
	CU_ASSERT_EQUAL(bypass_listen(c->b, NULL, 5672, NULL), 0);
	c->watcher = (struct turn_source){.name = "watcher", .poll = watcher_poll, .wake_fd = -1};
	CU_ASSERT_EQUAL(turn_add(&c->turn, &c->watcher), 0);
	CU_ASSERT_EQUAL(turn_add(&c->turn, amqp091_server_clock(c->server)), 0);
	CU_ASSERT_EQUAL(turn_add(&c->turn, bypass_source(c->b)), 0);
	CU_ASSERT_EQUAL(turn_add(&c->turn, amqp091_server_source(c->server)), 0);
}

static int core_run(void *core)
{
	turn_run(&((struct core *)core)->turn);
	return 0;
}

/* A bench for one kind of port. */
struct bench {
	struct core core;
	struct load load;
	struct bypass *clients;
	void (*carry)(struct bench *b); /* what joins the two ports where they need it; or NULL */
	struct rte_ring *rx[2], *tx[2];
	struct rte_mempool *wire;
	struct ixm *device[2];
};

static void load_turn(struct bench *b)
{
	struct turn_source *s = bypass_source(b->clients);
	uint64_t now_us = clock_now_us();

	s->poll(s, now_us);
	s->flush(s, now_us);
	if (b->carry)
		b->carry(b);
}

static bool work(struct bench *b, uint64_t until)
{
	uint64_t end_us = clock_now_us() + TIMEOUT_US;

	while (b->load.received < until && !b->load.broken && clock_now_us() < end_us) {
		load_publish(&b->load, until);
		load_turn(b);
	}
	CU_ASSERT_FALSE(b->load.broken);
	CU_ASSERT_EQUAL(b->load.received, until);
	return b->load.received == until;
}

static void watch_until(struct bench *b, enum watch wanted)
{
	while (__atomic_load_n(&b->core.watch, __ATOMIC_ACQUIRE) != wanted)
		load_turn(b);
}

/* As a busy machine does: the core waits until as much has come as can, then the clients do. What is needed
 * for that has been touched once. Returns the messages published. */
static uint64_t crowd(struct bench *b, uint64_t until)
{
	for (unsigned round = 0; round < CROWDS; round++) {
		uint64_t end_us = clock_now_us() + CROWD_US;
		until += LOAD_AHEAD;
		__atomic_store_n(&b->core.watch, WATCH_HOLD, __ATOMIC_RELEASE);
		while (clock_now_us() < end_us) {
			/* Each in a segment of its own. */
			if (b->load.published < until)
				load_publish(&b->load, b->load.published + 1);
			load_turn(b);
		}
		__atomic_store_n(&b->core.watch, WATCH_NOT, __ATOMIC_RELEASE);
		usleep(CROWD_US);
		if (!work(b, until))
			break;
	}
	return until;
}

/* Where memory is not locked and touched at start (idle: poll does that), more messages under way than ever
 * before touch pages of their own. But not one a message. */
enum { PAGES_MAX = WATCHED / 100 };

static void watched(struct bench *b, unsigned lcore)
{
	uint64_t pages, faults, end_us = clock_now_us() + TIMEOUT_US;
	const struct traps *t = &b->core.traps;

	CU_ASSERT_EQUAL_FATAL(dpdk_core_launch(lcore, core_run, &b->core), 0);
	load_open(&b->load, b->clients, address(1), clock_now_us());
	while (!load_ready(&b->load) && !b->load.broken && clock_now_us() < end_us)
		load_turn(b);
	CU_ASSERT_TRUE_FATAL(load_ready(&b->load));
	if (!work(b, WARM_UP))
		return;
	uint64_t warm = crowd(b, WARM_UP);
	__atomic_store_n(&b->core.watch, WATCH_ARM, __ATOMIC_RELEASE);
	watch_until(b, WATCH_ARMED);
	traps_pages(); /* what looking costs is there when it counts */
	pages = traps_pages();
	faults = traps_faults(t);
	work(b, warm + WATCHED);
	pages = traps_pages() - pages;
	faults = traps_faults(t) - faults;
	if (t->system_calls)
		printf("# %lu system calls, the first is number %ld\n", t->system_calls,
			t->first_system_call);
	if (pages || faults)
		printf("# %lu pages more, %lu faults of the slow kind\n", pages, faults);
	CU_ASSERT_EQUAL(t->system_calls, 0);
	CU_ASSERT(t->allocations == 0 && t->frees == 0);
	CU_ASSERT(pages <= PAGES_MAX && faults == 0);
	CU_ASSERT_TRUE(turn_stats(&b->core.turn).turns_busy > 100);
	__atomic_store_n(&b->core.watch, WATCH_END, __ATOMIC_RELEASE);
}

static void start(void)
{
	const struct eal_options o = {.memory_mb = 256, .data_cores = 3};
	char error[512];

	if (dpdk_eal_running())
		return;
	if (dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	traps_init();
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
}

static struct port *port_make(const char *device, uint8_t mac)
{
	struct port_config c = {.device = device, .queues = 1, .offloads = PORT_OFFLOADS_ALL, .rx_held = 256};

	c.mac[0] = mac ? 2 : 0; /* 0: the device's own */
	c.mac[5] = mac;
	struct port *p = NULL;
	char error[512];

	if (port_open(&c, &p, error, sizeof(error)))
		printf("# %s: %s\n", device, error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

/* ---- net_ring ---- */

/* The wire copies, as a device does: the sender keeps its buffers to send them again. */
static void carry_rings(struct bench *b)
{
	struct rte_mbuf *m;

	for (unsigned side = 0; side < 2; side++)
		while (rte_ring_dequeue(b->tx[side], (void **)&m) == 0) {
			struct rte_mbuf *copy = rte_pktmbuf_copy(m, b->wire, 0, UINT32_MAX);
			rte_pktmbuf_free(m);
			if (copy && rte_ring_enqueue(b->rx[1 - side], copy))
				rte_pktmbuf_free(copy);
		}
}

struct ring_arguments { /* what rte_eth_from_rings hands its driver */
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct port *ring_port(struct bench *b, unsigned side)
{
	struct ring_arguments a = {&b->rx[side], 1, &b->tx[side], 1, 0, &a};
	char device[64], name[32];

	snprintf(name, sizeof(name), "rx%u", side);
	b->rx[side] = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "tx%u", side);
	b->tx[side] = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	CU_ASSERT_FATAL(b->rx[side] && b->tx[side]);
	snprintf(device, sizeof(device), "net_ring%u,internal=%p", side, (void *)&a);
	return port_make(device, (uint8_t)(side + 1));
}

/* Both ends, the core and its clients, and the core watched. */
static void bench_run(
	struct bench *b, const char *kind, unsigned lcore, struct port *clients, struct port *core)
{
	core_open(&b->core, core, kind);
	b->clients = stack_make(clients, 0, pool_make(kind, "clients", TX_MBUFS), &load_app, &b->load);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->clients);
	watched(b, lcore);
}

static void test_ring(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	start();
	b->carry = carry_rings;
	b->wire = pool_make("ring", "wire", WIRE_MBUFS);
	struct port *clients = ring_port(b, 0), *core = ring_port(b, 1);
	bench_run(b, "ring", 0, clients, core);
}

/* ---- net_vhost and net_virtio_user ---- */

static void test_vhost(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	char socket[64], vhost[128], virtio[128];

	start();
	snprintf(socket, sizeof(socket), "/tmp/godwit-steady-%d", getpid());
	snprintf(vhost, sizeof(vhost), "net_vhost0,iface=%s,queues=1", socket);
	snprintf(virtio, sizeof(virtio), "net_virtio_user0,path=%s,queues=1", socket);
	struct port *core = port_make(vhost, 0);
	struct port *clients = port_make(virtio, 0);
	bench_run(b, "vhost", 1, clients, core);
	unlink(socket);
}

/* ---- an 82599 in software ---- */

static void carry_device(struct bench *b)
{
	for (unsigned side = 0; side < 2; side++)
		ixm_turn(b->device[side]);
}

static struct port *device_port(struct bench *b, unsigned side)
{
	char name[32], error[512];
	const struct ixm_config c = {.address = name, .mac = {2, [5] = (uint8_t)(side + 1)}};

	snprintf(name, sizeof(name), "0000:04:00.%u", side);
	if (ixm_open(&c, &b->device[side], error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->device[side]);
	return port_make(name, 0);
}

static void test_82599(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	start();
	b->carry = carry_device;
	struct port *clients = device_port(b, 0), *core = device_port(b, 1);
	ixm_wire_join(b->device[0], b->device[1]);
	for (unsigned side = 0; side < 2; side++)
		ixm_wire_lossless(b->device[side], true);
	ixm_settle();
	bench_run(b, "82599", 2, clients, core);
}

int main(int argc, char **argv)
{
	int status = unit_main(argc, argv,
		(struct unit_test[]){{"ring", test_ring}, {"vhost", test_vhost}, {"82599", test_82599}, {0}});

	fflush(stdout);
	_exit(status); /* the cores that were watched are still there */
}
