/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a whole broker in memory, and over kernel sockets to it. */
#include "tools/client/client.h"

#include "broker/amqp091/testing/rig.h"
#include "runtime/reclaim.h"
#include "tests/unit/unit.h"
#include "tools/client/lap.h"
#include "tools/client/stamp.h"
#include "transport/ksock.h"

#include <stdlib.h>
#include <urcu/compiler.h>

enum { POOL = 2048, ROOM = 2048, PORT = 25672 };

/* The client's end of one of the rig's links. */
struct wire_end {
	struct transport_conn conn;
	struct chain rx;
	struct link link;
	struct rte_mempool *pool;
	uint32_t room, piece; /* what it takes; what it receives at once */
	bool shut, aborted;
};

struct user {
	struct client client;
	unsigned ready, ended, deliveries, writables;
	char why[320];
	uint64_t confirmed;
	struct stamp_account account;
	enum stamp_fault fault;
	uint64_t bytes;
};

static struct wire_end *end_of(struct transport_conn *conn)
{
	return caa_container_of(conn, struct wire_end, conn);
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
	chain_consume(&end_of(conn)->rx, bytes);
}

static uint32_t op_room(struct transport_conn *conn)
{
	return end_of(conn)->room;
}

static int op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct wire_end *e = end_of(conn);

	CU_ASSERT(bytes <= e->room);
	e->room -= bytes;
	link_feed(&e->link, data, bytes);
	return 0;
}

static void op_shutdown(struct transport_conn *conn)
{
	end_of(conn)->shut = end_of(conn)->link.fin = true;
}

static void op_abort(struct transport_conn *conn)
{
	struct wire_end *e = end_of(conn);

	chain_clear(&e->rx);
	e->aborted = e->link.reset = true;
}

static uint64_t op_pending(struct transport_conn *conn)
{
	return 0;
}

static const struct transport_ops ops = {.consume = op_consume,
	.tx_room = op_room,
	.write = op_write,
	.shutdown = op_shutdown,
	.abort = op_abort,
	.tx_pending = op_pending};

static void on_ready(struct client *c)
{
	((struct user *)c->user)->ready++;
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct user *u = c->user;

	u->deliveries++;
	u->bytes += d->bytes;
	if (d->shown >= STAMP_BYTES && u->account.next && !u->fault)
		u->fault = stamp_take(&u->account, wire_get64(d->body));
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
	struct user *u = c->user;

	if (m->id == AMQP091_METHOD_BASIC_ACK)
		u->confirmed = m->args.basic_ack.delivery_tag;
}

static void on_writable(struct client *c)
{
	((struct user *)c->user)->writables++;
}

static void on_ended(struct client *c, const char *why)
{
	struct user *u = c->user;

	u->ended++;
	snprintf(u->why, sizeof(u->why), "%s", why ? why : "");
}

static const struct client_app app = {.ready = on_ready,
	.delivery = on_delivery,
	.method = on_method,
	.writable = on_writable,
	.ended = on_ended};
static const struct client_login guest = {"guest", "guest", "/"}, wrong = {"guest", "geust", "/"};

static struct rte_mempool *pool;
static struct rig rig;

static void begin(void)
{
	if (!pool)
		pool = unit_pool("client", POOL, ROOM);
	rig_open_default(&rig, pool);
}

static void user_init(struct user *u, const struct client_login *login)
{
	*u = (struct user){0};
	client_init(&u->client, &app, login, u);
}

static void user_free(struct user *u)
{
	client_free(&u->client);
	stamp_account_free(&u->account);
}

static void wire_open(struct wire_end *e, struct user *u, uint32_t piece)
{
	*e = (struct wire_end){.pool = pool, .room = 65536, .piece = piece};
	e->conn = (struct transport_conn){.ops = &ops, .rx = &e->rx, .user = &u->client};
	rig_attach(&rig, &e->link);
	client_opening(&u->client, &e->conn);
	client_transport_app.connected(&e->conn, 0);
}

/* What the broker sent reaches the client; false: there was nothing. */
static bool wire_receive(struct wire_end *e)
{
	struct link_bytes *out = &e->link.out;
	bool some = false;

	while (!e->aborted && out->at < out->end) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(e->pool);
		size_t left = out->end - out->at, n = left < e->piece ? left : e->piece;
		CU_ASSERT_FATAL(m != NULL && n <= ROOM);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), out->data + out->at, n);
		out->at += n;
		chain_append_take(&e->rx, m);
		some = true;
		client_transport_app.readable(&e->conn);
	}
	return some;
}

static void settle(struct wire_end *e)
{
	do {
		rig_settle(&rig);
		if (e->room < 65536) {
			e->room = 65536;
			if (!e->aborted && !e->shut)
				client_transport_app.writable(&e->conn);
		}
	} while (wire_receive(e));
}

static void wire_close(struct wire_end *e)
{
	chain_clear(&e->rx);
	rig_detach(&rig, &e->link);
}

static void end(void)
{
	const char *leak = rig_close(&rig);

	CU_ASSERT_PTR_NULL(leak);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static void over(uint32_t piece, size_t bytes, unsigned messages)
{
	struct user *u = malloc(sizeof(*u));
	struct wire_end e;
	struct lap lap;

	begin();
	user_init(u, &guest);
	CU_ASSERT_FATAL(stamp_account_init(&u->account, 3, 1, false));
	script_confirm_select(&u->client.setup);
	script_declare(&u->client.setup, "q", 0);
	script_consume(&u->client.setup, "q", "data", true);
	wire_open(&e, u, piece);
	settle(&e);
	CU_ASSERT_EQUAL(u->ready, 1);
	lap_make(&lap, u->client.frame_max, "", "q", bytes, false);
	for (unsigned at = 0; at < messages;) {
		uint32_t n = messages - at < lap.count ? messages - at : lap.count;
		lap_fill(&lap, 3, at, n);
		at += n;
		while (!lap_is_sent(&lap) && !u->ended) {
			lap_send(&lap, &u->client);
			settle(&e);
		}
	}
	CU_ASSERT_EQUAL(u->deliveries, messages);
	CU_ASSERT_EQUAL(u->bytes, (uint64_t)messages * bytes);
	CU_ASSERT_EQUAL(u->fault, STAMP_FINE);
	CU_ASSERT_EQUAL(u->confirmed, messages);
	client_close(&u->client);
	settle(&e);
	CU_ASSERT_TRUE(e.shut);
	CU_ASSERT_EQUAL(u->ended, 0);
	client_transport_app.closed(&e.conn, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(u->ended, 1);
	CU_ASSERT_STRING_EQUAL(u->why, "");
	wire_close(&e);
	lap_free(&lap);
	user_free(u);
	free(u);
	end();
}

static void messages(void)
{
	over(1448, 16, 1000);
	over(7, 16, 100);
	over(1448, 0, 50);
	over(ROOM, 4096, 40);
	over(1448, 200000, 3); /* more than there is room for at once */
}

/* What the broker says as it closes. */
static void refused(const struct client_login *login, void (*setup)(struct script *s), const char *part)
{
	struct user *u = malloc(sizeof(*u));
	struct wire_end e;

	begin();
	user_init(u, login);
	setup(&u->client.setup);
	wire_open(&e, u, ROOM);
	settle(&e);
	if (!u->ended && e.link.shut)
		client_transport_app.peer_closed(&e.conn);
	CU_ASSERT_EQUAL(u->ready, 0);
	CU_ASSERT_EQUAL(u->ended, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(u->why, part));
	wire_close(&e);
	user_free(u);
	free(u);
	end();
}

static void nothing(struct script *s)
{
}

static void consume_nothing(struct script *s)
{
	script_consume(s, "there is none", "t", true);
}

static void transactions(struct script *s)
{
	script_confirm_select(s);
	script_tx_select(s);
}

static void refusals(void)
{
	refused(&wrong, nothing, "403");
	refused(&guest, consume_nothing, "404");
	refused(&guest, transactions, "cannot switch from confirm to tx mode");
}

/* From within a delivery: the connection goes once that is over, and nothing more is heard. */
static void on_delivery_fail(struct client *c, const struct reader_delivery *d)
{
	((struct user *)c->user)->deliveries++;
	client_fail(c, "seen enough");
	CU_ASSERT_PTR_NOT_NULL(c->conn);
}

static void failing_inside(void)
{
	static const struct client_app failing = {.ready = on_ready,
		.delivery = on_delivery_fail,
		.method = on_method,
		.writable = on_writable,
		.ended = on_ended};
	struct user *u = malloc(sizeof(*u));
	struct wire_end e;
	struct script s = {0};

	begin();
	user_init(u, &guest);
	u->client.app = &failing;
	script_declare(&u->client.setup, "q", 0);
	script_consume(&u->client.setup, "q", "t", true);
	wire_open(&e, u, ROOM);
	settle(&e);
	for (unsigned i = 0; i < 5; i++)
		script_publish_text(&s, "", "q", "text");
	client_say(&u->client, &s);
	settle(&e);
	CU_ASSERT_EQUAL(u->deliveries, 1);
	CU_ASSERT_EQUAL(u->ended, 1);
	CU_ASSERT_TRUE(e.aborted);
	CU_ASSERT_STRING_EQUAL(u->why, "seen enough");
	script_free(&s);
	wire_close(&e);
	user_free(u);
	free(u);
	end();
}

/* The same broker behind kernel sockets, client and broker in turns on this thread. */
static void turn(struct ksock *broker, struct ksock *clients)
{
	struct turn_source *b = ksock_source(broker), *c = ksock_source(clients);

	rig.now_us += 100;
	rig.clock->poll(rig.clock, rig.now_us);
	b->poll(b, rig.now_us);
	rig.source->poll(rig.source, rig.now_us);
	rig.source->flush(rig.source, rig.now_us);
	b->flush(b, rig.now_us);
	c->poll(c, rig.now_us);
	c->flush(c, rig.now_us);
	reclaim_run();
}

static void kernel_sockets(void)
{
	struct user *u = malloc(sizeof(*u));
	struct transport_address to = {.family = 4, .bytes = {127, 0, 0, 1}, .port = PORT};
	struct lap lap;

	begin();
	struct ksock_config config = {.pool = pool,
		.conn_max = 8,
		.rx_buffer_bytes = 65536,
		.tx_buffer_bytes = 65536,
		.app = &amqp091_app,
		.app_ctx = rig.server};
	struct ksock *broker = ksock_create(&config);
	config.app = &client_transport_app;
	config.app_ctx = NULL;
	struct ksock *clients = ksock_create(&config);
	CU_ASSERT_FATAL(broker && clients);
	while (ksock_listen(broker, &to))
		to.port++;
	user_init(u, &guest);
	CU_ASSERT_FATAL(stamp_account_init(&u->account, 0, 1, false));
	script_declare(&u->client.setup, "q", 0);
	script_consume(&u->client.setup, "q", "data", true);
	struct transport_conn *conn = ksock_connect(clients, &to, &u->client);
	CU_ASSERT_FATAL(conn != NULL);
	client_opening(&u->client, conn);
	while (!u->ready && !u->ended)
		turn(broker, clients);
	CU_ASSERT_EQUAL(u->ready, 1);
	lap_make(&lap, u->client.frame_max, "", "q", 100, false);
	for (unsigned sent = 0; u->deliveries < 10000 && !u->ended; turn(broker, clients)) {
		if (lap_is_sent(&lap) && sent < 10000) {
			uint32_t n = 10000 - sent < lap.count ? 10000 - sent : lap.count;
			lap_fill(&lap, 0, sent, n);
			sent += n;
		}
		lap_send(&lap, &u->client);
	}
	CU_ASSERT_EQUAL(u->fault, STAMP_FINE);
	client_close(&u->client);
	while (!u->ended)
		turn(broker, clients);
	CU_ASSERT_STRING_EQUAL(u->why, "");
	lap_free(&lap);

	/* and where nobody listens */
	ksock_listen_stop(broker);
	turn(broker, clients);
	u->ended = 0;
	conn = ksock_connect(clients, &to, &u->client);
	client_opening(&u->client, conn);
	while (conn && !u->ended)
		turn(broker, clients);
	CU_ASSERT_PTR_NOT_NULL(strstr(u->why, "cannot connect"));
	amqp091_server_abort(rig.server);
	ksock_destroy(broker);
	ksock_destroy(clients);
	user_free(u);
	free(u);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"messages", messages}, {"refusals", refusals},
			{"failing inside", failing_inside}, {"kernel sockets", kernel_sockets}, {0}});
}
