// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

var _ = scenario("exchange_direct", func() {
	withChannel(func(channel *amqp.Channel) {
		exchange := exchangeOf(channel, "direct")
		queues := map[string]string{"red": temporary(channel), "blue": temporary(channel)}
		for key, queue := range queues {
			bind(channel, queue, key, exchange)
		}
		for _, key := range []string{"red", "blue", "green"} {
			publish(channel, exchange, key, key)
		}
		for key, queue := range queues {
			same(gotAll(channel, queue), []string{key}, key)
		}
	})
})

var _ = scenario("exchange_fanout", func() {
	withChannel(func(channel *amqp.Channel) {
		exchange := exchangeOf(channel, "fanout")
		queues := texts(5, func(int) string { return temporary(channel) })
		for _, queue := range queues {
			bind(channel, queue, "ignored", exchange)
			bind(channel, queue, "twice", exchange)
		}
		publish(channel, exchange, "any", "all")
		for _, queue := range queues {
			same(gotAll(channel, queue), []string{"all"}, queue)
		}
	})
})

var _ = scenario("exchange_topic", func() {
	wanted := struct {
		Patterns []struct {
			Pattern     string
			Match, Miss []string
		}
	}{}
	expect("exchange_topic", &wanted)
	withChannel(func(channel *amqp.Channel) {
		for _, row := range wanted.Patterns {
			exchange, queue := exchangeOf(channel, "topic"), temporary(channel)
			bind(channel, queue, row.Pattern, exchange)
			for _, key := range append(append([]string{}, row.Match...), row.Miss...) {
				publish(channel, exchange, key, key)
			}
			same(gotAll(channel, queue), row.Match, row.Pattern)
			must(channel.QueueUnbind(queue, row.Pattern, exchange, nil))
		}
	})
})

var _ = scenario("exchange_headers", func() {
	withChannel(func(channel *amqp.Channel) {
		exchange := exchangeOf(channel, "headers")
		queues := map[string]string{"all": temporary(channel), "any": temporary(channel)}
		for match, queue := range queues {
			must(channel.QueueBind(queue, "", exchange, false,
				amqp.Table{"x-match": match, "colour": "red", "size": int32(5)}))
		}
		for _, sent := range []struct {
			name    string
			headers amqp.Table
		}{
			{"both", amqp.Table{"colour": "red", "size": int32(5), "more": int32(1)}}, {"one", amqp.Table{"colour": "red"}},
			{"other", amqp.Table{"colour": "blue", "size": int32(6)}}, {"typed", amqp.Table{"size": "5"}}, {"none", nil},
		} {
			send(channel, exchange, "", false, amqp.Publishing{Headers: sent.headers, Body: []byte(sent.name)})
		}
		same(gotAll(channel, queues["all"]), []string{"both"}, "x-match all")
		same(gotAll(channel, queues["any"]), []string{"both", "one"}, "x-match any")
	})
})

var _ = scenario("exchange_predeclared", func() {
	withChannel(func(channel *amqp.Channel) {
		headers := func() amqp.Table { return amqp.Table{"x-match": "all", "id": unique("h")} }
		for _, row := range []struct {
			name, kind, key string
			headers         amqp.Table
		}{
			{"amq.direct", "direct", unique("key"), nil}, {"amq.fanout", "fanout", "", nil},
			{"amq.topic", "topic", unique("a") + ".b", nil}, {"amq.headers", "headers", "", headers()},
			{"amq.match", "headers", "", headers()},
		} {
			must(channel.ExchangeDeclarePassive(row.name, row.kind, true, false, false, false, nil))
			queue := temporary(channel)
			must(channel.QueueBind(queue, row.key, row.name, false, row.headers))
			send(channel, row.name, row.key, false, amqp.Publishing{Headers: row.headers, Body: []byte("here")})
			same(gotAll(channel, queue), []string{"here"}, row.name)
			_, err := channel.QueueDelete(queue, false, false, false)
			must(err)
		}
	})
})

func checkExchangesGone(connection *amqp.Connection, kind string, names ...string) {
	for _, name := range names {
		check(isMissing(channelOf(connection).ExchangeDeclarePassive(name, kind, false, false, false, false, nil)),
			name+" is still there")
	}
}

var _ = scenario("exchange_lifecycle", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel, exchange := channelOf(connection), unique("exchange")
		must(channel.ExchangeDeclare(exchange, "direct", false, false, false, false, nil))
		must(channel.ExchangeDeclarePassive(exchange, "direct", false, false, false, false, nil))
		queue := temporary(channel)
		bind(channel, queue, "k", exchange)
		refused("exchange_lifecycle", channel, func() error { return channel.ExchangeDelete(exchange, true, false) })
		channel = channelOf(connection)
		must(channel.QueueUnbind(queue, "k", exchange, nil))
		must(channel.ExchangeDelete(exchange, true, false))
		automatic := exchangeOf(channel, "direct")
		bind(channel, queue, "k", automatic)
		must(channel.ExchangeDeclarePassive(automatic, "direct", false, true, false, false, nil))
		must(channel.QueueUnbind(queue, "k", automatic, nil))
		checkExchangesGone(connection, "direct", exchange, automatic)
	})
})

var _ = scenario("alternate_exchange", func() {
	withChannel(func(channel *amqp.Channel) {
		names := texts(3, func(int) string { return unique("exchange") })
		queues := texts(3, func(i int) string {
			exchangeNamed(channel, names[i], "direct", amqp.Table{"alternate-exchange": names[(i+1)%3]})
			queue := temporary(channel)
			bind(channel, queue, "k"+strconv.Itoa(i), names[i])
			return queue
		})
		returned := channel.NotifyReturn(make(chan amqp.Return, 4))
		must(channel.Confirm(false))
		confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 4))
		for i := 0; i < 4; i++ {
			send(channel, names[0], "k"+strconv.Itoa(i), true, amqp.Publishing{Body: []byte(strconv.Itoa(i))})
			<-confirmed
		}
		for i, queue := range queues {
			same(gotAll(channel, queue), []string{strconv.Itoa(i)}, "through the chain")
		}
		same(len(returned), 1, "returns")
		back := <-returned
		same([]string{back.Exchange, back.RoutingKey}, []string{names[0], "k3"}, "what no exchange of the chain routes")
	})
})

var _ = scenario("error_alternate_type", func() {
	refusedOnChannel("error_alternate_type", func(channel *amqp.Channel) error {
		return channel.ExchangeDeclare(unique("exchange"), "direct", false, true, false, false,
			amqp.Table{"alternate-exchange": int32(5)})
	})
})

var _ = scenario("error_alternate_redeclare", func() {
	refusedOnChannel("error_alternate_redeclare", func(channel *amqp.Channel) error {
		exchange := exchangeNamed(channel, unique("exchange"), "direct", amqp.Table{"alternate-exchange": "a"})
		bind(channel, temporary(channel), "k", exchange)
		return channel.ExchangeDeclare(exchange, "direct", false, true, false, false, amqp.Table{"alternate-exchange": "b"})
	})
})

func join(channel *amqp.Channel, source, destination, key string) {
	must(channel.ExchangeBind(destination, key, source, false, nil))
}

var _ = scenario("exchange_bind", func() {
	withChannel(func(channel *amqp.Channel) {
		last, queue := exchangeOf(channel, "fanout"), temporary(channel)
		bind(channel, queue, "", last)
		for kind, wanted := range map[string][]string{"direct": {"once"}, "topic": {"once"}, "fanout": {"once", "other"},
			"headers": {"once", "other"}} {
			first, middle := exchangeOf(channel, kind), exchangeOf(channel, kind)
			join(channel, first, middle, "k")
			join(channel, middle, last, "k")
			join(channel, first, last, "k")
			join(channel, middle, first, "k")
			publish(channel, first, "k", "once")
			publish(channel, first, "other", "other")
			same(gotAll(channel, queue), wanted, kind)
			must(channel.ExchangeUnbind(last, "k", first, false, nil))
			must(channel.ExchangeUnbind(last, "k", middle, false, nil))
			publish(channel, first, "k", "nowhere")
			same(gotAll(channel, queue), []string{}, "after unbind, "+kind)
			must(channel.ExchangeDelete(first, false, false))
		}
	})
})

var _ = scenario("exchange_bind_lifecycle", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channel := channelOf(connection)
		above, source, destination := exchangeOf(channel, "fanout"), exchangeOf(channel, "fanout"), exchangeOf(channel, "fanout")
		join(channel, above, source, "")
		join(channel, source, destination, "")
		refused("exchange_bind_lifecycle", channel, func() error { return channel.ExchangeDelete(source, true, false) })
		channel = channelOf(connection)
		must(channel.ExchangeDelete(destination, true, false))
		checkExchangesGone(connection, "fanout", above, source, destination)
		source, destination = exchangeOf(channel, "fanout"), exchangeOf(channel, "fanout")
		join(channel, source, destination, "")
		must(channel.ExchangeDelete(source, false, false))
		must(channel.ExchangeDeclarePassive(destination, "fanout", false, true, false, false, nil))
		must(channel.ExchangeDelete(destination, false, false))
	})
})

var _ = scenario("error_exchange_bind_default", func() {
	refusedOnChannel("error_exchange_bind_default", func(channel *amqp.Channel) error {
		return channel.ExchangeBind("amq.direct", "k", "", false, nil)
	})
})

var _ = scenario("error_exchange_bind_unknown", func() {
	refusedOnChannel("error_exchange_bind_unknown", func(channel *amqp.Channel) error {
		return channel.ExchangeBind(unique("none"), "k", "amq.direct", false, nil)
	})
})

var _ = scenario("exchange_internal", func() {
	withChannel(func(channel *amqp.Channel) {
		inner, outer, queue := unique("exchange"), exchangeOf(channel, "fanout"), temporary(channel)
		must(channel.ExchangeDeclare(inner, "fanout", false, true, true, false, nil))
		bind(channel, queue, "", inner)
		join(channel, outer, inner, "")
		publish(channel, outer, "", "in")
		same(gotAll(channel, queue), []string{"in"}, "through the other exchange")
		refused("exchange_internal", channel, func() error {
			publish(channel, inner, "", "refused")
			return nil
		})
	})
})

var _ = scenario("sender_selected", func() {
	withChannel(func(channel *amqp.Channel) {
		first, cc, bcc := temporary(channel), temporary(channel), temporary(channel)
		send(channel, "", first, false, amqp.Publishing{Type: "t", Body: []byte("all"), Headers: amqp.Table{
			"CC": []interface{}{cc, first}, "BCC": []interface{}{bcc, int32(5)}, "kept": "yes"}})
		for _, queue := range []string{first, cc, bcc} {
			found := get(channel, queue, true)
			same([]interface{}{string(found.Body), found.RoutingKey, found.Headers, found.Type}, []interface{}{"all", first,
				amqp.Table{"CC": []interface{}{cc, first}, "kept": "yes"}, "t"}, "a copy")
			same(gotAll(channel, queue), []string{}, "no second copy")
		}
		bind(channel, first, "a.*", "amq.topic")
		bind(channel, cc, "b.#", "amq.topic")
		send(channel, "amq.topic", "none", false, amqp.Publishing{Headers: amqp.Table{
			"CC": []interface{}{"a.x"}, "BCC": []interface{}{"b.y.z"}}})
		for _, queue := range []string{first, cc} {
			same(get(channel, queue, true).Headers, amqp.Table{"CC": []interface{}{"a.x"}}, "by patterns")
		}
	})
})

var _ = scenario("error_cc_type", func() {
	refusedOnChannel("error_cc_type", func(channel *amqp.Channel) error {
		send(channel, "", "q", false, amqp.Publishing{Headers: amqp.Table{"CC": "no array"}})
		return nil
	})
})

var _ = scenario("consistent_hash", func() {
	wanted := struct {
		Weights []string
		Count   int
	}{}
	expect("consistent_hash", &wanted)
	withChannel(func(channel *amqp.Channel) {
		exchange, sum, total := exchangeOf(channel, "x-consistent-hash"), 0, 0
		queues := map[string]string{}
		for _, weight := range wanted.Weights {
			queues[weight] = temporary(channel)
			bind(channel, queues[weight], weight, exchange)
			number, err := strconv.Atoi(weight)
			must(err)
			sum += number
		}
		for i := 0; i < 2*wanted.Count; i++ {
			key := "k" + strconv.Itoa(i/2)
			publish(channel, exchange, key, key)
		}
		for weight, queue := range queues {
			found, number := gotAll(channel, queue), 0
			fmt.Sscan(weight, &number)
			total += len(found)
			for i := 0; i+1 < len(found); i += 2 {
				same(found[i], found[i+1], "the same key's")
			}
			share := float64(len(found)) / float64(2*wanted.Count) * float64(sum) / float64(number)
			check(share > 0.5 && share < 1.6, fmt.Sprintf("share of weight %s is %f of what is fair", weight, share))
		}
		same(total, 2*wanted.Count, "messages")
	})
})

var _ = scenario("error_hash_weight", func() {
	refusedOnChannel("error_hash_weight", func(channel *amqp.Channel) error {
		exchange, queue := exchangeOf(channel, "x-consistent-hash"), temporary(channel)
		bind(channel, queue, "1", exchange)
		return channel.QueueBind(queue, "heavy", exchange, false, nil)
	})
})
