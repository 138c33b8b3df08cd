/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9293 section 3.10.7, cell by cell: every state against every kind of segment, at every place around the
 * receive window and with every kind of acknowledgement. The tables say what the RFC wants, with RFC 5961's
 * answers to blind attacks and RFC 1337's to resets in TIME-WAIT. A cell is an answer:
 *
 *   .  none     A  an ACK, RCV.NXT as it was     T  an ACK of the whole segment
 *   R  <SEQ=SEG.ACK><CTL=RST>     r  <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>     S  our SYN, with an ACK
 *
 * and the state that follows, where it is another one. */
#include "tcpstack/peer_fixture.h"

enum { COLUMNS = 8, WINDOW_BYTES = 10000, DATA_BYTES = 10, FAR = 20000 };

struct row {
	const char *states, *kinds, *cells;
};

/* Where the segment lies: far below the window, right below it, across its left edge (segments without text:
 * right below), at RCV.NXT, inside, at the last octet, at the right edge, far above. ACK is SND.UNA, or what
 * acknowledges our SYN. An ACK alone is accepted at the right edge too: a peer whose full window was lost
 * sends it from there. */
static const struct row by_sequence[] = {
	{"ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK", "SYN SYN-ACK", "A A A A A A A A"},
	{"ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK", "RST RST-ACK",
		". . . .>none A A . ."},
	{"ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT", "ACK", "A A A . . . . A"},
	{"ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT", "no-ACK",
		"A A . . . . A A"},
	{"ESTABLISHED FIN-WAIT-1 FIN-WAIT-2", "text URG", "A A T T A A A A"},
	{"ESTABLISHED", "FIN", "A A A T>CLOSE-WAIT A A A A"},
	{"ESTABLISHED", "text-FIN", "A A T>CLOSE-WAIT T>CLOSE-WAIT A A A A"},
	{"FIN-WAIT-1", "FIN", "A A A T>CLOSING A A A A"},
	{"FIN-WAIT-1", "text-FIN", "A A T>CLOSING T>CLOSING A A A A"},
	{"FIN-WAIT-2", "FIN", "A A A T>TIME-WAIT A A A A"},
	{"FIN-WAIT-2", "text-FIN", "A A T>TIME-WAIT T>TIME-WAIT A A A A"},
	/* Behind the peer's FIN nothing is taken. */
	{"CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT", "text URG FIN text-FIN", "A A A A A A A A"},
	{"TIME-WAIT", "SYN",
		"A A A S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED"},
	{"TIME-WAIT", "SYN-ACK", "A A A A A A A A"},
	{"TIME-WAIT", "RST RST-ACK", ". . . . . . . ."},
	/* By a passive open: a SYN in the window leads back to LISTEN. */
	{"SYN-RECEIVED", "SYN", "A S S .>none .>none .>none A A"},
	{"SYN-RECEIVED", "SYN-ACK", "A A A .>none .>none .>none A A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "RST RST-ACK", ". . . .>none A A . ."},
	{"SYN-RECEIVED SYN-RECEIVED-active", "ACK",
		"A A A .>ESTABLISHED .>ESTABLISHED .>ESTABLISHED .>ESTABLISHED A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "no-ACK", "A A . . . . A A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "text URG",
		"A A T>ESTABLISHED T>ESTABLISHED A>ESTABLISHED A>ESTABLISHED A A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "FIN", "A A A T>CLOSE-WAIT A>ESTABLISHED A>ESTABLISHED A A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "text-FIN",
		"A A T>CLOSE-WAIT T>CLOSE-WAIT A>ESTABLISHED A>ESTABLISHED A A"},
	{"SYN-RECEIVED-active", "SYN", "A S S A A A A A"},
	{"SYN-RECEIVED-active", "SYN-ACK", "A A A A A A A A"},
};

/* What it acknowledges: longer ago than any window, below SND.UNA, SND.UNA, between, SND.NXT, beyond it. The
 * segment lies at RCV.NXT. */
static const struct row by_acknowledgement[] = {
	{"ESTABLISHED CLOSE-WAIT FIN-WAIT-2", "ACK", "A . . . . A"},
	{"FIN-WAIT-1", "ACK", "A . . . .>FIN-WAIT-2 A"},
	{"CLOSING", "ACK", "A . . . .>TIME-WAIT A"},
	{"LAST-ACK", "ACK", "A . . . .>none A"},
	{"TIME-WAIT", "ACK", ". . . . . ."},
	{"ESTABLISHED FIN-WAIT-2", "text URG", "A T T T T A"},
	{"FIN-WAIT-1", "text URG", "A T T T T>FIN-WAIT-2 A"},
	{"CLOSE-WAIT TIME-WAIT", "text URG FIN text-FIN", "A A A A A A"},
	{"CLOSING", "text URG FIN text-FIN", "A A A A .>TIME-WAIT A"},
	{"LAST-ACK", "text URG FIN text-FIN", "A A A A .>none A"},
	{"ESTABLISHED", "FIN text-FIN", "A T>CLOSE-WAIT T>CLOSE-WAIT T>CLOSE-WAIT T>CLOSE-WAIT A"},
	{"FIN-WAIT-1", "FIN text-FIN", "A T>CLOSING T>CLOSING T>CLOSING T>TIME-WAIT A"},
	{"FIN-WAIT-2", "FIN text-FIN", "A T>TIME-WAIT T>TIME-WAIT T>TIME-WAIT T>TIME-WAIT A"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "ACK", "R R R R .>ESTABLISHED R"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "text URG", "R R R R T>ESTABLISHED R"},
	{"SYN-RECEIVED SYN-RECEIVED-active", "FIN text-FIN", "R R R R T>CLOSE-WAIT R"},
	{"SYN-SENT", "SYN-ACK", "R R R R T>ESTABLISHED R"},
	{"SYN-SENT", "RST-ACK", ". . . . .>none ."},
	{"SYN-SENT", "ACK text URG FIN text-FIN", "R R R R . R"},
	{"SYN-SENT", "RST no-ACK", ". . . . . ."},
	{"SYN-SENT", "SYN",
		"S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED "
		"S>SYN-RECEIVED"},
	{"LISTEN", "SYN",
		"S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED S>SYN-RECEIVED "
		"S>SYN-RECEIVED"},
	{"CLOSED LISTEN", "RST RST-ACK", ". . . . . ."},
	{"CLOSED LISTEN", "SYN-ACK ACK text URG FIN text-FIN", "R R R R R R"},
	{"LISTEN", "no-ACK", ". . . . . ."},
	{"CLOSED", "SYN no-ACK", "r r r r r r"},
};

static const struct kind {
	const char *name;
	uint8_t flags;
	uint32_t len;
} kinds[] = {
	{"SYN", TCP_SYN, 0},
	{"SYN-ACK", TCP_SYN | TCP_ACK, 0},
	{"RST", TCP_RST, 0},
	{"RST-ACK", TCP_RST | TCP_ACK, 0},
	{"ACK", TCP_ACK, 0},
	{"no-ACK", TCP_PSH, DATA_BYTES},
	{"text", TCP_ACK | TCP_PSH, DATA_BYTES},
	{"URG", TCP_ACK | TCP_URG, DATA_BYTES},
	{"FIN", TCP_ACK | TCP_FIN, 0},
	{"text-FIN", TCP_ACK | TCP_FIN, DATA_BYTES},
};

static struct segment_base base;
static struct segment said; /* the last that the peer heard */
static struct tcp_conn *conn;
static unsigned heard;
static uint16_t stack_port;

static void hear(const uint8_t *p, uint32_t n)
{
	const char *broken = NULL;

	if (segment_from_frame(&said, &base, p, n, &broken)) {
		heard++;
		stack_port = said.stack_port;
	}
	CU_ASSERT_PTR_NULL(broken);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	conn = c;
}

static const struct tcp_app app = {.accepted = on_accepted};

static void segment_input(uint8_t flags, int64_t seq, int64_t ack, uint32_t len)
{
	struct segment g = px_segment(flags, seq, ack, len);

	g.urg = flags & TCP_URG ? 5 : 0;
	g.stack_port = stack_port;
	px_send(&g, &base);
	stack_output(px_stack, px_now_us);
}

static void begin(void)
{
	px_pools(64, 64);
	struct stack_config c = px_config(hear);

	c.conn_max = c.syn_backlog_max = c.time_wait_max = 4;
	c.reass_segments_max = 16;
	c.tx_segments_max = 64;
	c.rx_buffer_bytes = WINDOW_BYTES;
	c.delayed_ack_us = 0;
	base = (struct segment_base){.peer_isn = UINT32_MAX - 5}; /* the window goes across the wrap */
	said = (struct segment){0};
	conn = NULL;
	stack_port = STACK_PORT;
	px_start(&c);
}

static void open_passive(void)
{
	MUST(!tcp_listen(px_stack, NULL, STACK_PORT, NULL, &app, NULL, NULL));
	segment_input(TCP_SYN, 0, 0, 0);
	segment_input(TCP_ACK, 1, 1, 0);
	MUST(conn);
}

static void write_and_shut(bool shut)
{
	uint8_t text[DATA_BYTES];

	for (unsigned i = 0; i < DATA_BYTES; i++)
		text[i] = segment_byte(1 + i);
	MUST(!tcp_conn_write(conn, text, sizeof(text)));
	if (shut)
		MUST(!tcp_conn_shutdown(conn));
	stack_output(px_stack, px_now_us);
}

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/* Brings the stack into a state, with DATA_BYTES sent and, in states that may, not acknowledged. Leaves in
 * una and nxt the peer's view of our numbers, in rcv_nxt of its own. */
static void enter(const char *state, int64_t *una, int64_t *nxt, int64_t *rcv_nxt)
{
	struct ip_addr peer = ip_v4(PEER_ADDR);

	*una = *nxt = *rcv_nxt = 0;
	begin();
	if (is(state, "CLOSED"))
		return;
	if (is(state, "LISTEN") || is(state, "SYN-RECEIVED")) {
		MUST(!tcp_listen(px_stack, NULL, STACK_PORT, NULL, &app, NULL, NULL));
		if (is(state, "SYN-RECEIVED")) {
			segment_input(TCP_SYN, 0, 0, 0);
			*nxt = *rcv_nxt = 1;
		}
		return;
	}
	if (is(state, "SYN-SENT") || is(state, "SYN-RECEIVED-active")) {
		MUST(tcp_connect(px_stack, &peer, PEER_PORT, NULL, &app, NULL, px_now_us));
		stack_output(px_stack, px_now_us);
		*nxt = 1;
		if (is(state, "SYN-RECEIVED-active")) {
			segment_input(TCP_SYN, 0, 0, 0);
			*rcv_nxt = 1;
		}
		return;
	}
	open_passive();
	*una = *rcv_nxt = 1;
	*nxt = 1 + DATA_BYTES;
	if (is(state, "ESTABLISHED")) {
		write_and_shut(false);
		return;
	}
	if (is(state, "CLOSE-WAIT") || is(state, "LAST-ACK")) {
		segment_input(TCP_FIN | TCP_ACK, 1, 1, 0);
		write_and_shut(is(state, "LAST-ACK"));
		*nxt += is(state, "LAST-ACK");
		*rcv_nxt = 2;
		return;
	}
	write_and_shut(true);
	++*nxt;
	if (is(state, "CLOSING")) {
		segment_input(TCP_FIN | TCP_ACK, 1, 1, 0);
		*rcv_nxt = 2;
	} else if (!is(state, "FIN-WAIT-1")) {
		segment_input(TCP_ACK, 1, *nxt, 0);
		*una = *nxt;
		if (is(state, "TIME-WAIT")) {
			segment_input(TCP_FIN | TCP_ACK, 1, *nxt, 0);
			*rcv_nxt = 2;
		}
	}
}

/* The name of the state that the stack is in. */
static const char *state_now(void)
{
	struct tcp_tuple t = {.laddr = ip_v4(STACK_ADDR),
		.raddr = ip_v4(PEER_ADDR),
		.lport = stack_port,
		.rport = PEER_PORT};
	struct tcp_node *node = tcp_node_find(px_stack, &t);

	if (!node)
		return "none";
	if (node->kind == TCP_KIND_REQUEST)
		return "SYN-RECEIVED";
	if (node->kind == TCP_KIND_TIME_WAIT)
		return "TIME-WAIT";
	return tcp_state_name(caa_container_of(node, struct tcp_conn, node)->state);
}

/* What was heard since, as a cell's letter; '?' where a number in it is wrong. */
static char answer_now(int64_t ack, int64_t nxt, int64_t rcv_nxt, int64_t seq, int64_t end)
{
	if (!heard)
		return '.';
	if (heard > 1)
		return '?';
	switch (said.flags) {
	case TCP_ACK:
		if (said.seq != nxt)
			return '?';
		return said.ack == rcv_nxt ? 'A' : said.ack == end ? 'T' : '?';
	case TCP_RST:
		return said.seq == ack ? 'R' : '?';
	case TCP_RST | TCP_ACK:
		return said.seq + base.stack_isn == 0 && said.ack == end ? 'r' : '?';
	case TCP_SYN | TCP_ACK:
		return said.seq == 0 && (said.ack == rcv_nxt || said.ack == seq + 1) ? 'S' : '?';
	default:
		return '?';
	}
}

static unsigned cells_seen;

static void cell(const char *state, const struct kind *k, unsigned column, bool by_ack, const char *expected)
{
	int64_t una, nxt, rcv_nxt;

	enter(state, &una, &nxt, &rcv_nxt);
	int64_t window = said.win ? said.win : WINDOW_BYTES;
	uint32_t occupies = k->len + !!(k->flags & TCP_SYN) + !!(k->flags & TCP_FIN);
	int64_t before = rcv_nxt - (occupies ? occupies : 1), across = k->len ? rcv_nxt - 5 : before;
	int64_t places[COLUMNS] = {rcv_nxt - FAR, before, across, rcv_nxt, rcv_nxt + 100,
		rcv_nxt + window - 1, rcv_nxt + window, rcv_nxt + window + FAR};
	int64_t acks[COLUMNS] = {una - 70000, una - 1, una, una + (nxt - una) / 2, nxt, nxt + 1};
	int64_t seq = by_ack ? rcv_nxt : places[column];
	int64_t ack = by_ack ? acks[column] : strstr(state, "SYN-RECEIVED") ? nxt : una;

	heard = 0;
	segment_input(k->flags, seq, ack, k->len);
	char answer = answer_now(k->flags & TCP_ACK ? ack : 0, nxt, rcv_nxt, seq, seq + occupies);
	const char *next = expected[1] == '>'				? expected + 2
			   : is(state, "CLOSED") || is(state, "LISTEN") ? "none"
			   : is(state, "SYN-RECEIVED-active")		? "SYN-RECEIVED"
									: state;
	bool good = answer == *expected && is(state_now(), next);
	if (!good) {
		char text[SEGMENT_TEXT_BYTES];
		printf("# %s, %s, %s %u: expected %s, seen %c>%s %s\n", state, k->name,
			by_ack ? "acknowledgement" : "place", column, expected, answer, state_now(),
			heard ? segment_text(&said, text) : "");
	}
	CU_ASSERT_TRUE(good);
	cells_seen++;
	px_end();
}

static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
			return true;
	return false;
}

static void run_row(const char *state, const struct kind *k, const struct row *row, bool by_ack)
{
	char cells[300], *save, *one;
	unsigned column = 0;

	snprintf(cells, sizeof(cells), "%s", row->cells);
	for (one = strtok_r(cells, " ", &save); one; one = strtok_r(NULL, " ", &save))
		cell(state, k, column++, by_ack, one);
	CU_ASSERT_EQUAL(column, by_ack ? 6 : COLUMNS);
}

/* Every kind of segment has its row, once, in every state of the list. */
static void run_table(const char *const *states, const char *wanted_kinds, const struct row *rows,
	unsigned row_count, bool by_ack)
{
	for (; *states; states++)
		for (unsigned k = 0; k < RTE_DIM(kinds); k++) {
			unsigned found = 0;
			for (unsigned i = 0; i < row_count; i++)
				if (listed(rows[i].states, *states) && listed(rows[i].kinds, kinds[k].name)) {
					found++;
					run_row(*states, &kinds[k], &rows[i], by_ack);
				}
			if (wanted_kinds && !listed(wanted_kinds, kinds[k].name))
				CU_ASSERT_EQUAL(found, 0)
			else
				CU_ASSERT_EQUAL(found, 1)
		}
}

static void every_place_in_every_state(void)
{
	static const char *const states[] = {"SYN-RECEIVED", "SYN-RECEIVED-active", "ESTABLISHED",
		"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT", NULL};

	cells_seen = 0;
	run_table(states, NULL, by_sequence, RTE_DIM(by_sequence), false);
	CU_ASSERT_EQUAL(cells_seen, 9 * RTE_DIM(kinds) * COLUMNS);
}

static void every_acknowledgement_in_every_state(void)
{
	static const char *const synchronised[] = {"SYN-RECEIVED", "SYN-RECEIVED-active", "ESTABLISHED",
		"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT", NULL};
	static const char *const others[] = {"CLOSED", "LISTEN", "SYN-SENT", NULL};

	cells_seen = 0;
	run_table(synchronised, "ACK text URG FIN text-FIN", by_acknowledgement, RTE_DIM(by_acknowledgement),
		true);
	run_table(others, NULL, by_acknowledgement, RTE_DIM(by_acknowledgement), true);
	CU_ASSERT_EQUAL(cells_seen, (9 * 5 + 3 * RTE_DIM(kinds)) * 6);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"every_place_in_every_state", every_place_in_every_state},
			{"every_acknowledgement_in_every_state", every_acknowledgement_in_every_state},
			{0},
		});
}
