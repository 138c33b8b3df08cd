# SPDX-License-Identifier: Apache-2.0
# The scenarios with Bunny.
require "bunny"
require "logger"
require "set"
require_relative "harness"

# Bunny keeps the ids of the failed method in some of its exceptions only; every close is noted as it arrives.
$closed_by = nil
module NoteCloses
  def read_next_frame(*given)
    frame = super
    if frame.is_a?(AMQ::Protocol::MethodFrame)
      method = frame.decode_payload
      level = { AMQ::Protocol::Channel::Close => "channel", AMQ::Protocol::Connection::Close => "connection" }[method.class]
      if level
        $closed_by = { "level" => level, "code" => method.reply_code, "class" => method.class_id,
                       "method" => method.method_id }
      end
    end
    frame
  end
end
Bunny::Transport.prepend(NoteCloses)

# Takes the errors that Bunny's reader thread would raise in the thread that made the connection.
class Errors
  def raise(*) end
end

def connect(**options)
  session = Bunny.new({ host: ENV.fetch("AMQP_HOST"), port: ENV.fetch("AMQP_PORT").to_i, user: "guest", pass: "guest",
                        vhost: "/", heartbeat: 60, automatically_recover: false, recover_from_connection_close: false,
                        logger: Logger.new(File::NULL), session_error_handler: Errors.new,
                        connection_timeout: 20, continuation_timeout: 30_000 }.merge(options))
  session.start
  session
end

def connected(**options)
  connection = connect(**options)
  yield connection
ensure
  connection.close if connection && connection.open?
end

def with_channel(**options)
  connected(**options) { |connection| yield connection.create_channel }
end

def temporary(channel, **options)
  name = unique("queue")
  channel.queue_declare(name, { exclusive: true }.merge(options))
  name
end

def publish(channel, body, key, exchange: "", **options)
  channel.basic_publish(body.to_s, exchange, key, { persistent: false }.merge(options))
end

def count_of(channel, queue)
  channel.queue_declare(queue, passive: true).message_count
end

def eventually_count(channel, queue, wanted)
  eventually("#{wanted} messages in the queue") { count_of(channel, queue) == wanted }
end

def get(channel, queue, manual_ack: false, timeout_s: 5.0)
  found = nil
  eventually("a message", timeout_s: timeout_s, step_s: 0.01) do
    found = channel.basic_get(queue, manual_ack: manual_ack)
    found[0]
  end
  found
end

def got_all(channel, queue)
  found = []
  loop do
    about, _, body = channel.basic_get(queue, manual_ack: false)
    return found unless about

    found << body
  end
end

# Runs the action; the broker's close must be the one that the list names.
def refused(name)
  wanted = expected(name).slice("level", "code", "class", "method")
  $closed_by = nil
  action = Thread.new do
    yield
  rescue Exception => problem
    problem
  end
  action.report_on_exception = false
  eventually("an exception", timeout_s: 60) { $closed_by }
  action.join(0.5) || action.kill
  same($closed_by, wanted, "exception")
end

def refused_on_channel(name)
  with_channel { |channel| refused(name) { yield channel } }
end

# ---- publish, consume, get ----

scenario "publish_consume" do
  count = expected("publish_consume")["count"]
  with_channel do |channel|
    queue = temporary(channel)
    count.times { |i| publish(channel, i, queue) }
    found = []
    consumer = channel.basic_consume(queue, channel.generate_consumer_tag, false) do |about, _, body|
      found << [body, about.redelivered?]
      channel.ack(about.delivery_tag)
    end
    eventually("#{count} messages", timeout_s: 20) { found.size == count }
    same(found, Array.new(count) { |i| [i.to_s, false] }, "messages")
    channel.basic_cancel(consumer.consumer_tag)
    eventually_count(channel, queue, 0)
  end
end

scenario "publish_get" do
  count = expected("publish_get")["count"]
  with_channel do |channel|
    queue = temporary(channel)
    count.times { |i| publish(channel, i, queue) }
    eventually_count(channel, queue, count)
    count.times do |i|
      about, _, body = channel.basic_get(queue, manual_ack: true)
      same([body, about.message_count, about.exchange, about.routing_key, about.redelivered],
           [i.to_s, count - 1 - i, "", queue, false], "get-ok")
      channel.ack(about.delivery_tag)
    end
    same(channel.basic_get(queue)[0], nil, "get from the empty queue")
  end
end

scenario "properties" do
  sent = { content_type: "text/plain", content_encoding: "utf-8", priority: 7, correlation_id: "corr", reply_to: "back",
           expiration: "60000", message_id: "m-1", timestamp: 1_700_000_000, type: "kind", app_id: "interop",
           user_id: "guest",
           headers: { "text" => "grüße".b, "int" => -5, "big" => 2**40, "yes" => true, "no" => false,
                      "list" => [1, "two", [3]], "table" => { "inner" => { "deep" => 1 } }, "none" => nil,
                      "real" => 1.5 } }
  with_channel do |channel|
    queue = temporary(channel)
    publish(channel, "x", queue, **sent, persistent: true)
    _, found, = get(channel, queue)
    sent.each do |key, value|
      value = Time.at(value) if key == :timestamp
      same(found[key], value, key.to_s)
    end
    same(found[:delivery_mode], 2, "delivery mode")
  end
end

scenario "confirm" do
  count = expected("confirm")["count"]
  with_channel do |channel|
    queue = temporary(channel)
    channel.confirm_select
    count.times { |i| publish(channel, i, queue) }
    publish(channel, "unroutable", unique("nowhere"))
    same(channel.wait_for_confirms, true, "all confirmed")
    same(channel.unconfirmed_set.size, 0, "unconfirmed")
    same(count_of(channel, queue), count, "messages")
  end
end

scenario "return_unroutable" do
  wanted = expected("return_unroutable")
  with_channel do |channel|
    queue = temporary(channel)
    nowhere = unique("nowhere")
    returned = []
    channel.default_exchange.on_return { |about, _, body| returned << [about, body] }
    channel.confirm_select
    publish(channel, "routable", queue, mandatory: true)
    publish(channel, "back", nowhere, mandatory: true)
    channel.wait_for_confirms
    same(returned.size, 1, "messages returned")
    about, body = returned[0]
    same([about.reply_code, about.reply_text, about.exchange, about.routing_key, body],
         [wanted["code"], wanted["text"], "", nowhere, "back"], "basic.return")
    same(got_all(channel, queue), ["routable"], "routed")
  end
end

scenario "nack_requeue" do
  with_channel do |channel|
    queue = temporary(channel)
    3.times { |i| publish(channel, i, queue) }
    about, _, body = get(channel, queue, manual_ack: true)
    same([body, about.redelivered], ["0", false], "first delivery")
    channel.nack(about.delivery_tag, false, true)
    about, _, body = get(channel, queue)
    same([body, about.redelivered], ["0", true], "second delivery")
    about, _, body = get(channel, queue)
    same([body, about.redelivered], ["1", false], "the message behind it")
  end
end

scenario "nack_multiple" do
  with_channel do |channel|
    queue = temporary(channel)
    6.times { |i| publish(channel, i, queue) }
    tags = Array.new(6) { get(channel, queue, manual_ack: true)[0].delivery_tag }
    channel.ack(tags[1], true)
    channel.nack(tags[3], true, true)
    eventually_count(channel, queue, 2)
    %w[2 3].each do |wanted|
      about, _, body = get(channel, queue)
      same([body, about.redelivered], [wanted, true], "requeued")
    end
    channel.basic_ack(0, true)
    eventually_count(channel, queue, 0)
  end
end

scenario "queue_priority" do
  highest, sent, sorted = expected("queue_priority").values_at("highest", "sent", "sorted")
  with_channel do |channel|
    queue = temporary(channel, arguments: { "x-max-priority" => highest })
    sent.each_with_index { |priority, i| publish(channel, i, queue, priority: priority) }
    eventually_count(channel, queue, sent.size)
    same(got_all(channel, queue), sorted.map(&:to_s), "got")
  end
end

scenario "error_queue_priority" do
  refused_on_channel("error_queue_priority") do |channel|
    temporary(channel, arguments: { "x-max-priority" => 256 })
  end
end

def letters(dead, more = {})
  { "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => dead }.merge(more)
end

def mortal(channel, name, dead, more = {})
  channel.queue_declare(name, exclusive: true, arguments: letters(dead, more))
  name
end

def events_of(about)
  about[:headers]["x-death"].map { |table| table.values_at("queue", "reason", "count", "exchange") }
end

scenario "dead_letter" do
  expected("dead_letter")["rows"].each do |row|
    with_channel do |channel|
      dead = temporary(channel)
      queue = mortal(channel, unique("queue"), dead, row["arguments"])
      (row["reason"] == "maxlen" ? 2 : 1).times { publish(channel, "body", queue, headers: { "mine" => "stays" }) }
      channel.reject(get(channel, queue, manual_ack: true)[0].delivery_tag, false) if row["reason"] == "rejected"
      _, about, body = get(channel, dead)
      same(body, "body", "the letter")
      same(events_of(about), [[queue, row["reason"], 1, ""]], "x-death")
      same(about[:headers]["x-death"][0]["routing-keys"], [queue], "routing-keys")
      same(about[:headers].values_at("mine", "x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"),
           ["stays", row["reason"], queue, ""], "other headers")
    end
  end
end

scenario "dead_letter_counts" do
  count = expected("dead_letter_counts")["count"]
  with_channel do |channel|
    queue = unique("queue")
    waits = unique("waits")
    mortal(channel, queue, waits)
    mortal(channel, waits, queue, { "x-message-ttl" => 20 })
    publish(channel, "body", queue)
    count.times { channel.nack(get(channel, queue, manual_ack: true)[0].delivery_tag, false, false) }
    _, about, = get(channel, queue)
    same(events_of(about), [[waits, "expired", count, ""], [queue, "rejected", count, ""]], "x-death")
  end
end

scenario "dead_letter_circle" do
  with_channel do |channel|
    one = unique("one")
    two = unique("two")
    mortal(channel, one, two, { "x-message-ttl" => 20 })
    mortal(channel, two, one, { "x-message-ttl" => 20 })
    publish(channel, "body", one)
    sleep 0.5
    same([count_of(channel, one), count_of(channel, two)], [0, 0], "left")
  end
end

scenario "error_dead_letter_key" do
  refused_on_channel("error_dead_letter_key") do |channel|
    temporary(channel, arguments: { "x-dead-letter-routing-key" => "k" })
  end
end

scenario "error_dead_letter_type" do
  refused_on_channel("error_dead_letter_type") do |channel|
    temporary(channel, arguments: { "x-dead-letter-exchange" => 5 })
  end
end

REPLY_TO = "amq.rabbitmq.reply-to"

scenario "direct_reply_to" do
  count = expected("direct_reply_to")["count"]
  with_channel do |channel|
    with_channel do |server|
      queue = temporary(channel)
      found = []
      channel.basic_consume(REPLY_TO, "c", true) { |_, about, body| found << [about[:correlation_id], body] }
      count.times do |i|
        publish(channel, i, queue, reply_to: REPLY_TO, correlation_id: i.to_s)
        _, about, body = get(channel, queue)
        same(about[:reply_to].start_with?("#{REPLY_TO}."), true, "reply-to #{about[:reply_to]}")
        publish(server, "to #{body}", about[:reply_to], correlation_id: about[:correlation_id])
      end
      eventually("#{count} answers") { found.size == count }
      same(found, Array.new(count) { |i| [i.to_s, "to #{i}"] }, "answers")
    end
  end
end

scenario "error_reply_consumer_missing" do
  refused_on_channel("error_reply_consumer_missing") { |channel| publish(channel, "", "q", reply_to: REPLY_TO) }
end

scenario "error_reply_consumer_acks" do
  refused_on_channel("error_reply_consumer_acks") { |channel| channel.basic_consume(REPLY_TO, "c", false) }
end

scenario "error_user_id" do
  refused_on_channel("error_user_id") do |channel|
    queue = temporary(channel)
    publish(channel, "mine", queue, user_id: "guest")
    eventually_count(channel, queue, 1)
    publish(channel, "not mine", queue, user_id: "admin")
  end
end

scenario "tx_commit" do
  wanted = expected("tx_commit")
  with_channel do |channel|
    queue = temporary(channel)
    returned = []
    channel.default_exchange.on_return { |about, _, body| returned << [about.reply_code, about.reply_text, body] }
    channel.tx_select
    publish(channel, "one", queue)
    publish(channel, "back", unique("nowhere"), mandatory: true)
    publish(channel, "two", queue)
    same([count_of(channel, queue), returned], [0, []], "before the commit")
    channel.tx_commit
    eventually("a return") { !returned.empty? }
    same(returned, [[wanted["code"], wanted["text"], "back"]], "basic.return")
    same(got_all(channel, queue), %w[one two], "committed")
  end
end

scenario "tx_rollback" do
  with_channel do |channel|
    queue = temporary(channel)
    channel.tx_select
    publish(channel, "one", queue)
    channel.tx_rollback
    publish(channel, "two", queue)
    channel.tx_commit
    same(got_all(channel, queue), %w[two], "committed")
  end
end

scenario "tx_settle" do
  with_channel do |channel|
    queue = temporary(channel)
    4.times { |i| publish(channel, i, queue) }
    channel.tx_select
    tags = Array.new(4) { get(channel, queue, manual_ack: true)[0].delivery_tag }
    channel.ack(tags[2])
    channel.nack(tags[1], true, true)
    channel.tx_rollback
    channel.ack(tags[2], true)
    channel.nack(tags[3], false, true)
    same(count_of(channel, queue), 0, "before the commit")
    channel.tx_commit
    eventually_count(channel, queue, 1)
    about, _, body = get(channel, queue)
    same([body, about.redelivered], ["3", true], "rejected")
  end
end

scenario "error_tx_not_selected" do
  refused_on_channel("error_tx_not_selected") { |channel| channel.tx_commit }
end

scenario "error_tx_then_confirm" do
  refused_on_channel("error_tx_then_confirm") do |channel|
    channel.tx_select
    channel.confirm_select
  end
end

scenario "error_confirm_then_tx" do
  refused_on_channel("error_confirm_then_tx") do |channel|
    channel.confirm_select
    channel.tx_select
  end
end

scenario "reject" do
  with_channel do |channel|
    queue = temporary(channel)
    publish(channel, "one", queue)
    channel.reject(get(channel, queue, manual_ack: true)[0].delivery_tag, true)
    about, = get(channel, queue, manual_ack: true)
    same(about.redelivered, true, "redelivered")
    channel.reject(about.delivery_tag, false)
    same(channel.basic_get(queue)[0], nil, "get after the drop")
  end
end

scenario "recover" do
  with_channel do |channel|
    queue = temporary(channel)
    3.times { |i| publish(channel, i, queue) }
    3.times { get(channel, queue, manual_ack: true) }
    channel.basic_recover(true)
    3.times do |i|
      about, _, body = get(channel, queue)
      same([body, about.redelivered], [i.to_s, true], "recovered")
    end
  end
end

scenario "requeue_on_close" do
  with_channel do |keeper|
    queue = unique("queue")
    keeper.queue_declare(queue)
    with_channel do |channel|
      publish(channel, "kept", queue)
      get(channel, queue, manual_ack: true)
    end
    about, _, body = get(keeper, queue)
    same([body, about.redelivered], ["kept", true], "delivery after the close")
    keeper.queue_delete(queue)
  end
end

scenario "qos_prefetch" do
  prefetch, count = expected("qos_prefetch").values_at("prefetch", "count")
  with_channel do |channel|
    queue = temporary(channel)
    count.times { |i| publish(channel, i, queue) }
    channel.basic_qos(prefetch)
    tags = []
    channel.basic_consume(queue, channel.generate_consumer_tag, false) { |about, *| tags << about.delivery_tag }
    sleep 0.5
    same(tags.size, prefetch, "delivered at first")
    channel.ack(tags.first)
    sleep 0.5
    same(tags.size, prefetch + 1, "delivered after one ack")
    channel.ack(tags.last, true)
    sleep 0.5
    same(tags.size, 2 * prefetch + 1, "delivered after all were acknowledged")
  end
end

scenario "consumer_priority" do
  prefetch, count = expected("consumer_priority").values_at("prefetch", "count")
  with_channel do |channel|
    queue = temporary(channel)
    found = []
    { "low" => -1, "high" => 10 }.each do |tag, priority|
      channel.basic_qos(tag == "high" ? prefetch : 0)
      channel.basic_consume(queue, tag, false, false, { "x-priority" => priority }) { |_, _, body| found << [tag, body] }
    end
    count.times { |i| publish(channel, i, queue) }
    sleep 0.5
    same(found.sort, Array.new(count) { |i| [i < prefetch ? "high" : "low", i.to_s] }.sort, "who got what")
  end
end

scenario "error_consumer_priority" do
  refused_on_channel("error_consumer_priority") do |channel|
    channel.basic_consume(temporary(channel), "c", false, false, { "x-priority" => "high" })
  end
end

scenario "single_active_consumer" do
  count = expected("single_active_consumer")["count"]
  with_channel do |channel|
    queue = temporary(channel, arguments: { "x-single-active-consumer" => true })
    found = []
    %w[first second].each do |tag|
      channel.basic_consume(queue, tag, true) { |_, _, body| found << [tag, body] }
    end
    count.times { |i| publish(channel, i, queue) }
    eventually("#{count} messages") { found.size == count }
    same(found, Array.new(count) { |i| ["first", i.to_s] }, "the first one's")
    channel.basic_cancel("first")
    publish(channel, "next", queue)
    eventually("another one") { found.size > count }
    same(found.drop(count), [%w[second next]], "the second one's")
  end
end

scenario "error_single_active_exclusive" do
  refused_on_channel("error_single_active_exclusive") do |channel|
    channel.basic_consume(temporary(channel, arguments: { "x-single-active-consumer" => true }), "c", false, true)
  end
end

# ---- exchanges ----

def exchange_of(channel, type, **options)
  name = unique("exchange")
  channel.exchange_declare(name, type, options)
  name
end

scenario "exchange_direct" do
  with_channel do |channel|
    exchange = exchange_of(channel, "direct", auto_delete: true)
    queues = %w[red blue].to_h { |key| [key, temporary(channel)] }
    queues.each { |key, queue| channel.queue_bind(queue, exchange, routing_key: key) }
    %w[red blue green].each { |key| publish(channel, key, key, exchange: exchange) }
    queues.each { |key, queue| same(got_all(channel, queue), [key], key) }
  end
end

scenario "exchange_fanout" do
  with_channel do |channel|
    exchange = exchange_of(channel, "fanout", auto_delete: true)
    queues = Array.new(5) { temporary(channel) }
    queues.product(%w[ignored twice]) { |queue, key| channel.queue_bind(queue, exchange, routing_key: key) }
    publish(channel, "all", "any", exchange: exchange)
    queues.each { |queue| same(got_all(channel, queue), ["all"], queue) }
  end
end

scenario "exchange_topic" do
  with_channel do |channel|
    exchange = exchange_of(channel, "topic")
    expected("exchange_topic")["patterns"].each do |row|
      queue = temporary(channel)
      channel.queue_bind(queue, exchange, routing_key: row["pattern"])
      (row["match"] + row["miss"]).each { |key| publish(channel, key, key, exchange: exchange) }
      same(got_all(channel, queue), row["match"], row["pattern"])
      channel.queue_unbind(queue, exchange, routing_key: row["pattern"])
    end
    channel.exchange_delete(exchange)
  end
end

scenario "exchange_headers" do
  with_channel do |channel|
    exchange = exchange_of(channel, "headers", auto_delete: true)
    queues = %w[all any].to_h { |match| [match, temporary(channel)] }
    queues.each do |match, queue|
      channel.queue_bind(queue, exchange, arguments: { "x-match" => match, "colour" => "red", "size" => 5 })
    end
    { "both" => { "colour" => "red", "size" => 5, "more" => 1 }, "one" => { "colour" => "red" },
      "other" => { "colour" => "blue", "size" => 6 }, "typed" => { "size" => "5" },
      "none" => {} }.each { |name, headers| publish(channel, name, "", exchange: exchange, headers: headers) }
    same(got_all(channel, queues["all"]), ["both"], "x-match all")
    same(got_all(channel, queues["any"]), %w[both one], "x-match any")
  end
end

scenario "exchange_predeclared" do
  with_channel do |channel|
    [["amq.direct", "direct", unique("key"), {}], ["amq.fanout", "fanout", "", {}],
     ["amq.topic", "topic", "#{unique('a')}.b", {}],
     ["amq.headers", "headers", "", { "x-match" => "all", "id" => unique("h") }],
     ["amq.match", "headers", "", { "x-match" => "all", "id" => unique("h") }]].each do |exchange, type, key, headers|
      channel.exchange_declare(exchange, type, passive: true)
      queue = temporary(channel)
      channel.queue_bind(queue, exchange, routing_key: key, arguments: headers)
      publish(channel, "here", key, exchange: exchange, headers: headers)
      same(got_all(channel, queue), ["here"], exchange)
      channel.queue_delete(queue)
    end
  end
end

scenario "exchange_lifecycle" do
  connected do |connection|
    channel = connection.create_channel
    exchange = exchange_of(channel, "direct")
    channel.exchange_declare(exchange, "direct", passive: true)
    queue = temporary(channel)
    channel.queue_bind(queue, exchange, routing_key: "k")
    refused("exchange_lifecycle") { channel.exchange_delete(exchange, if_unused: true) }
    channel = connection.create_channel
    channel.queue_unbind(queue, exchange, routing_key: "k")
    channel.exchange_delete(exchange, if_unused: true)
    automatic = exchange_of(channel, "direct", auto_delete: true)
    channel.queue_bind(queue, automatic, routing_key: "k")
    channel.exchange_declare(automatic, "direct", passive: true)
    channel.queue_unbind(queue, automatic, routing_key: "k")
    [exchange, automatic].each do |gone|
      begin
        channel.exchange_declare(gone, "direct", passive: true)
        check(false, "#{gone} is still there")
      rescue Bunny::NotFound
        channel = connection.create_channel
      end
    end
  end
end

scenario "alternate_exchange" do
  with_channel do |channel|
    names = Array.new(3) { unique("exchange") }
    queues = names.each_with_index.map do |name, i|
      channel.exchange_declare(name, "direct", auto_delete: true, arguments: { "alternate-exchange" => names[(i + 1) % 3] })
      temporary(channel).tap { |queue| channel.queue_bind(queue, name, routing_key: "k#{i}") }
    end
    returned = []
    Bunny::Exchange.new(channel, :direct, names[0], no_declare: true).on_return { |about, *| returned << about.exchange }
    channel.confirm_select
    4.times { |i| publish(channel, i, "k#{i}", exchange: names[0], mandatory: true) }
    channel.wait_for_confirms
    queues.each_with_index { |queue, i| same(got_all(channel, queue), [i.to_s], "through the chain") }
    same(returned, [names[0]], "what no exchange of the chain routes")
  end
end

scenario "error_alternate_type" do
  refused_on_channel("error_alternate_type") do |channel|
    channel.exchange_declare(unique("exchange"), "direct", auto_delete: true, arguments: { "alternate-exchange" => 5 })
  end
end

scenario "error_alternate_redeclare" do
  refused_on_channel("error_alternate_redeclare") do |channel|
    exchange = unique("exchange")
    %w[a b].each do |other|
      channel.exchange_declare(exchange, "direct", auto_delete: true, arguments: { "alternate-exchange" => other })
      channel.queue_bind(temporary(channel), exchange, routing_key: "k")
    end
  end
end

scenario "exchange_bind" do
  with_channel do |channel|
    last = exchange_of(channel, "fanout", auto_delete: true)
    queue = temporary(channel)
    channel.queue_bind(queue, last)
    %w[direct fanout topic headers].each do |kind|
      first, middle = Array.new(2) { exchange_of(channel, kind, auto_delete: true) }
      [[first, middle], [middle, last], [first, last], [middle, first]].each do |source, destination|
        channel.exchange_bind(source, destination, routing_key: "k")
      end
      publish(channel, "once", "k", exchange: first)
      publish(channel, "other", "other", exchange: first)
      same(got_all(channel, queue), %w[fanout headers].include?(kind) ? %w[once other] : %w[once], kind)
      channel.exchange_unbind(first, last, routing_key: "k")
      channel.exchange_unbind(middle, last, routing_key: "k")
      publish(channel, "nowhere", "k", exchange: first)
      same(got_all(channel, queue), [], "after unbind, #{kind}")
      channel.exchange_delete(first)
    end
  end
end

scenario "exchange_bind_lifecycle" do
  connected do |connection|
    channel = connection.create_channel
    above, source, destination = Array.new(3) { exchange_of(channel, "fanout", auto_delete: true) }
    channel.exchange_bind(above, source)
    channel.exchange_bind(source, destination)
    refused("exchange_bind_lifecycle") { channel.exchange_delete(source, if_unused: true) }
    channel = connection.create_channel
    channel.exchange_delete(destination, if_unused: true)
    [above, source, destination].each do |gone|
      begin
        channel.exchange_declare(gone, "fanout", passive: true)
        check(false, "#{gone} is still there")
      rescue Bunny::NotFound
        channel = connection.create_channel
      end
    end
    source, destination = Array.new(2) { exchange_of(channel, "fanout", auto_delete: true) }
    channel.exchange_bind(source, destination)
    channel.exchange_delete(source)
    channel.exchange_declare(destination, "fanout", passive: true)
    channel.exchange_delete(destination)
  end
end

scenario "error_exchange_bind_default" do
  refused_on_channel("error_exchange_bind_default") { |channel| channel.exchange_bind("", "amq.direct", routing_key: "k") }
end

scenario "error_exchange_bind_unknown" do
  refused_on_channel("error_exchange_bind_unknown") do |channel|
    channel.exchange_bind("amq.direct", unique("none"), routing_key: "k")
  end
end

scenario "exchange_internal" do
  with_channel do |channel|
    inner = exchange_of(channel, "fanout", internal: true, auto_delete: true)
    outer = exchange_of(channel, "fanout", auto_delete: true)
    queue = temporary(channel)
    channel.queue_bind(queue, inner)
    channel.exchange_bind(outer, inner)
    publish(channel, "in", "", exchange: outer)
    same(got_all(channel, queue), ["in"], "through the other exchange")
    refused("exchange_internal") { publish(channel, "refused", "", exchange: inner) }
  end
end

scenario "sender_selected" do
  with_channel do |channel|
    first, cc, bcc = queues = Array.new(3) { temporary(channel) }
    publish(channel, "all", first, headers: { "CC" => [cc, first], "BCC" => [bcc, 5], "kept" => "yes" }, type: "t")
    queues.each do |queue|
      about, properties, body = get(channel, queue)
      same([body, about.routing_key, properties[:headers], properties[:type]],
           ["all", first, { "CC" => [cc, first], "kept" => "yes" }, "t"], "a copy")
      same(got_all(channel, queue), [], "no second copy")
    end
    [[first, "a.*"], [cc, "b.#"]].each { |queue, pattern| channel.queue_bind(queue, "amq.topic", routing_key: pattern) }
    publish(channel, "topic", "none", exchange: "amq.topic", headers: { "CC" => ["a.x"], "BCC" => ["b.y.z"] })
    [first, cc].each do |queue|
      _, properties, body = get(channel, queue)
      same([body, properties[:headers]], ["topic", { "CC" => ["a.x"] }], "by patterns")
    end
  end
end

scenario "error_cc_type" do
  refused_on_channel("error_cc_type") { |channel| publish(channel, "refused", "q", headers: { "CC" => "no array" }) }
end

scenario "consistent_hash" do
  weights, count = expected("consistent_hash").values_at("weights", "count")
  with_channel do |channel|
    exchange = exchange_of(channel, "x-consistent-hash", auto_delete: true)
    queues = weights.map do |weight|
      temporary(channel).tap { |queue| channel.queue_bind(queue, exchange, routing_key: weight) }
    end
    (2 * count).times { |i| publish(channel, i / 2, "k#{i / 2}", exchange: exchange) }
    found = queues.map { |queue| got_all(channel, queue) }
    same(found.flatten.size, 2 * count, "messages")
    found.each { |one| one.each_slice(2) { |pair| same(pair[0], pair[1], "the same key's") } }
    sum = weights.sum(&:to_i)
    found.zip(weights).each do |one, weight|
      share = one.size / (2.0 * count) * sum / weight.to_i
      check(share > 0.5 && share < 1.6, "share of weight #{weight} is #{share} of what is fair")
    end
  end
end

scenario "error_hash_weight" do
  refused_on_channel("error_hash_weight") do |channel|
    exchange = exchange_of(channel, "x-consistent-hash", auto_delete: true)
    queue = temporary(channel)
    channel.queue_bind(queue, exchange, routing_key: "1")
    channel.queue_bind(queue, exchange, routing_key: "heavy")
  end
end

# ---- queues ----

scenario "queue_server_named" do
  with_channel do |channel|
    names = Array.new(3) { channel.queue_declare("", exclusive: true).queue }
    same(names.uniq.size, 3, "different names")
    names.each do |name|
      check(name.start_with?(expected("queue_server_named")["prefix"]), "name #{name}")
      publish(channel, name, name)
      same(got_all(channel, name), [name], "its message")
    end
  end
end

scenario "queue_exclusive" do
  queue = nil
  with_channel { |channel| queue = temporary(channel) }
  refused_on_channel("queue_exclusive") { |channel| channel.queue_declare(queue, passive: true) }
end

scenario "queue_exclusive_durable" do
  with_channel do |channel|
    queue = temporary(channel)
    publish(channel, "kept", queue)
    channel.queue_declare(queue, exclusive: true, durable: true)
    same(got_all(channel, queue), ["kept"], "its message")
  end
end

scenario "queue_auto_delete" do
  with_channel do |channel|
    queue = unique("queue")
    channel.queue_declare(queue, auto_delete: true)
    one, two = Array.new(2) { channel.basic_consume(queue) { |*| } }
    channel.basic_cancel(one.consumer_tag)
    same(channel.queue_declare(queue, passive: true).consumer_count, 1, "consumers")
    channel.basic_cancel(two.consumer_tag)
    begin
      channel.queue_declare(queue, passive: true)
      check(false, "the queue is still there")
    rescue Bunny::NotFound => gone
      same(gone.channel_close.reply_code, 404, "code")
    end
  end
end

scenario "queue_passive" do
  with_channel do |channel|
    queue = temporary(channel)
    3.times { publish(channel, "x", queue) }
    eventually_count(channel, queue, 3)
    answer = channel.queue_declare(queue, passive: true)
    same([answer.queue, answer.message_count, answer.consumer_count], [queue, 3, 0], "declare-ok")
    channel.basic_qos(1)
    channel.basic_consume(queue, channel.generate_consumer_tag, false) { |*| }
    eventually("2 ready messages and 1 consumer") do
      answer = channel.queue_declare(queue, passive: true)
      [answer.message_count, answer.consumer_count] == [2, 1]
    end
  end
end

scenario "queue_purge" do
  with_channel do |channel|
    queue = temporary(channel)
    10.times { publish(channel, "x", queue) }
    about, = get(channel, queue, manual_ack: true)
    eventually_count(channel, queue, 9)
    same(channel.queue_purge(queue).message_count, 9, "purged")
    same(count_of(channel, queue), 0, "left")
    channel.nack(about.delivery_tag, false, true)
    eventually_count(channel, queue, 1)
  end
end

scenario "queue_unbind" do
  with_channel do |channel|
    exchange = exchange_of(channel, "direct")
    queue = temporary(channel)
    %w[a b].each { |key| channel.queue_bind(queue, exchange, routing_key: key) }
    channel.queue_unbind(queue, exchange, routing_key: "a")
    %w[a b].each { |key| publish(channel, key, key, exchange: exchange) }
    same(got_all(channel, queue), ["b"], "routed after unbind")
    channel.exchange_delete(exchange)
  end
end

scenario "queue_delete_if_unused" do
  connected do |connection|
    channel, other = connection.create_channel, connection.create_channel
    queue = temporary(channel)
    consumer = channel.basic_consume(queue) { |*| }
    refused("queue_delete_if_unused") { other.queue_delete(queue, if_unused: true) }
    channel.basic_cancel(consumer.consumer_tag)
    channel.queue_delete(queue, if_unused: true)
  end
end

scenario "queue_delete_if_empty" do
  connected do |connection|
    other = connection.create_channel
    queue = temporary(other)
    publish(other, "x", queue)
    refused("queue_delete_if_empty") { other.queue_delete(queue, if_empty: true) }
    channel = connection.create_channel
    channel.queue_purge(queue)
    channel.queue_delete(queue, if_empty: true)
  end
end

scenario "consumer_cancel_notify" do
  connected do |connection|
    channel, other = connection.create_channel, connection.create_channel
    queue = temporary(channel)
    cancelled = []
    consumer = Bunny::Consumer.new(channel, queue, unique("tag"), false)
    consumer.on_cancellation { |method| cancelled << method.consumer_tag }
    channel.basic_consume_with(consumer)
    other.queue_delete(queue)
    eventually("basic.cancel from the broker") { !cancelled.empty? }
    same(cancelled, [consumer.consumer_tag], "cancelled")
  end
end

# ---- what a queue may be told ----

def rule_row(channel, row)
  queue = temporary(channel, arguments: row.fetch("arguments", {}))
  channel.confirm_select if row["confirms"]
  found = row["publish"].map do |message|
    publish(channel, message["body"], queue, **message.slice("expiration", "priority").transform_keys(&:to_sym))
    next "ack" unless row["confirms"]

    channel.wait_for_confirms ? "ack" : "nack"
  end
  same(found, row.fetch("confirms", found), "confirms")
  row.fetch("reject", 0).times { channel.reject(get(channel, queue, manual_ack: true)[0].delivery_tag, false) }
  sleep(row.fetch("wait_ms", 0) / 1000.0)
  same(got_all(channel, queue), row["left"], "left of #{row['publish']}")
end

def rule_rows(name)
  expected(name)["rows"].each { |row| with_channel { |channel| rule_row(channel, row) } }
end

scenario("queue_ttl") { rule_rows("queue_ttl") }

scenario("message_ttl") { rule_rows("message_ttl") }

scenario("queue_limits") { rule_rows("queue_limits") }

scenario("queue_refuses") { rule_rows("queue_refuses") }

scenario "queue_expires" do
  wanted = expected("queue_expires")
  with_channel do |channel|
    queue = unique("queue")
    channel.queue_declare(queue, arguments: wanted["arguments"])
    consumer = channel.basic_consume(queue) { |*| }
    sleep(wanted["used_ms"] / 1000.0)
    same(count_of(channel, queue), 0, "messages while it is used")
    channel.basic_cancel(consumer.consumer_tag)
    publish(channel, "x", queue)
    sleep(wanted["gone_ms"] / 1000.0)
    begin
      channel.queue_declare(queue, passive: true)
      check(false, "the queue is still there")
    rescue Bunny::NotFound => gone
      same(gone.channel_close.reply_code, wanted["code"], "code")
    end
  end
end

scenario "error_queue_argument" do
  wanted = expected("error_queue_argument")
  wanted["wrong"].each do |arguments|
    refused_on_channel("error_queue_argument") { |channel| temporary(channel, arguments: arguments) }
  end
  queue = unique("queue")
  refused_on_channel("error_queue_argument") do |channel|
    wanted.values_at("first", "first", "second").each do |arguments|
      channel.queue_declare(queue, exclusive: true, arguments: arguments)
    end
  end
end

scenario "error_expiration" do
  refused_on_channel("error_expiration") do |channel|
    publish(channel, "x", temporary(channel), expiration: expected("error_expiration")["expiration"])
    temporary(channel)
  end
end

# ---- size and number ----

def round_trip(channel, size, seed)
  queue = temporary(channel)
  body = body_of(size, seed)
  publish(channel, body, queue)
  found = Queue.new
  consumer = channel.basic_consume(queue, channel.generate_consumer_tag, false) { |about, _, content| found << [about.delivery_tag, content] }
  eventually("the body of #{size} bytes", timeout_s: 60, step_s: 0.002) { !found.empty? }
  tag, content = found.pop
  same([content.bytesize, digest(content)], [size, digest(body)], "body of #{size} bytes")
  channel.ack(tag)
  channel.basic_cancel(consumer.consumer_tag)
  channel.queue_delete(queue)
end

scenario "body_small" do
  sizes, around = expected("body_small").values_at("sizes", "around_frame")
  connected do |connection|
    channel = connection.create_channel
    payload = connection.frame_max - 8
    sizes += [1, 2].product(around).map { |n, d| n * payload + d }
    sizes.each_with_index { |size, seed| round_trip(channel, size, seed) }
  end
end

%w[body_1mib body_64mib].each do |name|
  scenario(name) { with_channel { |channel| round_trip(channel, expected(name)["sizes"][0], 1) } }
end

scenario "queues_10000" do
  with_channel do |channel|
    names = Array.new(expected("queues_10000")["count"]) { temporary(channel) }
    [names.first, names.last].each do |name|
      publish(channel, name, name)
      same(got_all(channel, name), [name], "its message")
    end
  end
end

scenario "connections_1000" do
  connections = []
  count = expected("connections_1000")["count"]
  begin
    count.times { connections << connect(heartbeat: 0) }
    with_channel do |keeper|
      queue = unique("queue")
      keeper.queue_declare(queue)
      connections.each_with_index { |connection, i| publish(connection.create_channel, i, queue) }
      eventually_count(keeper, queue, count)
      same(got_all(keeper, queue).to_set, Array.new(count, &:to_s).to_set, "bodies")
      keeper.queue_delete(queue)
    end
  ensure
    connections.each { |connection| connection.close if connection.open? }
  end
end

# ---- connections ----

role "hold_and_publish" do |shared, owned|
  channel = connect.create_channel
  channel.queue_declare(owned, exclusive: true)
  get(channel, shared, manual_ack: true)
  there
  body = body_of(expected("killed_mid_frame")["size"], 1)
  loop { publish(channel, body, owned) }
end

role "hold" do |interval, owned|
  connect(heartbeat: interval.to_i).create_channel.queue_declare(owned, exclusive: true)
  there
  sleep
end

# True when the exclusive queue of another connection is no more; false while it is locked.
def gone?(connection, queue)
  connection.create_channel.queue_declare(queue, passive: true)
  check(false, "another connection's exclusive queue could be declared")
rescue Bunny::NotFound
  true
rescue Bunny::ResourceLocked
  false
end

scenario "killed_mid_frame" do
  connected do |connection|
    keeper = connection.create_channel
    shared, owned = unique("queue"), unique("queue")
    keeper.queue_declare(shared)
    publish(keeper, "kept", shared)
    holder = child("hold_and_publish", shared, owned)
    sleep 0.3
    end_child(holder)
    about, _, body = get(keeper, shared, timeout_s: 10)
    same([body, about.redelivered], ["kept", true], "the message of the killed client")
    eventually("its exclusive queue gone") { gone?(connection, owned) }
    keeper.queue_delete(shared)
  end
end

scenario "heartbeat_kept" do
  interval, idle = expected("heartbeat_kept").values_at("interval_s", "idle_s")
  connected(heartbeat: interval) do |connection|
    same(connection.heartbeat, interval, "interval agreed")
    channel = connection.create_channel
    queue = temporary(channel)
    # Bunny's reader gives up when the broker is silent for 2.2 intervals.
    sleep idle
    publish(channel, "alive", queue)
    same(got_all(channel, queue), ["alive"], "after the idle time")
  end
end

scenario "heartbeat_client_stops" do
  interval, gone_max = expected("heartbeat_client_stops").values_at("interval_s", "gone_s_max")
  owned = unique("queue")
  holder = child("hold", interval, owned)
  begin
    connected do |connection|
      check(!gone?(connection, owned), "the queue is not there")
      Process.kill("STOP", holder)
      eventually("the broker closed the silent connection", timeout_s: gone_max, step_s: 0.1) do
        gone?(connection, owned)
      end
    end
  ensure
    end_child(holder)
  end
end

scenario "channels" do
  connected do |connection|
    count = expected("channels")["count"]
    opened = Array.new(count) { connection.create_channel }
    same(opened.map(&:id).uniq.size, count, "channel numbers")
    queue = temporary(opened[0])
    opened.each_with_index { |channel, i| publish(channel, i, queue) }
    closing, left = opened.partition { |channel| opened.index(channel).odd? }
    closing.each(&:close)
    left.each { |channel| publish(channel, "again", queue) }
    eventually_count(opened[0], queue, count + left.size)
  end
end

scenario "channel_reuse" do
  connected do |connection|
    other, failing = connection.create_channel, connection.create_channel
    queue = temporary(other)
    refused("channel_reuse") { failing.queue_declare(unique("nowhere"), passive: true) }
    publish(other, "other", queue)
    again = connection.create_channel(failing.id)
    same(again.id, failing.id, "channel number")
    publish(again, "again", queue)
    eventually_count(other, queue, 2)
    same(got_all(again, queue).sort, %w[again other], "messages")
  end
end

scenario "negotiate_frame_max" do
  frame_max, size = expected("negotiate_frame_max").values_at("frame_max", "size")
  connected(frame_max: frame_max) do |connection|
    same(connection.frame_max, frame_max, "frame-max agreed")
    round_trip(connection.create_channel, size, 3)
  end
end

scenario "negotiate_channel_max" do
  wanted = expected("negotiate_channel_max")["channel_max"]
  connected(channel_max: wanted) do |connection|
    same(connection.channel_max, wanted, "channel-max agreed")
    # Bunny's allocator gives out the numbers below channel-max.
    opened = Array.new(wanted - 1) { connection.create_channel }
    queue = temporary(opened.first)
    publish(opened.last, "x", queue)
    eventually_count(opened.first, queue, 1)
  end
end

# ---- refusals ----

scenario("error_login") { refused("error_login") { connect(pass: "wrong") } }
scenario("error_vhost") { refused("error_vhost") { connect(vhost: "nowhere") } }

{
  "error_queue_unknown" => ->(channel) { channel.queue_declare(unique("nowhere"), passive: true) },
  "error_get_unknown" => ->(channel) { channel.basic_get(unique("nowhere")) },
  "error_consume_unknown" => ->(channel) { channel.basic_consume(unique("nowhere")) { |*| } },
  "error_publish_unknown" => ->(channel) { publish(channel, "x", "", exchange: unique("nowhere")) },
  "error_bind_unknown" => ->(channel) { channel.queue_bind(temporary(channel), unique("nowhere"), routing_key: "k") },
  "error_delivery_tag" => ->(channel) { channel.basic_ack(7, false) },
  "error_queue_reserved" => ->(channel) { channel.queue_declare("amq.#{unique('queue')}") },
  "error_exchange_reserved" => ->(channel) { channel.exchange_declare("amq.#{unique('exchange')}", "direct") },
  "error_exchange_type" => ->(channel) { channel.exchange_declare(unique("exchange"), "nonesuch") },
  "error_consumer_tag" => lambda do |channel|
    queue = temporary(channel)
    2.times { channel.basic_consume(queue, "twice") { |*| } }
  end,
}.each do |name, action|
  scenario(name) { refused_on_channel(name, &action) }
end

scenario "error_queue_redeclare" do
  queue = unique("queue")
  refused_on_channel("error_queue_redeclare") do |channel|
    channel.queue_declare(queue, durable: false)
    channel.queue_declare(queue, durable: true)
  end
  with_channel { |channel| channel.queue_delete(queue) }
end

scenario "error_exchange_redeclare" do
  exchange = unique("exchange")
  refused_on_channel("error_exchange_redeclare") do |channel|
    channel.exchange_declare(exchange, "direct")
    channel.exchange_declare(exchange, "fanout")
  end
  with_channel { |channel| channel.exchange_delete(exchange) }
end

scenario "error_consume_exclusive" do
  connected do |connection|
    channel, other = connection.create_channel, connection.create_channel
    queue = temporary(channel)
    channel.basic_consume(queue, channel.generate_consumer_tag, false, true) { |*| }
    refused("error_consume_exclusive") { other.basic_consume(queue) { |*| } }
  end
end

scenario "error_queue_locked" do
  with_channel do |channel|
    queue = temporary(channel)
    refused_on_channel("error_queue_locked") { |other| other.queue_declare(queue, exclusive: true) }
  end
end

scenario "blocked" do
  count, reason = expected("blocked").values_at("count", "reason")
  told = Queue.new
  connected do |connection|
    connection.on_blocked { |method| told << method.reason }
    connection.on_unblocked { told << "unblocked" }
    channel = connection.create_channel
    queue = temporary(channel)
    count.times { |i| publish(channel, i, queue) }
    eventually("connection.blocked", timeout_s: 20) { !told.empty? }
    same(told.pop, reason, "the reason")
    puts "# blocked"
    $stdout.flush
    eventually("connection.unblocked", timeout_s: 60) { !told.empty? }
    same(told.pop, "unblocked", "said afterwards")
    eventually_count(channel, queue, count)
    same(got_all(channel, queue), (0...count).map(&:to_s), "messages")
  end
end

scenario "shutdown" do
  refused_on_channel("shutdown") do
    puts "# waiting"
    $stdout.flush
    sleep 60
  end
end

Harness.run
