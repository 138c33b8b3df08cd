// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type counted struct {
	Count, Prefetch, Code int
	Text                  string
}

func countedOf(name string) counted {
	wanted := counted{}
	expect(name, &wanted)
	return wanted
}

var _ = scenario("publish_consume", func() {
	count := countedOf("publish_consume").Count
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, count)
		deliveries, err := channel.Consume(queue, "c", false, false, false, false, nil)
		must(err)
		for i := 0; i < count; i++ {
			one := <-deliveries
			same([]interface{}{string(one.Body), one.Redelivered}, []interface{}{strconv.Itoa(i), false}, "message")
			must(one.Ack(false))
		}
		must(channel.Cancel("c", false))
		eventuallyCount(channel, queue, 0)
	})
})

var _ = scenario("publish_get", func() {
	count := countedOf("publish_get").Count
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, count)
		eventuallyCount(channel, queue, count)
		for i := 0; i < count; i++ {
			one := get(channel, queue, false)
			same([]interface{}{string(one.Body), int(one.MessageCount), one.Exchange, one.RoutingKey, one.Redelivered},
				[]interface{}{strconv.Itoa(i), count - 1 - i, "", queue, false}, "get-ok")
			must(one.Ack(false))
		}
		same(gotAll(channel, queue), []string{}, "get from the empty queue")
	})
})

var _ = scenario("properties", func() {
	sent := amqp.Publishing{ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 7,
		CorrelationId: "corr", ReplyTo: "back", Expiration: "60000", MessageId: "m-1",
		Timestamp: time.Unix(1700000000, 0), Type: "kind", UserId: "guest", AppId: "interop",
		Headers: amqp.Table{"text": "grüße", "int": int32(-5), "big": int64(1) << 40, "yes": true, "no": false,
			"list": []interface{}{int32(1), "two", []interface{}{int32(3)}}, "none": nil, "real": 1.5,
			"table": amqp.Table{"inner": amqp.Table{"deep": int32(1)}}, "time": time.Unix(1700000001, 0),
			"bytes": []byte{0, 255}, "short": int16(-2), "byte": byte(200), "single": float32(0.5),
			"decimal": amqp.Decimal{Scale: 2, Value: 314}},
		Body: []byte("x")}
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		send(channel, "", queue, false, sent)
		found := get(channel, queue, true)
		check(found.Timestamp.Equal(sent.Timestamp), "timestamp "+found.Timestamp.String())
		same(amqp.Publishing{ContentType: found.ContentType, ContentEncoding: found.ContentEncoding,
			DeliveryMode: found.DeliveryMode, Priority: found.Priority, CorrelationId: found.CorrelationId,
			ReplyTo: found.ReplyTo, Expiration: found.Expiration, MessageId: found.MessageId, Timestamp: sent.Timestamp,
			Type: found.Type, UserId: found.UserId, AppId: found.AppId, Headers: found.Headers, Body: found.Body},
			sent, "message")
	})
})

var _ = scenario("confirm", func() {
	count := countedOf("confirm").Count
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		must(channel.Confirm(false))
		confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, count+1))
		publishNumbers(channel, queue, count)
		publish(channel, "", unique("nowhere"), "unroutable")
		for i := 1; i <= count+1; i++ {
			same(<-confirmed, amqp.Confirmation{DeliveryTag: uint64(i), Ack: true}, "confirm")
		}
		same(inspect(channel, queue).Messages, count, "messages")
	})
})

var _ = scenario("return_unroutable", func() {
	wanted := countedOf("return_unroutable")
	withChannel(func(channel *amqp.Channel) {
		queue, nowhere := temporary(channel), unique("nowhere")
		returned := channel.NotifyReturn(make(chan amqp.Return, 2))
		must(channel.Confirm(false))
		send(channel, "", queue, true, amqp.Publishing{Body: []byte("routable")})
		sent, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), "", nowhere, true, false,
			amqp.Publishing{Body: []byte("back")})
		must(err)
		check(sent.Wait(), "confirmed")
		back := <-returned
		same([]interface{}{int(back.ReplyCode), back.ReplyText, back.Exchange, back.RoutingKey, string(back.Body)},
			[]interface{}{wanted.Code, wanted.Text, "", nowhere, "back"}, "basic.return")
		same(gotAll(channel, queue), []string{"routable"}, "routed")
		same(len(returned), 0, "further returns")
	})
})

var _ = scenario("nack_requeue", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 3)
		first := get(channel, queue, false)
		same([]interface{}{string(first.Body), first.Redelivered}, []interface{}{"0", false}, "first delivery")
		must(first.Nack(false, true))
		getIs(channel, queue, "0", true, "second delivery")
		getIs(channel, queue, "1", false, "the message behind it")
	})
})

func tagsOf(channel *amqp.Channel, queue string, count int) []uint64 {
	tags := []uint64{}
	for i := 0; i < count; i++ {
		tags = append(tags, get(channel, queue, false).DeliveryTag)
	}
	return tags
}

var _ = scenario("nack_multiple", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 6)
		tags := tagsOf(channel, queue, 6)
		must(channel.Ack(tags[1], true))
		must(channel.Nack(tags[3], true, true))
		eventuallyCount(channel, queue, 2)
		getIs(channel, queue, "2", true, "requeued")
		getIs(channel, queue, "3", true, "requeued")
		must(channel.Ack(0, true))
		eventuallyCount(channel, queue, 0)
	})
})

var _ = scenario("reject", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publish(channel, "", queue, "one")
		must(get(channel, queue, false).Reject(true))
		again := get(channel, queue, false)
		same(again.Redelivered, true, "redelivered")
		must(again.Reject(false))
		same(gotAll(channel, queue), []string{}, "get after the drop")
	})
})

var _ = scenario("recover", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 3)
		tagsOf(channel, queue, 3)
		must(channel.Recover(true))
		for i := 0; i < 3; i++ {
			getIs(channel, queue, strconv.Itoa(i), true, "recovered")
		}
	})
})

var _ = scenario("requeue_on_close", func() {
	withChannel(func(keeper *amqp.Channel) {
		queue := shared(keeper)
		withChannel(func(channel *amqp.Channel) {
			publish(channel, "", queue, "kept")
			get(channel, queue, false)
		})
		getIs(keeper, queue, "kept", true, "delivery after the close")
		_, err := keeper.QueueDelete(queue, false, false, false)
		must(err)
	})
})

var _ = scenario("qos_prefetch", func() {
	wanted := countedOf("qos_prefetch")
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, wanted.Count)
		must(channel.Qos(wanted.Prefetch, 0, false))
		found := arrivals{}
		found.consume(channel, queue, "c", false, nil)
		time.Sleep(500 * time.Millisecond)
		first := found.all()
		same(len(first), wanted.Prefetch, "delivered at first")
		must(first[0].Ack(false))
		time.Sleep(500 * time.Millisecond)
		second := found.all()
		same(len(second), wanted.Prefetch+1, "delivered after one ack")
		must(second[wanted.Prefetch].Ack(true))
		time.Sleep(500 * time.Millisecond)
		same(len(found.all()), 2*wanted.Prefetch+1, "delivered after all were acknowledged")
	})
})

// ---- consumers that are not equal ----

var _ = scenario("consumer_priority", func() {
	wanted := countedOf("consumer_priority")
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		found := arrivals{}
		found.consume(channel, queue, "low", false, amqp.Table{"x-priority": int32(-1)})
		must(channel.Qos(wanted.Prefetch, 0, false))
		found.consume(channel, queue, "high", false, amqp.Table{"x-priority": int32(10)})
		publishNumbers(channel, queue, wanted.Count)
		time.Sleep(500 * time.Millisecond)
		same(sorted(found.texts()), sorted(texts(wanted.Count, func(i int) string {
			if i < wanted.Prefetch {
				return "high " + strconv.Itoa(i)
			}
			return "low " + strconv.Itoa(i)
		})), "who got what")
	})
})

var _ = scenario("error_consumer_priority", func() {
	refusedOnChannel("error_consumer_priority", func(channel *amqp.Channel) error {
		_, err := channel.Consume(temporary(channel), "c", false, false, false, false, amqp.Table{"x-priority": "high"})
		return err
	})
})

var _ = scenario("single_active_consumer", func() {
	count := countedOf("single_active_consumer").Count
	withChannel(func(channel *amqp.Channel) {
		queue := temporaryWith(channel, amqp.Table{"x-single-active-consumer": true})
		found := arrivals{}
		found.consume(channel, queue, "first", true, nil)
		found.consume(channel, queue, "second", true, nil)
		publishNumbers(channel, queue, count)
		found.wait(count, "the messages")
		wanted := texts(count, func(i int) string { return "first " + strconv.Itoa(i) })
		same(found.texts(), wanted, "the first one's")
		must(channel.Cancel("first", false))
		publish(channel, "", queue, "next")
		found.wait(count+1, "another one")
		same(found.texts(), append(wanted, "second next"), "the second one's")
	})
})

var _ = scenario("error_single_active_exclusive", func() {
	refusedOnChannel("error_single_active_exclusive", func(channel *amqp.Channel) error {
		return consumeOnly(channel, temporaryWith(channel, amqp.Table{"x-single-active-consumer": true}), "c", true)
	})
})

// ---- priorities ----

var _ = scenario("queue_priority", func() {
	wanted := struct {
		Highest      int32
		Sent, Sorted []int
	}{}
	expect("queue_priority", &wanted)
	withChannel(func(channel *amqp.Channel) {
		queue := temporaryWith(channel, amqp.Table{"x-max-priority": wanted.Highest})
		for i, priority := range wanted.Sent {
			send(channel, "", queue, false, amqp.Publishing{Priority: uint8(priority), Body: []byte(strconv.Itoa(i))})
		}
		eventuallyCount(channel, queue, len(wanted.Sent))
		same(gotAll(channel, queue), texts(len(wanted.Sorted),
			func(i int) string { return strconv.Itoa(wanted.Sorted[i]) }), "got")
	})
})

// refusedQueue is the scenario in which a queue with these arguments is refused.
func refusedQueue(name string, table amqp.Table) {
	refusedOnChannel(name, func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare(unique("queue"), false, false, true, false, table)
		return err
	})
}

var _ = scenario("error_queue_priority", func() {
	refusedQueue("error_queue_priority", amqp.Table{"x-max-priority": int32(256)})
})

// ---- dead letters ----

func mortal(channel *amqp.Channel, name, dead string, more amqp.Table) {
	table := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	for key, value := range more {
		table[key] = value
	}
	declare(channel, name, table)
}

func eventsOf(message amqp.Delivery) []string {
	found := []string{}
	for _, event := range message.Headers["x-death"].([]interface{}) {
		table := event.(amqp.Table)
		found = append(found, fmt.Sprint(table["queue"], " ", table["reason"], " ", table["count"], " ", table["exchange"]))
	}
	return found
}

type deadRow struct {
	Reason    string
	Arguments arguments
}

func deadLetter(channel *amqp.Channel, row deadRow) {
	dead, queue := temporary(channel), unique("queue")
	mortal(channel, queue, dead, row.Arguments.table())
	message := amqp.Publishing{Headers: amqp.Table{"mine": "stays"}, Body: []byte("body")}
	send(channel, "", queue, false, message)
	if row.Reason == "maxlen" {
		send(channel, "", queue, false, message)
	}
	if row.Reason == "rejected" {
		must(get(channel, queue, false).Reject(false))
	}
	letter := get(channel, dead, true)
	same(string(letter.Body), "body", "the letter")
	same(eventsOf(letter), []string{queue + " " + row.Reason + " 1 "}, "x-death")
	event := letter.Headers["x-death"].([]interface{})[0].(amqp.Table)
	same(event["routing-keys"], []interface{}{queue}, "routing-keys")
	delete(letter.Headers, "x-death")
	same(letter.Headers, amqp.Table{"mine": "stays", "x-first-death-reason": row.Reason,
		"x-first-death-queue": queue, "x-first-death-exchange": ""}, "other headers")
}

var _ = scenario("dead_letter", func() {
	wanted := struct{ Rows []deadRow }{}
	expect("dead_letter", &wanted)
	for _, row := range wanted.Rows {
		withChannel(func(channel *amqp.Channel) { deadLetter(channel, row) })
	}
})

var _ = scenario("dead_letter_counts", func() {
	count := countedOf("dead_letter_counts").Count
	withChannel(func(channel *amqp.Channel) {
		queue, waits := unique("queue"), unique("waits")
		mortal(channel, queue, waits, nil)
		mortal(channel, waits, queue, amqp.Table{"x-message-ttl": int32(20)})
		publish(channel, "", queue, "body")
		for i := 0; i < count; i++ {
			must(get(channel, queue, false).Nack(false, false))
		}
		same(eventsOf(get(channel, queue, true)), []string{fmt.Sprint(waits, " expired ", count, " "),
			fmt.Sprint(queue, " rejected ", count, " ")}, "x-death")
	})
})

var _ = scenario("dead_letter_circle", func() {
	withChannel(func(channel *amqp.Channel) {
		one, two := unique("one"), unique("two")
		mortal(channel, one, two, amqp.Table{"x-message-ttl": int32(20)})
		mortal(channel, two, one, amqp.Table{"x-message-ttl": int32(20)})
		publish(channel, "", one, "body")
		time.Sleep(500 * time.Millisecond)
		same([]int{inspect(channel, one).Messages, inspect(channel, two).Messages}, []int{0, 0}, "left")
	})
})

var _ = scenario("error_dead_letter_key", func() {
	refusedQueue("error_dead_letter_key", amqp.Table{"x-dead-letter-routing-key": "k"})
})

var _ = scenario("error_dead_letter_type", func() {
	refusedQueue("error_dead_letter_type", amqp.Table{"x-dead-letter-exchange": int32(5)})
})

// ---- direct reply-to, user-id ----

const replyTo = "amq.rabbitmq.reply-to"

var _ = scenario("direct_reply_to", func() {
	count := countedOf("direct_reply_to").Count
	withChannel(func(channel *amqp.Channel) {
		withChannel(func(server *amqp.Channel) {
			queue := temporary(channel)
			answers := arrivals{}
			answers.consume(channel, replyTo, "c", true, nil)
			for i := 0; i < count; i++ {
				number := strconv.Itoa(i)
				send(channel, "", queue, false,
					amqp.Publishing{ReplyTo: replyTo, CorrelationId: number, Body: []byte(number)})
				request := get(channel, queue, true)
				check(strings.HasPrefix(request.ReplyTo, replyTo+"."), "reply-to "+request.ReplyTo)
				send(server, "", request.ReplyTo, false,
					amqp.Publishing{CorrelationId: request.CorrelationId, Body: append([]byte("to "), request.Body...)})
			}
			for i, answer := range answers.wait(count, "the answers") {
				number := strconv.Itoa(i)
				same([]string{answer.CorrelationId, string(answer.Body)}, []string{number, "to " + number}, "answer")
			}
		})
	})
})

var _ = scenario("error_reply_consumer_missing", func() {
	refusedOnChannel("error_reply_consumer_missing", func(channel *amqp.Channel) error {
		send(channel, "", "q", false, amqp.Publishing{ReplyTo: replyTo})
		return nil
	})
})

var _ = scenario("error_reply_consumer_acks", func() {
	refusedOnChannel("error_reply_consumer_acks",
		func(channel *amqp.Channel) error { return consumeOnly(channel, replyTo, "c", false) })
})

var _ = scenario("error_user_id", func() {
	refusedOnChannel("error_user_id", func(channel *amqp.Channel) error {
		queue := temporary(channel)
		send(channel, "", queue, false, amqp.Publishing{UserId: "guest"})
		eventuallyCount(channel, queue, 1)
		send(channel, "", queue, false, amqp.Publishing{UserId: "admin"})
		return nil
	})
})

// ---- transactions ----

var _ = scenario("tx_commit", func() {
	wanted := countedOf("tx_commit")
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		returned := channel.NotifyReturn(make(chan amqp.Return, 2))
		must(channel.Tx())
		publish(channel, "", queue, "one")
		send(channel, "", unique("nowhere"), true, amqp.Publishing{Body: []byte("back")})
		publish(channel, "", queue, "two")
		same([]int{inspect(channel, queue).Messages, len(returned)}, []int{0, 0}, "before the commit")
		must(channel.TxCommit())
		back := <-returned
		same([]interface{}{int(back.ReplyCode), back.ReplyText, string(back.Body)},
			[]interface{}{wanted.Code, wanted.Text, "back"}, "basic.return")
		same(gotAll(channel, queue), []string{"one", "two"}, "committed")
	})
})

var _ = scenario("tx_rollback", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		must(channel.Tx())
		publish(channel, "", queue, "one")
		must(channel.TxRollback())
		publish(channel, "", queue, "two")
		must(channel.TxCommit())
		same(gotAll(channel, queue), []string{"two"}, "committed")
	})
})

var _ = scenario("tx_settle", func() {
	withChannel(func(channel *amqp.Channel) {
		queue := temporary(channel)
		publishNumbers(channel, queue, 4)
		must(channel.Tx())
		tags := tagsOf(channel, queue, 4)
		must(channel.Ack(tags[2], false))
		must(channel.Nack(tags[1], true, true))
		must(channel.TxRollback())
		must(channel.Ack(tags[2], true))
		must(channel.Reject(tags[3], true))
		same(inspect(channel, queue).Messages, 0, "before the commit")
		must(channel.TxCommit())
		eventuallyCount(channel, queue, 1)
		getIs(channel, queue, "3", true, "rejected")
	})
})

var _ = scenario("error_tx_not_selected", func() {
	refusedOnChannel("error_tx_not_selected", (*amqp.Channel).TxCommit)
})

var _ = scenario("error_tx_then_confirm", func() {
	refusedOnChannel("error_tx_then_confirm", func(channel *amqp.Channel) error {
		must(channel.Tx())
		return channel.Confirm(false)
	})
})

var _ = scenario("error_confirm_then_tx", func() {
	refusedOnChannel("error_confirm_then_tx", func(channel *amqp.Channel) error {
		must(channel.Confirm(false))
		return channel.Tx()
	})
})
