/* SPDX-License-Identifier: Apache-2.0 */
#include <glob.h>

#include "config/loading_test.h"
#include "config/schema.h"

/* Two of them are too large for the stack. */
static struct config one, two;

/* The same but for where they came from. */
static bool same(struct config *a, struct config *b)
{
	memset(a->path, 0, sizeof(a->path));
	memset(b->path, 0, sizeof(b->path));
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void test_defaults(void)
{
	const struct config *c = &one;
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load(NULL, &one, err), 0);
	fclose(err);
	CU_ASSERT_STRING_EQUAL(memory, "");
	CU_ASSERT_STRING_EQUAL(c->path, "");
	CU_ASSERT_TRUE(c->lcores_auto);
	CU_ASSERT_EQUAL(c->lcore_count, 1);
	CU_ASSERT_EQUAL(c->idle, CONFIG_IDLE_ADAPTIVE);
	CU_ASSERT_EQUAL(c->idle_spin_us, 50);
	CU_ASSERT_STRING_EQUAL(c->user, "nobody");
	CU_ASSERT_EQUAL(c->persistent, CONFIG_PERSISTENT_WARN);
	CU_ASSERT_EQUAL(c->memory.message_bytes, UINT64_C(256) << 20);
	CU_ASSERT_EQUAL(c->memory.buffers, 16384);
	CU_ASSERT_EQUAL(c->port_count, 1);
	CU_ASSERT_STRING_EQUAL(c->ports[0].name, "godwit0");
	CU_ASSERT_EQUAL(c->ports[0].device_kind, CONFIG_DEVICE_TAP);
	CU_ASSERT_EQUAL(c->ports[0].host_address.address, 0xc6120001);
	CU_ASSERT_EQUAL(c->ports[0].address.address, 0xc6120002);
	CU_ASSERT_EQUAL(c->ports[0].address.prefix_bits, 30);
	CU_ASSERT_EQUAL(c->ports[0].mtu_bytes, 1500);
	CU_ASSERT_EQUAL(c->listener_count, 2);
	CU_ASSERT_EQUAL(c->listeners[0].transport, CONFIG_TRANSPORT_BYPASS);
	CU_ASSERT_EQUAL(config_address_ipv4(&c->listeners[0].address), 0xc6120002);
	CU_ASSERT_EQUAL(c->listeners[0].tcp_port, 5672);
	CU_ASSERT_EQUAL(c->listeners[1].transport, CONFIG_TRANSPORT_KERNEL);
	CU_ASSERT_EQUAL(config_address_ipv4(&c->listeners[1].address), 0x7f000001);
	CU_ASSERT_EQUAL(c->user_count, 0);
	CU_ASSERT_EQUAL(c->tcp.rto_us_min, 200000);
	CU_ASSERT_EQUAL(c->limits.frame_bytes_max, 131072);
	CU_ASSERT_EQUAL(c->limits.heartbeat_s, 60);
	CU_ASSERT_EQUAL(c->limits.messages, 8388608);
	CU_ASSERT_EQUAL(c->limits.consumer_timeout_us, UINT64_C(1800000000));
	CU_ASSERT_EQUAL(c->control.mode, 0660);
	CU_ASSERT_EQUAL(c->control.socket[0], '/');
	CU_ASSERT_EQUAL(c->log.level, LOG_LEVEL_INFO);
	CU_ASSERT_FALSE(c->log.eal);
}

static void test_nothing_said_is_the_defaults(void)
{
	static const char *const texts[] = {"{}", "# a comment\n", "---\n", "null\n", "tcp:\n",
		"\xef\xbb\xbf{}", "log:\r\n  level: info\r\n", "{log: {level: info}, tcp: {rto_min: 200ms}}",
		"--- # start\n...\n", "log: {level: info\n  }\n",
		"log:\n  level: info # comment\n\n\n\ntcp: # comment\n"};
	config_load(NULL, &one, stderr);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		load_good(&two, texts[i]);
		CU_ASSERT_TRUE(same(&one, &two));
	}
}

static void test_sample_is_the_defaults(void)
{
	config_load(NULL, &one, stderr);
	CU_ASSERT_EQUAL(config_load(CONFIG_FOLDER "/godwit.yaml", &two, stdout), 0);
	CU_ASSERT_STRING_EQUAL(strrchr(two.path, '/'), "/godwit.yaml");
	CU_ASSERT_EQUAL(two.path[0], '/');
	CU_ASSERT_TRUE(same(&one, &two));
	/* and it names every key that has a place of its own in it */
	char *text = file_text(CONFIG_FOLDER "/godwit.yaml");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		for (const struct schema_key *k = s->keys; k->name && strcmp(s->name, "users") != 0; k++) {
			char word[64];
			snprintf(word, sizeof(word), "%s:", k->name);
			CU_ASSERT_TRUE(k->type == SCHEMA_RESERVED || strstr(text, word));
		}
	}
	free(text);
}

static void round_trip(const char *name)
{
	FILE *out = memory_open();
	config_print(&one, out);
	fclose(out);
	char *printed = strdup(memory);
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load_text(name, printed, strlen(printed), &two, err), 0);
	fclose(err);
	CU_ASSERT_STRING_EQUAL(memory, "");
	free(printed);
	CU_ASSERT_TRUE(same(&one, &two));
	CU_ASSERT_EQUAL(config_diff(&one, &two, NULL, NULL), 0);
}

static void test_a_number_of_cores(void)
{
	load_good(&one, "lcores: 4");
	CU_ASSERT(one.lcores_auto && one.lcore_count == 4);
	round_trip("four");
	load_good(&one, "lcores: 1");
	CU_ASSERT(one.lcores_auto && one.lcore_count == 1);
	round_trip("one");
	load_good(&two, "lcores: 64");
	CU_ASSERT_EQUAL(two.lcore_count, 64);
	CU_ASSERT_EQUAL(config_diff(&one, &two, NULL, NULL), 1);
}

static void test_examples(void)
{
	glob_t found;
	CU_ASSERT_EQUAL_FATAL(glob(CONFIG_FOLDER "/examples/*.yaml", 0, NULL, &found), 0);
	CU_ASSERT_TRUE(found.gl_pathc >= 3);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *err = memory_open();
		CU_ASSERT_EQUAL(config_load(found.gl_pathv[i], &one, err), 0);
		fclose(err);
		CU_ASSERT_STRING_EQUAL(memory, "");
		if (one.user_count == 0) /* users are printed as comments */
			round_trip(found.gl_pathv[i]);
	}
	globfree(&found);
}

static void test_everything_set(void)
{
	load_good(&one,
		"lcores: [7, 1023, 0]\nidle: pause\nidle_spin: 1ms\nuser: godwit\npersistent: refuse\n"
		"memory: {hugepages: on, lock: off, messages: 1T, buffers: 4194304, socket_buffers: 64}\n"
		"ports:\n"
		"  - {name: lan0, device: \"0000:0a:1f.7\", address: 10.1.2.3/8, gateway: 10.0.0.1,\n"
		"     mtu: 9000, mac: 02:00:00:00:00:FF, rx_descriptors: 64, tx_descriptors: 4096, vlan: "
		"4094,\n"
		"     addresses: [10.1.2.4/8, \"2001:db8::10/64\"], gateway6: \"2001:db8::1\", "
		"tso: true, probe: true, rx_free_threshold: 64, tx_free_threshold: 96, tx_rs_threshold: "
		"2048}\n"
		"  - {name: tap9, device: tap, host_address: 192.0.2.1/24, address: 192.0.2.2/24, "
		"checksum_offload: false, tx_offload: false}\n"
		"listeners:\n"
		"  - {name: b, transport: bypass, port: tap9, tcp_port: 1, congestion: newreno, rto_min: "
		"2ms,\n"
		"     delayed_ack: 1ms, nodelay: true, keepalive: 1h, user_timeout: 100ms,\n"
		"     allow: [10.0.0.0/8, \"2001:db8::/32\", 0.0.0.0/0], deny: [10.1.1.1, \"::1\"]}\n"
		"  - {name: a, transport: bypass, port: lan0, address: 10.1.2.3, tcp_port: 65535}\n"
		"  - {name: k6, transport: kernel, address: '::1'}\n"
		"tcp: {rx_buffer: 64M, tx_buffer: 16K, rto_min: 1ms, delayed_ack: 0, keepalive: 2h, "
		"congestion: none, ecn: on, nodelay: false, user_timeout: 30s, sack: false, timestamps: "
		"false, initial_window: "
		"64,\n"
		"      syn_backlog: 7, syn_cookies: never, time_wait: 1ms, time_wait_max: 5,\n"
		"      challenge_acks: 9, challenge_interval: 2s, busy_poll: 50us}\n"
		"limits: {connections: 1, channels: 2047, frame_max: 4096, message_size: 4G,\n"
		"         heartbeat: 0, handshake_timeout: 10min, consumer_timeout: 0, queues: 1, exchanges: "
		"16, bindings: 16,\n"
		"         consumers: 1, messages: 1073741824}\n"
		"control: {socket: /tmp/a b, mode: 600}\n"
		"log: {level: debug, target: syslog, eal: true}\n");
	CU_ASSERT(!one.lcores_auto && one.lcore_count == 3);
	CU_ASSERT(one.lcores[0] == 7 && one.lcores[1] == 1023 && one.lcores[2] == 0);
	CU_ASSERT_EQUAL(one.persistent, CONFIG_PERSISTENT_REFUSE);
	CU_ASSERT_EQUAL(one.limits.consumer_timeout_us, 0);
	CU_ASSERT_EQUAL(one.memory.message_bytes, UINT64_C(1) << 40);
	CU_ASSERT_EQUAL(one.ports[0].device_kind, CONFIG_DEVICE_PCI);
	CU_ASSERT_EQUAL(one.ports[0].gateway, 0x0a000001);
	CU_ASSERT_TRUE(one.ports[0].mac_set);
	CU_ASSERT_EQUAL(one.ports[0].mac[5], 0xff);
	CU_ASSERT_EQUAL(one.ports[0].host_address.prefix_bits, 0);
	CU_ASSERT(one.ports[0].vlan == 4094 && one.ports[0].checksum_offload && one.ports[0].tx_offload &&
		  one.ports[0].tso && one.ports[0].probe);
	CU_ASSERT(one.ports[0].rx_free_threshold == 64 && one.ports[0].tx_free_threshold == 96 &&
		  one.ports[0].tx_rs_threshold == 2048 && one.ports[1].tx_rs_threshold == 0);
	CU_ASSERT(one.ports[0].addresses.count == 2 && one.ports[0].addresses.entry[0].bits == 8);
	CU_ASSERT(one.ports[0].gateway6.address.version == 6 && !one.ports[0].gateway6.automatic);
	CU_ASSERT(one.ports[1].vlan == 0 && !one.ports[1].checksum_offload && !one.ports[1].tx_offload &&
		  !one.ports[1].tso && !one.ports[1].probe && one.ports[1].gateway6.automatic);
	CU_ASSERT_EQUAL(one.listeners[0].port_index, 1);
	CU_ASSERT_EQUAL(config_address_ipv4(&one.listeners[0].address), 0xc0000202);
	CU_ASSERT_EQUAL(one.listeners[1].tcp_port, 65535);
	CU_ASSERT_EQUAL(one.listeners[2].address.version, 6);
	CU_ASSERT_EQUAL(one.listeners[2].address.bytes[15], 1);
	CU_ASSERT_EQUAL(one.tcp.keepalive_us, UINT64_C(7200000000));
	CU_ASSERT_EQUAL(one.tcp.congestion, CONFIG_CONGESTION_NONE);
	CU_ASSERT_EQUAL(one.tcp.ecn, CONFIG_ECN_ON);
	CU_ASSERT_EQUAL(one.tcp.busy_poll_us, 50);
	CU_ASSERT(!one.tcp.nodelay && !one.tcp.sack && !one.tcp.timestamps &&
		  one.tcp.user_timeout_us == 30000000);
	CU_ASSERT(one.tcp.initial_window_segments == 64 && one.tcp.syn_backlog == 7);
	CU_ASSERT(one.tcp.syn_cookies == CONFIG_SYN_COOKIES_NEVER && one.tcp.time_wait_us == 1000);
	CU_ASSERT_EQUAL(one.tcp.time_wait_max, 5);
	CU_ASSERT(one.tcp.challenge_acks_per_s == 9 && one.tcp.challenge_interval_us == 2000000);
	const struct config_listener *own = &one.listeners[0], *same_as_tcp = &one.listeners[1];
	CU_ASSERT(own->congestion == CONFIG_CONGESTION_NEWRENO && own->rto_us_min == 2000 && own->nodelay);
	CU_ASSERT(own->delayed_ack_us == 1000 && own->keepalive_us == UINT64_C(3600000000));
	CU_ASSERT(own->user_timeout_us == 100000 && own->allow.count == 3 && own->deny.count == 2);
	CU_ASSERT(own->allow.entry[1].bits == 32 && own->allow.entry[1].address.version == 6);
	CU_ASSERT(own->allow.entry[2].bits == 0 && own->deny.entry[0].bits == 32 &&
		  own->deny.entry[1].bits == 128);
	CU_ASSERT(same_as_tcp->congestion == CONFIG_CONGESTION_NONE && same_as_tcp->rto_us_min == 1000);
	CU_ASSERT(same_as_tcp->delayed_ack_us == 0 && !same_as_tcp->nodelay);
	CU_ASSERT(same_as_tcp->keepalive_us == one.tcp.keepalive_us && same_as_tcp->allow.count == 0);
	CU_ASSERT_EQUAL(same_as_tcp->user_timeout_us, 30000000);
	CU_ASSERT_EQUAL(one.listeners[2].rto_us_min, 0);
	CU_ASSERT_EQUAL(one.limits.message_bytes_max, UINT64_C(4) << 30);
	CU_ASSERT_EQUAL(one.limits.heartbeat_s, 0);
	CU_ASSERT_STRING_EQUAL(one.control.socket, "/tmp/a b");
	CU_ASSERT_FALSE(one.control.socket_auto);
	CU_ASSERT_EQUAL(one.control.mode, 0600);
	round_trip("everything");
}

static void test_lists_replace_the_defaults(void)
{
	/* ports alone: a listener on each, and the kernel's */
	load_good(&one, "ports:\n  - {name: a, device: net_null0, address: 192.0.2.1/24}\n"
			"  - {name: b, device: net_null1, address: 198.51.100.1/24}\n");
	CU_ASSERT_EQUAL(one.port_count, 2);
	CU_ASSERT_EQUAL(one.ports[0].device_kind, CONFIG_DEVICE_VDEV);
	CU_ASSERT_EQUAL(one.listener_count, 3);
	CU_ASSERT_EQUAL(one.listeners[1].port_index, 1);
	CU_ASSERT_STRING_EQUAL(one.listeners[1].name, "bypass-b");
	/* listeners alone: the TAP stays where one is on it, and goes where none is */
	load_good(&one, "listeners:\n  - {name: a, transport: bypass}\n");
	CU_ASSERT_EQUAL(one.port_count, 1);
	CU_ASSERT_EQUAL(one.listener_count, 1);
	load_good(&one, "listeners:\n  - {name: a, transport: kernel}\n");
	CU_ASSERT_EQUAL(one.port_count, 0);
	load_good(&one, "ports: []\n");
	CU_ASSERT_EQUAL(one.listener_count, 1);
}

static void test_addresses(void)
{
	struct config_prefix a;

	/* the first IPv4 address of a list is the main one; a listener stands there */
	load_good(&one,
		"ports:\n  - {name: a, device: net_null0, addresses: [\"fd00::1/64\", 10.0.0.1/24, "
		"10.0.1.1/24], gateway: 10.0.1.254, gateway6: none}\n"
		"  - {name: b, device: net_null1, addresses: [\"fd01::1/64\"], gateway6: \"fe80::1\"}\n");
	CU_ASSERT_EQUAL(one.ports[0].address.address, 0x0a000001);
	CU_ASSERT_EQUAL(one.ports[0].addresses.count, 2);
	CU_ASSERT(config_port_address(&one.ports[0], 0, &a) && a.bits == 24 && a.address.bytes[3] == 1);
	CU_ASSERT(config_port_address(&one.ports[0], 1, &a) && a.bits == 64 && a.address.version == 6);
	CU_ASSERT(config_port_address(&one.ports[0], 2, &a) && a.address.bytes[2] == 1);
	CU_ASSERT(!config_port_address(&one.ports[0], 3, &a));
	CU_ASSERT_EQUAL(config_address_ipv4(&one.listeners[0].address), 0x0a000001);
	CU_ASSERT(!one.ports[0].gateway6.automatic && one.ports[0].gateway6.address.version == 0);
	/* IPv6 alone */
	CU_ASSERT_EQUAL(one.ports[1].address.prefix_bits, 0);
	CU_ASSERT(config_port_address(&one.ports[1], 0, &a) && !config_port_address(&one.ports[1], 1, &a));
	CU_ASSERT(one.listeners[1].address.version == 6 && one.listeners[1].address.bytes[15] == 1);
	round_trip("addresses");
	/* a TAP keeps its own two beside more of them; a listener on all, and one on another */
	load_good(&one, "ports:\n  - {device: tap, addresses: [\"fd00::1/64\"]}\n"
			"listeners:\n  - {name: a, transport: bypass, address: \"::\"}\n"
			"  - {name: b, transport: bypass, address: \"fd00::1\", tcp_port: 1}\n");
	CU_ASSERT(one.ports[0].address.address == 0xc6120002 && one.ports[0].addresses.count == 1);
	CU_ASSERT(config_address_is_any(&one.listeners[0].address));
	round_trip("addresses");
}

static void test_users(void)
{
	static const char hash[] =
		"$6$rounds=5000$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaa";
	char text[400];
	snprintf(text, sizeof(text),
		"users:\n  - {name: \"M\xc3\xbcller #1\", password: 'p: \"x'}\n  - name: b\n"
		"    password_hash: '%s'\n",
		hash);
	load_good(&one, text);
	CU_ASSERT_EQUAL(one.user_count, 2);
	CU_ASSERT_STRING_EQUAL(one.users[0].name, "M\xc3\xbcller #1");
	CU_ASSERT_STRING_EQUAL(one.users[0].password, "p: \"x");
	CU_ASSERT_STRING_EQUAL(one.users[1].password, "");
	CU_ASSERT_STRING_EQUAL(one.users[1].password_hash, hash);
	FILE *out = memory_open();
	config_print(&one, out);
	fclose(out);
	CU_ASSERT_PTR_NULL(strstr(memory, "p: "));
	CU_ASSERT_PTR_NULL(strstr(memory, "rounds"));
	CU_ASSERT_PTR_NOT_NULL(strstr(memory, "# users: 2 configured; their secrets are not printed\n"
					      "#  - name: \"M\xc3\xbcller #1\"\n#    password: \"***\"\n"));
	char *printed = strdup(memory);
	CU_ASSERT_EQUAL(load(&two, printed), 0);
	free(printed);
	CU_ASSERT_EQUAL(two.user_count, 0);
}

static void test_reference(void)
{
	char *committed = file_text(CONFIG_FOLDER "/REFERENCE.md");
	CU_ASSERT_PTR_NOT_NULL_FATAL(committed);
	FILE *out = memory_open();
	config_reference(out);
	fclose(out);
	/* build/config/config_reference >config/REFERENCE.md puts it right */
	CU_ASSERT_STRING_EQUAL(committed, memory);
	free(committed);
}

/* The table itself: each default is allowed, each range fits its field, each key is told about. */
static void test_schema(void)
{
	static char entry[sizeof(struct config)];
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		CU_ASSERT_TRUE(s->help && (!s->list || s->note));
		for (const struct schema_key *k = s->keys; k->name; k++) {
			char allowed[SCHEMA_ALLOWED_BYTES];
			CU_ASSERT_TRUE(k->help && k->help[strlen(k->help) - 1] == '.');
			CU_ASSERT_TRUE(strlen(schema_allowed(k, allowed)) < sizeof(allowed) - 1);
			CU_ASSERT_TRUE(k->type == SCHEMA_RESERVED || k->required || k->initial || k->note);
			CU_ASSERT_PTR_EQUAL(schema_key(s, k->name), k);
			if (k->initial && k->type != SCHEMA_CPUS)
				CU_ASSERT_PTR_NULL(schema_store(k, entry, k->initial, strlen(k->initial)));
			if (k->type == SCHEMA_DURATION)
				CU_ASSERT_FATAL(k->unit > 0);
			uint64_t max = k->type == SCHEMA_DURATION ? k->max / k->unit : k->max;
			CU_ASSERT_TRUE(k->size >= 8 || max >> (8 * k->size) == 0);
		}
	}
}

static void test_nearest(void)
{
	static const char *const words[] = {"rx_buffer", "tx_buffer", "rto_min", NULL};
	CU_ASSERT_EQUAL(schema_distance("", "abc"), 3);
	CU_ASSERT_EQUAL(schema_distance("abc", "abc"), 0);
	CU_ASSERT_EQUAL(schema_distance("acb", "abc"), 1);
	CU_ASSERT_EQUAL(schema_distance("kitten", "sitting"), 3);
	CU_ASSERT_STRING_EQUAL(schema_nearest("rxbuffer", words), "rx_buffer");
	CU_ASSERT_STRING_EQUAL(schema_nearest("rto-min", words), "rto_min");
	CU_ASSERT_PTR_NULL(schema_nearest("keepalive", words));
	CU_ASSERT_PTR_NULL(schema_nearest("", words));
}

static void say(void *ctx, const struct config_change *change)
{
	fprintf(ctx, "%c %s | %s\n", change->reloadable ? '+' : '-', change->key, change->text);
}

static void test_diff_and_reload(void)
{
	load_good(&one, "users:\n  - {name: a, password: x}\n  - {name: b, password: y}\n");
	load_good(&two,
		"idle: poll\nlog: {level: debug}\nlimits: {message_size: 64M, queues: 10, heartbeat: 0}\n"
		"ports:\n  - {device: tap, mtu: 9000, gateway: 198.18.0.1}\n"
		"listeners:\n  - {name: k, transport: kernel, tcp_port: 5673}\n  - {name: b, transport: "
		"bypass}\n"
		"control: {socket: /a}\n"
		"users:\n  - {name: b, password: z}\n  - {name: c, password: x}\n");
	FILE *out = memory_open();
	unsigned changes = config_diff(&one, &two, say, out);
	fclose(out);
	static const char expected[] =
		"- idle | idle: adaptive -> poll: needs a restart\n"
		"- ports[0].gateway | ports[0].gateway: none -> 198.18.0.1: needs a restart\n"
		"- ports[0].mtu | ports[0].mtu: 1500 -> 9000: needs a restart\n"
		"- listeners[0].name | listeners[0].name: bypass-godwit0 -> k: needs a restart\n"
		"- listeners[0].transport | listeners[0].transport: bypass -> kernel: needs a restart\n"
		"- listeners[0].port | listeners[0].port: godwit0 -> not set: needs a restart\n"
		"- listeners[0].address | listeners[0].address: 198.18.0.2 -> 127.0.0.1: needs a restart\n"
		"- listeners[0].tcp_port | listeners[0].tcp_port: 5672 -> 5673: needs a restart\n"
		"- listeners[0].congestion | listeners[0].congestion: cubic -> not set: needs a restart\n"
		"- listeners[0].rto_min | listeners[0].rto_min: 200ms -> not set: needs a restart\n"
		"- listeners[0].delayed_ack | listeners[0].delayed_ack: 200ms -> not set: needs a restart\n"
		"- listeners[0].nodelay | listeners[0].nodelay: true -> not set: needs a restart\n"
		"- listeners[0].keepalive | listeners[0].keepalive: 0 -> not set: needs a restart\n"
		"- listeners[0].user_timeout | listeners[0].user_timeout: 300s -> not set: needs a restart\n"
		"- listeners[1].name | listeners[1].name: kernel -> b: needs a restart\n"
		"- listeners[1].transport | listeners[1].transport: kernel -> bypass: needs a restart\n"
		"- listeners[1].port | listeners[1].port: not set -> godwit0: needs a restart\n"
		"- listeners[1].address | listeners[1].address: 127.0.0.1 -> 198.18.0.2: needs a restart\n"
		"- listeners[1].congestion | listeners[1].congestion: not set -> cubic: needs a restart\n"
		"- listeners[1].rto_min | listeners[1].rto_min: not set -> 200ms: needs a restart\n"
		"- listeners[1].delayed_ack | listeners[1].delayed_ack: not set -> 200ms: needs a restart\n"
		"- listeners[1].nodelay | listeners[1].nodelay: not set -> true: needs a restart\n"
		"- listeners[1].keepalive | listeners[1].keepalive: not set -> 0: needs a restart\n"
		"- listeners[1].user_timeout | listeners[1].user_timeout: not set -> 300s: needs a restart\n"
		"+ limits.message_size | limits.message_size: 128M -> 64M\n"
		"+ limits.heartbeat | limits.heartbeat: 60s -> 0\n"
		"- limits.queues | limits.queues: 65536 -> 10: needs a restart\n"
		"+ users | users: changed b, added c, removed a\n"
		"- control.socket | control.socket: auto -> /a: needs a restart\n"
		"+ log.level | log.level: info -> debug\n";
	if (strcmp(memory, expected) != 0)
		printf("# %s", memory);
	CU_ASSERT_STRING_EQUAL(memory, expected);
	CU_ASSERT_EQUAL(changes, 30);

	config_reload(&one, &two);
	CU_ASSERT_EQUAL(one.log.level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(one.limits.message_bytes_max, 64 << 20);
	CU_ASSERT_EQUAL(one.limits.queues, 65536);
	CU_ASSERT_EQUAL(one.user_count, 2);
	CU_ASSERT_STRING_EQUAL(one.users[1].name, "c");
	out = memory_open();
	CU_ASSERT_EQUAL(config_diff(&one, &two, say, out), changes - 4);
	fclose(out);
	CU_ASSERT_PTR_NULL(strchr(memory, '+'));

	load_good(&two, "ports: []\n");
	out = memory_open();
	config_diff(&one, &two, say, out);
	fclose(out);
	CU_ASSERT_PTR_NOT_NULL(strstr(memory, "- ports | ports: 1 -> 0 entries: needs a restart\n"));
}

static void difference(unsigned changes, const char *expected)
{
	FILE *out = memory_open();
	CU_ASSERT_EQUAL(config_diff(&one, &two, say, out), changes);
	fclose(out);
	if (strcmp(memory, expected) != 0)
		printf("# %s", memory);
	CU_ASSERT_STRING_EQUAL(memory, expected);
}

#define TWO_USERS "users:\n  - {name: a, password: x}\n  - {name: b, password: y}\n"
#define MAY(rest) "permissions:\n  - {user: a, vhost: v, " rest "}\n"

/* Permissions change while the broker runs, whatever of them does, and say no pattern; virtual hosts do not.
 */
static void test_diff_of_permissions(void)
{
	static const char base[] = TWO_USERS "vhosts:\n  - name: v\n  - name: w\n" MAY("read: q");
	static const char *const others[] = {MAY("read: r"), MAY("read: q, write: e"), MAY("configure: q"),
		MAY("read: q") "  - {user: b, vhost: v}\n", "permissions: []\n", "",
		"permissions:\n  - {user: a, vhost: w, read: q}\n",
		"permissions:\n  - {user: b, vhost: v, read: q}\n"};
	char text[400];

	load_good(&two, base);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		load_good(&one, base);
		snprintf(text, sizeof(text), TWO_USERS "vhosts:\n  - name: v\n  - name: w\n%s", others[i]);
		load_good(&two, text);
		difference(1, "+ permissions | permissions: changed\n");
		config_reload(&one, &two);
		CU_ASSERT_EQUAL(one.permission_count, two.permission_count);
		CU_ASSERT_EQUAL(memcmp(one.permissions, two.permissions, sizeof(one.permissions)), 0);
		difference(0, "");
	}
}

static void test_diff_of_virtual_hosts(void)
{
	load_good(&one, TWO_USERS "vhosts:\n  - name: v\n  - name: w\n" MAY("read: q"));
	/* their order is theirs: it is no set */
	load_good(&two, TWO_USERS "vhosts:\n  - name: v\n  - name: x\n" MAY("read: q"));
	difference(1, "- vhosts[1].name | vhosts[1].name: w -> x: needs a restart\n");
	load_good(&two, TWO_USERS "vhosts:\n  - name: v\n" MAY("read: q"));
	difference(1, "- vhosts | vhosts: 2 -> 1 entries: needs a restart\n");
	/* a permission in one that is not there yet is taken, and waits for the restart */
	load_good(&two, TWO_USERS "vhosts:\n  - name: v\n  - name: w\n  - name: x\n" MAY(
				"read: q") "  - {user: b, vhost: x}\n");
	difference(2, "- vhosts | vhosts: 2 -> 3 entries: needs a restart\n"
		      "+ permissions | permissions: changed\n");
	config_reload(&one, &two);
	CU_ASSERT_EQUAL(one.vhost_count, 2);
	CU_ASSERT_EQUAL(one.permission_count, 2);
	difference(1, "- vhosts | vhosts: 2 -> 3 entries: needs a restart\n");
	/* as many, and the default one by its name */
	load_good(&one, "{}");
	load_good(&two, "vhosts:\n  - name: /\n");
	CU_ASSERT(one.vhost_count == 0 && two.vhost_count == 1);
	difference(1, "- vhosts | vhosts: 0 -> 1 entries: needs a restart\n");
}

static void test_permissions(void)
{
	load_good(&one, TWO_USERS
		"vhosts:\n  - name: v\n  - name: \"a b\"\npermissions:\n"
		"  - {user: b, vhost: a b, configure: '^$', write: \"'\\\\d\"}\n  - {user: b, vhost: v}\n"
		"  - {user: a, vhost: v, read: .*}\n");
	CU_ASSERT(one.vhost_count == 2 && one.permission_count == 3);
	CU_ASSERT_STRING_EQUAL(one.vhosts[1].name, "a b");
	CU_ASSERT_STRING_EQUAL(one.permissions[0].user, "b");
	CU_ASSERT_STRING_EQUAL(one.permissions[0].vhost, "a b");
	CU_ASSERT_STRING_EQUAL(one.permissions[0].configure, "^$");
	CU_ASSERT_STRING_EQUAL(one.permissions[0].write, "'\\d");
	CU_ASSERT_STRING_EQUAL(one.permissions[0].read, "");
	CU_ASSERT_STRING_EQUAL(one.permissions[2].read, ".*");
	FILE *out = memory_open();
	config_print(&one, out);
	fclose(out);
	char *printed = strdup(memory), *at = strstr(printed, "# permissions:");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(printed, "\nvhosts:\n  - name: v\n  - name: \"a b\"\n# permissions:\n"
				"#  - user: b\n#    vhost: \"a b\"\n#    configure: \"^$\"\n"));
	load_good(&two, printed);
	CU_ASSERT(two.vhost_count == 2 && two.permission_count == 0);
	/* whoever takes the comments away, and has the users, has what was printed */
	memmove(at, at + 2, strlen(at + 2) + 1);
	while ((at = strstr(at, "\n#")))
		memmove(at + 1, at + 2, strlen(at + 2) + 1);
	at = malloc(sizeof(TWO_USERS) + strlen(printed));
	strcat(strcpy(at, TWO_USERS), strstr(printed, "vhosts:"));
	load_good(&two, at);
	CU_ASSERT_EQUAL(two.permission_count, 3);
	CU_ASSERT_EQUAL(memcmp(one.permissions, two.permissions, sizeof(one.permissions)), 0);
	free(at);
	free(printed);
	/* none said: what there is, is / and guest */
	load_good(&one, "permissions:\n  - {user: guest, vhost: /, read: q}\n");
	CU_ASSERT(one.vhost_count == 0 && one.permission_count == 1);
}

/* As many as there is room for, and one more. */
static void test_many_virtual_hosts(void)
{
	size_t bytes = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &bytes);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	fputs("vhosts:\n", out);
	for (unsigned i = 0; i < CONFIG_VHOSTS_MAX; i++)
		fprintf(out, "  - name: v%u\n", i);
	fflush(out);
	load_good(&one, text);
	CU_ASSERT_EQUAL(one.vhost_count, CONFIG_VHOSTS_MAX);
	CU_ASSERT_STRING_EQUAL(one.vhosts[CONFIG_VHOSTS_MAX - 1].name, "v255");
	round_trip("many");
	fputs("  - name: one more\n", out);
	fclose(out);
	CU_ASSERT_EQUAL(load(&two, text), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(memory, "error: vhosts: found 257 entries; allowed: at most 256\n"));
	free(text);
}

static void test_drop(void)
{
	static const char text[] =
		"ports:\n"
		"  - {name: t0, device: tap, host_address: 192.0.2.1/24, address: 192.0.2.2/24}\n"
		"  - {name: n0, device: net_null0, address: 198.51.100.1/24}\n"
		"  - {name: t1, device: tap, host_address: 203.0.113.1/24, address: 203.0.113.2/24}\n"
		"  - {name: n1, device: net_null1, address: 198.18.0.1/24}\n";
	load_good(&one, text);
	CU_ASSERT_EQUAL(one.listener_count, 5);
	CU_ASSERT_EQUAL(config_drop_taps(&one), 3);
	CU_ASSERT_EQUAL(one.port_count, 2);
	CU_ASSERT_STRING_EQUAL(one.ports[1].name, "n1");
	CU_ASSERT_EQUAL(one.listeners[0].port_index, 0);
	CU_ASSERT_EQUAL(one.listeners[1].port_index, 1);
	CU_ASSERT_STRING_EQUAL(one.listeners[1].name, "bypass-n1");
	round_trip("dropped");
	CU_ASSERT_EQUAL(config_drop_kernel(&one), 2);
	CU_ASSERT_EQUAL(config_drop_taps(&one), 2);
	round_trip("dropped");
	load_good(&one, "{}");
	config_drop_taps(&one);
	round_trip("dropped");
	CU_ASSERT_EQUAL(config_drop_kernel(&one), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"defaults", test_defaults},
		{"nothing said is the defaults", test_nothing_said_is_the_defaults},
		{"sample is the defaults", test_sample_is_the_defaults},
		{"examples", test_examples},
		{"a number of cores", test_a_number_of_cores},
		{"everything set", test_everything_set},
		{"lists replace the defaults", test_lists_replace_the_defaults},
		{"addresses of a port", test_addresses},
		{"users", test_users},
		{"reference", test_reference},
		{"schema", test_schema},
		{"nearest", test_nearest},
		{"diff and reload", test_diff_and_reload},
		{"diff of permissions", test_diff_of_permissions},
		{"diff of virtual hosts", test_diff_of_virtual_hosts},
		{"permissions", test_permissions},
		{"many virtual hosts", test_many_virtual_hosts},
		{"drop", test_drop},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	free(memory);
	return rc;
}
