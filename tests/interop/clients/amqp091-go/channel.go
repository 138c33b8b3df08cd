// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const patience = 5 * time.Second

func dial(password, vhost string, config amqp.Config) (*amqp.Connection, error) {
	config.Vhost = vhost
	config.Dial = func(network, address string) (net.Conn, error) {
		connection, err := amqp.DefaultDial(20*time.Second)(network, address)
		return &watched{Conn: connection}, err
	}
	address := net.JoinHostPort(os.Getenv("AMQP_HOST"), os.Getenv("AMQP_PORT"))
	return amqp.DialConfig("amqp://guest:"+password+"@"+address, config)
}

func connect(config amqp.Config) *amqp.Connection {
	connection, err := dial("guest", "/", config)
	must(err)
	return connection
}

func connected(config amqp.Config, does func(*amqp.Connection)) {
	connection := connect(config)
	defer connection.Close()
	does(connection)
}

func channelOf(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	must(err)
	return channel
}

func withChannel(does func(*amqp.Channel)) {
	connected(amqp.Config{}, func(connection *amqp.Connection) { does(channelOf(connection)) })
}

func declare(channel *amqp.Channel, name string, table amqp.Table) {
	_, err := channel.QueueDeclare(name, false, false, true, false, table)
	must(err)
}

func temporaryWith(channel *amqp.Channel, table amqp.Table) string {
	name := unique("queue")
	declare(channel, name, table)
	return name
}

func temporary(channel *amqp.Channel) string {
	return temporaryWith(channel, nil)
}

// shared is a queue that other connections may use.
func shared(channel *amqp.Channel) string {
	name := unique("queue")
	_, err := channel.QueueDeclare(name, false, false, false, false, nil)
	must(err)
	return name
}

func inspect(channel *amqp.Channel, queue string) amqp.Queue {
	found, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
	must(err)
	return found
}

func eventuallyCount(channel *amqp.Channel, queue string, wanted int) {
	eventually(strconv.Itoa(wanted)+" messages in the queue", patience,
		func() bool { return inspect(channel, queue).Messages == wanted })
}

func bind(channel *amqp.Channel, queue, key, exchange string) {
	must(channel.QueueBind(queue, key, exchange, false, nil))
}

func exchangeNamed(channel *amqp.Channel, name, kind string, table amqp.Table) string {
	must(channel.ExchangeDeclare(name, kind, false, true, false, false, table))
	return name
}

func exchangeOf(channel *amqp.Channel, kind string) string {
	return exchangeNamed(channel, unique("exchange"), kind, nil)
}

func send(channel *amqp.Channel, exchange, key string, mandatory bool, message amqp.Publishing) {
	must(channel.PublishWithContext(context.Background(), exchange, key, mandatory, false, message))
}

func publish(channel *amqp.Channel, exchange, key, body string) {
	send(channel, exchange, key, false, amqp.Publishing{Body: []byte(body)})
}

func publishNumbers(channel *amqp.Channel, queue string, count int) {
	for i := 0; i < count; i++ {
		publish(channel, "", queue, strconv.Itoa(i))
	}
}

func get(channel *amqp.Channel, queue string, autoAck bool) amqp.Delivery {
	var found amqp.Delivery
	eventually("a message", 2*patience, func() bool {
		message, ok, err := channel.Get(queue, autoAck)
		must(err)
		found = message
		return ok
	})
	return found
}

// getIs checks body and redelivered flag of the next message.
func getIs(channel *amqp.Channel, queue, body string, redelivered bool, what string) {
	found := get(channel, queue, true)
	same([]interface{}{string(found.Body), found.Redelivered}, []interface{}{body, redelivered}, what)
}

func gotAll(channel *amqp.Channel, queue string) []string {
	found := []string{}
	for {
		message, ok, err := channel.Get(queue, true)
		must(err)
		if !ok {
			return found
		}
		found = append(found, string(message.Body))
	}
}

// arrivals is what consumers were given.
type arrivals struct {
	lock  sync.Mutex
	found []amqp.Delivery
}

func (a *arrivals) all() []amqp.Delivery {
	a.lock.Lock()
	defer a.lock.Unlock()
	return append([]amqp.Delivery{}, a.found...)
}

func (a *arrivals) wait(count int, what string) []amqp.Delivery {
	eventually(what, 12*patience, func() bool { return len(a.all()) >= count })
	return a.all()
}

// texts are tag and body of each.
func (a *arrivals) texts() []string {
	texts := []string{}
	for _, one := range a.all() {
		texts = append(texts, one.ConsumerTag+" "+string(one.Body))
	}
	return texts
}

func (a *arrivals) consume(channel *amqp.Channel, queue, tag string, autoAck bool, table amqp.Table) {
	deliveries, err := channel.Consume(queue, tag, autoAck, false, false, false, table)
	must(err)
	go func() {
		for one := range deliveries {
			a.lock.Lock()
			a.found = append(a.found, one)
			a.lock.Unlock()
		}
	}()
}

func consumeOnly(channel *amqp.Channel, queue, tag string, exclusive bool) error {
	_, err := channel.Consume(queue, tag, false, exclusive, false, false, nil)
	return err
}

func sorted(texts []string) []string {
	texts = append([]string{}, texts...)
	sort.Strings(texts)
	return texts
}

func texts(count int, text func(i int) string) []string {
	found := []string{}
	for i := 0; i < count; i++ {
		found = append(found, text(i))
	}
	return found
}

// refused runs the action: the broker's close, as it came and as the library says it, is the one of the list.
func refused(name string, channel *amqp.Channel, action func() error) {
	wanted := &closing{}
	expect(name, wanted)
	noteClose(nil)
	var said chan *amqp.Error
	if channel != nil {
		said = channel.NotifyClose(make(chan *amqp.Error, 1))
	}
	action()
	eventually("an exception", 12*patience, func() bool { return lastClose() != nil })
	same(lastClose(), wanted, "exception")
	if channel != nil {
		same(uint16((<-said).Code), wanted.Code, "the library's code")
	}
}

func refusedOnChannel(name string, action func(*amqp.Channel) error) {
	withChannel(func(channel *amqp.Channel) {
		refused(name, channel, func() error { return action(channel) })
	})
}

// isMissing is true when it is answered with 404.
func isMissing(err error) bool {
	problem, is := err.(*amqp.Error)
	return is && problem.Code == amqp.NotFound && strings.HasPrefix(problem.Reason, "NOT_FOUND")
}
