// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func passive(channel *amqp.Channel, queue string) error {
	_, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
	return err
}

var _ = scenario("queue_server_named", func() {
	wanted := struct{ Prefix string }{}
	expect("queue_server_named", &wanted)
	withChannel(func(channel *amqp.Channel) {
		names := map[string]bool{}
		for i := 0; i < 3; i++ {
			queue, err := channel.QueueDeclare("", false, false, true, false, nil)
			must(err)
			names[queue.Name] = true
		}
		same(len(names), 3, "different names")
		for name := range names {
			check(strings.HasPrefix(name, wanted.Prefix), "name "+name)
			publish(channel, "", name, name)
			same(gotAll(channel, name), []string{name}, "its message")
		}
	})
})

var _ = scenario("queue_exclusive", func() {
	queue := ""
	withChannel(func(channel *amqp.Channel) { queue = temporary(channel) })
	refusedOnChannel("queue_exclusive", func(channel *amqp.Channel) error { return passive(channel, queue) })
})

var _ = scenario("queue_exclusive_durable", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publish(channel, "", queue, "kept")
		_, err := channel.QueueDeclare(queue, true, false, true, false, nil)
		must(err)
		same(gotAll(channel, queue), []string{"kept"}, "its message")
	})
})

var _ = scenario("queue_auto_delete", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := unique("queue")
		_, err := channel.QueueDeclare(queue, false, true, false, false, nil)
		must(err)
		must(consumeOnly(channel, queue, "one", false))
		must(consumeOnly(channel, queue, "two", false))
		must(channel.Cancel("one", false))
		same(inspect(channel, queue).Consumers, 1, "consumers")
		must(channel.Cancel("two", false))
		check(isMissing(passive(channel, queue)), "the queue is still there")
	})
})

var _ = scenario("queue_passive", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 3)
		eventuallyCount(channel, queue, 3)
		same(inspect(channel, queue), amqp.Queue{Name: queue, Messages: 3, Consumers: 0}, "declare-ok")
		must(channel.Qos(1, 0, false))
		must(consumeOnly(channel, queue, "c", false))
		eventually("2 ready messages and 1 consumer", patience, func() bool {
			return inspect(channel, queue) == amqp.Queue{Name: queue, Messages: 2, Consumers: 1}
		})
	})
})

var _ = scenario("queue_purge", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 10)
		held := get(channel, queue, false)
		eventuallyCount(channel, queue, 9)
		purged, err := channel.QueuePurge(queue, false)
		must(err)
		same([]int{purged, inspect(channel, queue).Messages}, []int{9, 0}, "purged and left")
		must(held.Nack(false, true))
		eventuallyCount(channel, queue, 1)
	})
})

var _ = scenario("queue_unbind", func() {
	withChannel(func(channel *amqp.Channel) {
		exchange, queue := exchangeOf(channel, "direct"), temporary(channel)
		bind(channel, queue, "a", exchange)
		bind(channel, queue, "b", exchange)
		must(channel.QueueUnbind(queue, "a", exchange, nil))
		publish(channel, exchange, "a", "a")
		publish(channel, exchange, "b", "b")
		same(gotAll(channel, queue), []string{"b"}, "routed after unbind")
	})
})

var _ = scenario("queue_delete_if_unused", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel, other := channelOf(connection), channelOf(connection)
		queue := temporary(channel)
		must(consumeOnly(channel, queue, "c", false))
		refused("queue_delete_if_unused", other, func() error {
			_, err := other.QueueDelete(queue, true, false, false)
			return err
		})
		must(channel.Cancel("c", false))
		_, err := channel.QueueDelete(queue, true, false, false)
		must(err)
	})
})

var _ = scenario("queue_delete_if_empty", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel, other := channelOf(connection), channelOf(connection)
		queue := temporary(channel)
		publish(channel, "", queue, "x")
		eventuallyCount(channel, queue, 1)
		refused("queue_delete_if_empty", other, func() error {
			_, err := other.QueueDelete(queue, false, true, false)
			return err
		})
		getIs(channel, queue, "x", false, "the message")
		_, err := channel.QueueDelete(queue, false, true, false)
		must(err)
	})
})

var _ = scenario("consumer_cancel_notify", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel, other := channelOf(connection), channelOf(connection)
		queue := temporary(channel)
		cancelled := channel.NotifyCancel(make(chan string, 1))
		deliveries, err := channel.Consume(queue, "mine", false, false, false, false, nil)
		must(err)
		_, err = other.QueueDelete(queue, false, false, false)
		must(err)
		same(<-cancelled, "mine", "cancelled")
		_, open := <-deliveries
		same(open, false, "its deliveries open")
	})
})

// ---- what a queue may be told ----

type ruleRow struct {
	Arguments      arguments
	Publish        []struct{ Body, Expiration string }
	Confirms, Left []string
	Reject         int
	WaitMs         time.Duration `json:"wait_ms"`
}

func rule(channel *amqp.Channel, row ruleRow) {
	queue := temporaryWith(channel, row.Arguments.table())
	if row.Confirms != nil {
		must(channel.Confirm(false))
	}
	for i, message := range row.Publish {
		sent, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false,
			amqp.Publishing{Body: []byte(message.Body), Expiration: message.Expiration})
		must(err)
		if row.Confirms != nil {
			same(map[bool]string{true: "ack", false: "nack"}[sent.Wait()], row.Confirms[i], "confirm of "+message.Body)
		}
	}
	for i := 0; i < row.Reject; i++ {
		must(get(channel, queue, false).Reject(false))
	}
	time.Sleep(row.WaitMs * time.Millisecond)
	same(gotAll(channel, queue), row.Left, fmt.Sprint("left of ", row.Publish))
}

func rules(name string) bool {
	return scenario(name, func() {
		wanted := struct{ Rows []ruleRow }{}
		expect(name, &wanted)
		check(len(wanted.Rows) > 0, "rows")
		for _, row := range wanted.Rows {
			withChannel(func(channel *amqp.Channel) { rule(channel, row) })
		}
	})
}

var _ = rules("queue_ttl") && rules("message_ttl") && rules("queue_limits") && rules("queue_refuses")

var _ = scenario("queue_expires", func() {
	wanted := struct {
		Arguments arguments
		UsedMs    time.Duration `json:"used_ms"`
		GoneMs    time.Duration `json:"gone_ms"`
	}{}
	expect("queue_expires", &wanted)
	withChannel(func(channel *amqp.Channel) {
		queue := unique("queue")
		_, err := channel.QueueDeclare(queue, false, false, false, false, wanted.Arguments.table())
		must(err)
		must(consumeOnly(channel, queue, "c", false))
		time.Sleep(wanted.UsedMs * time.Millisecond)
		same(inspect(channel, queue).Consumers, 1, "consumers while it is used")
		must(channel.Cancel("c", false))
		publish(channel, "", queue, "x")
		time.Sleep(wanted.GoneMs * time.Millisecond)
		check(isMissing(passive(channel, queue)), "the queue is still there")
	})
})

var _ = scenario("error_queue_argument", func() {
	wanted := struct {
		Wrong         []arguments
		First, Second arguments
	}{}
	expect("error_queue_argument", &wanted)
	for _, table := range wanted.Wrong {
		refusedQueue("error_queue_argument", table.table())
	}
	refusedOnChannel("error_queue_argument", func(channel *amqp.Channel) error {
		queue := temporaryWith(channel, wanted.First.table())
		declare(channel, queue, wanted.First.table())
		_, err := channel.QueueDeclare(queue, false, false, true, false, wanted.Second.table())
		return err
	})
})

var _ = scenario("error_expiration", func() {
	wanted := struct{ Expiration string }{}
	expect("error_expiration", &wanted)
	refusedOnChannel("error_expiration", func(channel *amqp.Channel) error {
		send(channel, "", temporary(channel), false, amqp.Publishing{Expiration: wanted.Expiration})
		return nil
	})
})
