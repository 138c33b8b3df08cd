/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/steady/load.h"
#include "runtime/wire.h"

#include <string.h>

enum { METHOD = 1, BODY = 3, HEAD_BYTES = 7 };

/* A frame that is being written. */
struct out {
	uint8_t p[512];
	uint32_t n;
};

static void put(struct out *o, const void *p, uint32_t n)
{
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void put8(struct out *o, uint8_t v)
{
	put(o, &v, 1);
}

static void put16(struct out *o, uint16_t v)
{
	wire_put16(o->p + o->n, v);
	o->n += 2;
}

static void put32(struct out *o, uint32_t v)
{
	wire_put32(o->p + o->n, v);
	o->n += 4;
}

static void put_text(struct out *o, const char *text)
{
	put8(o, (uint8_t)strlen(text));
	put(o, text, (uint32_t)strlen(text));
}

static void begin(struct out *o, uint8_t type, uint16_t channel)
{
	o->n = 0;
	put8(o, type);
	put16(o, channel);
	put32(o, 0);
}

static struct out method(uint16_t channel, uint16_t class_id, uint16_t method_id)
{
	struct out o;

	begin(&o, METHOD, channel);
	put16(&o, class_id);
	put16(&o, method_id);
	return o;
}

static void end(struct out *o)
{
	wire_put32(o->p + 3, o->n - HEAD_BYTES);
	put8(o, 0xce);
}

static void send(struct load_client *c, struct out *o)
{
	end(o);
	if (transport_write(c->conn, o->p, o->n) != 0)
		c->load->broken = true;
}

static void start_ok(struct load_client *c)
{
	struct out o = method(0, 10, 11);

	put32(&o, 0);
	put_text(&o, "PLAIN");
	put32(&o, 12);
	put(&o, "\0guest\0guest", 12);
	put_text(&o, "en_US");
	send(c, &o);
}

static void tune_and_open(struct load_client *c)
{
	struct out o = method(0, 10, 31);

	put16(&o, 8);
	put32(&o, 131072);
	put16(&o, 0);
	send(c, &o);
	o = method(0, 10, 40);
	put_text(&o, "/");
	put_text(&o, "");
	put8(&o, 0);
	send(c, &o);
}

static void open_channel(struct load_client *c)
{
	struct out o = method(1, 20, 10);

	put_text(&o, "");
	send(c, &o);
}

static void declare(struct load_client *c)
{
	struct out o = method(1, 50, 10);

	put16(&o, 0);
	put_text(&o, "steady");
	put8(&o, 0);
	put32(&o, 0);
	send(c, &o);
}

static void consume(struct load_client *c)
{
	struct out o = method(1, 60, 20);

	put16(&o, 0);
	put_text(&o, "steady");
	put_text(&o, "");
	put8(&o, 2); /* no-ack */
	put32(&o, 0);
	send(c, &o);
}

static void publish(struct load_client *c)
{
	static const uint8_t body[LOAD_BODY_BYTES];
	struct out all = method(1, 60, 40), o;

	put16(&all, 0);
	put_text(&all, "");
	put_text(&all, "steady");
	put8(&all, 0);
	end(&all);
	begin(&o, 2, 1);
	put16(&o, 60);
	put16(&o, 0);
	put32(&o, 0);
	put32(&o, sizeof(body));
	put16(&o, 0);
	end(&o);
	put(&all, o.p, o.n);
	begin(&o, BODY, 1);
	put(&o, body, sizeof(body));
	end(&o);
	put(&all, o.p, o.n);
	if (transport_write(c->conn, all.p, all.n) != 0)
		c->load->broken = true;
	c->load->published++;
}

/* Each step's answer leads to the next. */
static void on_method(struct load_client *c, uint32_t id)
{
	static const uint32_t expected[] = {10 << 16 | 10, 10 << 16 | 30, 10 << 16 | 41, 20 << 16 | 11};
	static void (*const next[])(struct load_client *) = {start_ok, tune_and_open, open_channel, declare};

	if (c->step < LOAD_READY && id == expected[c->step])
		next[c->step++](c);
	else if (c->step == LOAD_READY && id == (50 << 16 | 11) && c->consumes)
		consume(c);
	else if (c->step == LOAD_READY && (id == (50 << 16 | 11) || id == (60 << 16 | 21)))
		c->step = LOAD_WORKING;
	else if (id != (60 << 16 | 60))
		c->load->broken = true;
}

static void on_byte(struct load_client *c, uint8_t byte)
{
	if (c->have < sizeof(c->frame))
		c->frame[c->have] = byte;
	c->have++;
	if (c->have < HEAD_BYTES || c->have < HEAD_BYTES + wire_get32(c->frame + 3) + 1)
		return;
	if (c->frame[0] == METHOD)
		on_method(c, wire_get32(c->frame + HEAD_BYTES));
	c->load->received += c->frame[0] == BODY;
	c->have = 0;
}

static int accepted(void *ctx, struct transport_conn *conn)
{
	return -1;
}

static void connected(struct transport_conn *conn, int error)
{
	struct load_client *c = conn->user;

	c->load->broken |= error != 0;
	if (!error && transport_write(conn, "AMQP\0\0\x09\x01", 8) != 0)
		c->load->broken = true;
}

static void readable(struct transport_conn *conn)
{
	struct load_client *c = conn->user;

	while (conn->rx->bytes) {
		const struct rte_mbuf *m = conn->rx->head;
		for (uint32_t i = 0; i < m->data_len; i++)
			on_byte(c, rte_pktmbuf_mtod(m, const uint8_t *)[i]);
		transport_consume(conn, m->data_len);
	}
}

static void nothing(struct transport_conn *conn)
{
}

static void ended(struct transport_conn *conn)
{
	((struct load_client *)conn->user)->load->broken = true;
}

static void closed(struct transport_conn *conn, enum transport_reason reason)
{
	ended(conn);
}

const struct transport_app load_app = {
	.accepted = accepted,
	.connected = connected,
	.readable = readable,
	.writable = nothing,
	.peer_closed = ended,
	.closed = closed,
};

void load_open(struct load *l, struct bypass *b, const struct ip_addr *broker, uint64_t now_us)
{
	*l = (struct load){.b = b};
	for (unsigned i = 0; i < 2; i++) {
		struct load_client *c = &l->client[i];
		*c = (struct load_client){.load = l, .consumes = i == 1};
		c->conn = bypass_connect(b, broker, 5672, c, now_us);
		l->broken |= !c->conn;
	}
}

bool load_ready(const struct load *l)
{
	return l->client[0].step == LOAD_WORKING && l->client[1].step == LOAD_WORKING;
}

void load_publish(struct load *l, uint64_t until)
{
	struct transport_conn *conn = l->client[0].conn;

	while (l->published < until && l->published - l->received < LOAD_AHEAD &&
		transport_tx_room(conn) > 512 && !l->broken)
		publish(&l->client[0]);
}
