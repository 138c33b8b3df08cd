// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func roundTrip(channel *amqp.Channel, size int, seed byte) {
	queue, body := temporary(channel), bodyOf(size, seed)
	send(channel, "", queue, false, amqp.Publishing{Body: body})
	found := arrivals{}
	found.consume(channel, queue, "c"+strconv.Itoa(int(seed)), false, nil)
	one := found.wait(1, "a body")[0]
	check(bytes.Equal(one.Body, body), fmt.Sprintf("body of %d bytes is one of %d", size, len(one.Body)))
	must(one.Ack(false))
	must(channel.Cancel(one.ConsumerTag, false))
	_, err := channel.QueueDelete(queue, false, false, false)
	must(err)
}

type sizes struct {
	Sizes       []int
	AroundFrame []int `json:"around_frame"`
}

var _ = scenario("body_small", func() {
	wanted := sizes{}
	expect("body_small", &wanted)
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		payload := connection.Config.FrameSize - 8
		for _, difference := range wanted.AroundFrame {
			wanted.Sizes = append(wanted.Sizes, payload+difference, 2*payload+difference)
		}
		channel := channelOf(connection)
		for seed, size := range wanted.Sizes {
			roundTrip(channel, size, byte(seed))
		}
	})
})

func body(name string) bool {
	return scenario(name, func() {
		wanted := sizes{}
		expect(name, &wanted)
		withChannel(func(channel *amqp.Channel) { roundTrip(channel, wanted.Sizes[0], 1) })
	})
}

var _ = body("body_1mib") && body("body_64mib")

var _ = scenario("queues_10000", func() {
	count := countedOf("queues_10000").Count
	withChannel(func(channel *amqp.Channel) {
		names := texts(count, func(int) string { return temporary(channel) })
		for _, name := range []string{names[0], names[count-1]} {
			publish(channel, "", name, name)
			same(gotAll(channel, name), []string{name}, "its message")
		}
	})
})

var _ = scenario("connections_1000", func() {
	count := countedOf("connections_1000").Count
	connections := []*amqp.Connection{}
	defer func() {
		for _, connection := range connections {
			connection.Close()
		}
	}()
	for i := 0; i < count; i++ {
		connections = append(connections, connect(amqp.Config{}))
	}
	withChannel(func(keeper *amqp.Channel) {
		queue := shared(keeper)
		for i, connection := range connections {
			publish(channelOf(connection), "", queue, strconv.Itoa(i))
		}
		eventuallyCount(keeper, queue, count)
		same(sorted(gotAll(keeper, queue)), sorted(texts(count, strconv.Itoa)), "bodies")
		_, err := keeper.QueueDelete(queue, false, false, false)
		must(err)
	})
})

// ---- connections ----

var _ = role("hold_and_publish", func(names []string) {
	wanted := struct{ Size int }{}
	expect("killed_mid_frame", &wanted)
	channel := channelOf(connect(amqp.Config{}))
	// One body stays: a publisher that is held, since memory is full, is not read, so its end is not seen.
	declare(channel, names[1], amqp.Table{"x-max-length": int32(1)})
	get(channel, names[0], false)
	there()
	for body := bodyOf(wanted.Size, 1); ; {
		send(channel, "", names[1], false, amqp.Publishing{Body: body})
	}
})

var _ = role("hold", func(words []string) {
	interval, err := strconv.Atoi(words[0])
	must(err)
	declare(channelOf(connect(amqp.Config{Heartbeat: time.Duration(interval) * time.Second})), words[1], nil)
	there()
	select {}
})

// isGone is true when the exclusive queue of another connection is no more; false while it is locked.
func isGone(connection *amqp.Connection, queue string) bool {
	err := passive(channelOf(connection), queue)
	problem, is := err.(*amqp.Error)
	check(is && (problem.Code == amqp.NotFound || problem.Code == amqp.ResourceLocked), fmt.Sprint("passive declare: ", err))
	return problem.Code == amqp.NotFound
}

var _ = scenario("killed_mid_frame", func() {
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		keeper := channelOf(connection)
		queue, owned := shared(keeper), unique("queue")
		publish(keeper, "", queue, "kept")
		holder := child("hold_and_publish", queue, owned)
		time.Sleep(300 * time.Millisecond)
		endChild(holder)
		getIs(keeper, queue, "kept", true, "the message of the killed client")
		eventually("its exclusive queue gone", patience, func() bool { return isGone(connection, owned) })
		_, err := keeper.QueueDelete(queue, false, false, false)
		must(err)
	})
})

type beats struct {
	IntervalS int           `json:"interval_s"`
	IdleS     time.Duration `json:"idle_s"`
	GoneSMax  time.Duration `json:"gone_s_max"`
}

var _ = scenario("heartbeat_kept", func() {
	wanted := beats{}
	expect("heartbeat_kept", &wanted)
	interval := time.Duration(wanted.IntervalS) * time.Second
	connected(amqp.Config{Heartbeat: interval}, func(connection *amqp.Connection) {
		same(connection.Config.Heartbeat, interval, "interval agreed")
		channel := channelOf(connection)
		queue := temporary(channel)
		// amqp091-go gives up when nothing was read for three intervals.
		time.Sleep(wanted.IdleS * time.Second)
		publish(channel, "", queue, "alive")
		same(gotAll(channel, queue), []string{"alive"}, "after the idle time")
	})
})

var _ = scenario("heartbeat_client_stops", func() {
	wanted := beats{}
	expect("heartbeat_client_stops", &wanted)
	owned := unique("queue")
	holder := child("hold", strconv.Itoa(wanted.IntervalS), owned)
	defer endChild(holder)
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		check(!isGone(connection, owned), "the queue is not there")
		must(holder.Signal(syscall.SIGSTOP))
		eventually("the broker closed the silent connection", wanted.GoneSMax*time.Second, func() bool {
			time.Sleep(100 * time.Millisecond)
			return isGone(connection, owned)
		})
	})
})

var _ = scenario("channels", func() {
	count := countedOf("channels").Count
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		channels := []*amqp.Channel{}
		for i := 0; i < count; i++ {
			channels = append(channels, channelOf(connection))
		}
		queue := temporary(channels[0])
		for i, channel := range channels {
			publish(channel, "", queue, strconv.Itoa(i))
		}
		for i, channel := range channels {
			if i%2 == 1 {
				must(channel.Close())
			} else {
				publish(channel, "", queue, "again")
			}
		}
		eventuallyCount(channels[0], queue, count+(count+1)/2)
	})
})

var _ = scenario("channel_reuse", func() {
	// Two numbers alone: the channel that is opened again has the other's.
	connected(amqp.Config{ChannelMax: 2}, func(connection *amqp.Connection) {
		other, failing := channelOf(connection), channelOf(connection)
		queue := temporary(other)
		refused("channel_reuse", failing, func() error { return passive(failing, unique("nowhere")) })
		publish(other, "", queue, "other")
		again := channelOf(connection)
		publish(again, "", queue, "again")
		eventuallyCount(other, queue, 2)
		same(sorted(gotAll(again, queue)), []string{"again", "other"}, "messages")
	})
})

var _ = scenario("blocked", func() {
	wanted := struct {
		Count  int
		Reason string
	}{}
	expect("blocked", &wanted)
	connected(amqp.Config{}, func(connection *amqp.Connection) {
		told := connection.NotifyBlocked(make(chan amqp.Blocking, 2))
		channel := channelOf(connection)
		queue := temporary(channel)
		publishNumbers(channel, queue, wanted.Count)
		same(heard(told, "connection.blocked"), amqp.Blocking{Active: true, Reason: wanted.Reason}, "blocked")
		fmt.Println("# blocked")
		same(heard(told, "connection.unblocked"), amqp.Blocking{}, "unblocked")
		eventuallyCount(channel, queue, wanted.Count)
		same(gotAll(channel, queue), texts(wanted.Count, strconv.Itoa), "messages")
	})
})

func heard(told chan amqp.Blocking, what string) amqp.Blocking {
	eventually(what, 12*patience, func() bool { return len(told) > 0 })
	return <-told
}

var _ = scenario("negotiate_frame_max", func() {
	wanted := struct {
		FrameMax int `json:"frame_max"`
		Size     int
	}{}
	expect("negotiate_frame_max", &wanted)
	connected(amqp.Config{FrameSize: wanted.FrameMax}, func(connection *amqp.Connection) {
		same(connection.Config.FrameSize, wanted.FrameMax, "frame-max agreed")
		roundTrip(channelOf(connection), wanted.Size, 3)
	})
})

var _ = scenario("negotiate_channel_max", func() {
	wanted := struct {
		ChannelMax int `json:"channel_max"`
	}{}
	expect("negotiate_channel_max", &wanted)
	connected(amqp.Config{ChannelMax: wanted.ChannelMax}, func(connection *amqp.Connection) {
		same(connection.Config.ChannelMax, wanted.ChannelMax, "channel-max agreed")
		channel := channelOf(connection)
		queue := temporary(channel)
		for i := 1; i < wanted.ChannelMax; i++ {
			publish(channelOf(connection), "", queue, "x")
		}
		eventuallyCount(channel, queue, wanted.ChannelMax-1)
	})
})
