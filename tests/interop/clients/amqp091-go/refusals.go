// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var _ = scenario("error_vhost", func() {
	refused("error_vhost", nil, func() error {
		_, err := dial("guest", "nowhere", amqp.Config{})
		return err
	})
})

func refusal(name string, action func(*amqp.Channel) error) bool {
	return scenario(name, func() { refusedOnChannel(name, action) })
}

var _ = refusal("error_queue_unknown", func(channel *amqp.Channel) error { return passive(channel, unique("nowhere")) })

var _ = refusal("error_get_unknown", func(channel *amqp.Channel) error {
	_, _, err := channel.Get(unique("nowhere"), true)
	return err
})

var _ = refusal("error_consume_unknown", func(channel *amqp.Channel) error {
	return consumeOnly(channel, unique("nowhere"), "c", false)
})

var _ = refusal("error_publish_unknown", func(channel *amqp.Channel) error {
	publish(channel, unique("nowhere"), "", "x")
	return nil
})

var _ = refusal("error_bind_unknown", func(channel *amqp.Channel) error {
	return channel.QueueBind(temporary(channel), "k", unique("nowhere"), false, nil)
})

var _ = refusal("error_delivery_tag", func(channel *amqp.Channel) error { return channel.Ack(7, false) })

var _ = refusal("error_queue_reserved", func(channel *amqp.Channel) error {
	_, err := channel.QueueDeclare("amq."+unique("queue"), false, false, true, false, nil)
	return err
})

var _ = refusal("error_exchange_reserved", func(channel *amqp.Channel) error {
	return channel.ExchangeDeclare("amq."+unique("exchange"), "direct", false, true, false, false, nil)
})

var _ = refusal("error_exchange_type", func(channel *amqp.Channel) error {
	return channel.ExchangeDeclare(unique("exchange"), "nonesuch", false, true, false, false, nil)
})

var _ = refusal("error_not_implemented", func(channel *amqp.Channel) error { return channel.Qos(0, 1, false) })

var _ = refusal("error_consumer_tag", func(channel *amqp.Channel) error {
	queue := temporary(channel)
	must(consumeOnly(channel, queue, "twice", false))
	return consumeOnly(channel, queue, "twice", false)
})

var _ = refusal("error_queue_redeclare", func(channel *amqp.Channel) error {
	queue := shared(channel)
	defer withChannel(func(other *amqp.Channel) {
		_, err := other.QueueDelete(queue, false, false, false)
		must(err)
	})
	_, err := channel.QueueDeclare(queue, true, false, false, false, nil)
	return err
})

var _ = refusal("error_exchange_redeclare", func(channel *amqp.Channel) error {
	exchange := exchangeOf(channel, "direct")
	bind(channel, temporary(channel), "k", exchange)
	return channel.ExchangeDeclare(exchange, "fanout", false, true, false, false, nil)
})

var _ = scenario("error_consume_exclusive", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel, other := channelOf(connection), channelOf(connection)
		queue := temporary(channel)
		must(consumeOnly(channel, queue, "c", true))
		refused("error_consume_exclusive", other, func() error { return consumeOnly(other, queue, "d", false) })
	})
})

var _ = scenario("error_queue_locked", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		refusedOnChannel("error_queue_locked", func(other *amqp.Channel) error {
			_, err := other.QueueDeclare(queue, false, false, true, false, nil)
			return err
		})
	})
})

var _ = scenario("shutdown", func() {
	refusedOnChannel("shutdown", func(channel *amqp.Channel) error {
		fmt.Println("# waiting")
		eventually("the broker's end", time.Minute, func() bool { return lastClose() != nil })
		return nil
	})
})
