/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats (4.2.7): one is sent when nothing else was for half an interval; a peer from which nothing came
 * for two intervals is gone. */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

static uint64_t next_check_us(const struct amqp091_conn *c)
{
	uint64_t send = c->tx_us + c->heartbeat_us / 2, gone = c->rx_us + 2 * c->heartbeat_us;

	return send < gone ? send : gone;
}

static void send_heartbeat(struct amqp091_conn *c)
{
	uint8_t frame[AMQP091_HEARTBEAT_SIZE];

	/* Output that waits will itself show that we live; a heartbeat behind it would only make it longer.
	 */
	if (conn_output_idle(c)) {
		amqp091_heartbeat_put(frame);
		conn_send(c, frame, sizeof(frame));
	}
	c->tx_us = c->server->now_us;
}

static void heartbeat_fire(struct timer *t, uint64_t now_us)
{
	struct amqp091_conn *c = caa_container_of(t, struct amqp091_conn, heartbeat);

	/* A connection that we hold back is not dead for its silence: its window may be closed. */
	if (c->hold != HOLD_NONE)
		c->rx_us = now_us;
	if (now_us - c->rx_us >= 2 * c->heartbeat_us) {
		c->server->counters.heartbeats_missed++;
		LOG_WARN("amqp", "connection of '%s': no heartbeat for %u s, closing", c->user,
			(unsigned)(2 * c->heartbeat_us / 1000000));
		conn_die(c, true);
		return;
	}
	if (now_us - c->tx_us >= c->heartbeat_us / 2)
		send_heartbeat(c);
	if (c->state != CONN_DEAD)
		timer_arm(&c->server->wheel, t, next_check_us(c));
}

void heartbeat_init(struct amqp091_conn *c)
{
	timer_init(&c->heartbeat, heartbeat_fire);
}

void heartbeat_start(struct amqp091_conn *c, uint16_t interval_s)
{
	c->heartbeat_us = interval_s * 1000000ull;
	if (interval_s) {
		c->tx_us = c->rx_us = c->server->now_us;
		timer_arm(&c->server->wheel, &c->heartbeat, next_check_us(c));
	}
}
