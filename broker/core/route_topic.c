/* SPDX-License-Identifier: Apache-2.0 */
/* Topic: routing keys and patterns are words between dots; in a pattern '*' stands for one word and '#' for
 * any number, none included. The patterns of an exchange are a trie, a node a word. Literal words lead from
 * node to node through the broker's table of edges, so that binding touches the new nodes alone however many
 * siblings there are; '*' and '#' are pointers in the node. A node lives while it has bindings or children.
 *
 * Cost of a lookup: (words) times (nodes that match so far). Without '#' each node of the trie is reached at
 * one position of the key at most. A '#' is reached first at its lowest position, and from there it covers
 * every later one, so that it is walked once a message; only one below another '#' has to be remembered for
 * that. */
#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

struct trie_node {
	struct table_entry edge; /* (parent, word) where the word is literal */
	struct trie_node *parent;
	struct trie_node *star, *hash;
	struct pointer_bag to;
	uint32_t uses;	  /* bindings and children */
	bool below_hash;  /* a '#' on the way from the root, this one included */
	bool nested_hash; /* a '#' below another one */
	uint32_t word_bytes;
	struct reclaim_node reclaim;
	uint8_t word[];
};

/* The next word from *at on; *at moves behind its dot, beyond the end after the last word. "" has no word. */
static bool word_next(struct slice text, uint32_t *at, struct slice *word)
{
	uint32_t from = *at;

	if (text.bytes == 0 || from > text.bytes)
		return false;
	const uint8_t *dot = memchr(text.data + from, '.', text.bytes - from);
	uint32_t to = dot ? (uint32_t)(dot - text.data) : text.bytes;
	*word = (struct slice){text.data + from, to - from};
	*at = to + 1;
	return true;
}

static struct slice node_word(const struct trie_node *n)
{
	return (struct slice){n->word, n->word_bytes};
}

/* Where a wildcard child hangs; NULL for a literal word. */
static struct trie_node **wildcard(struct trie_node *parent, struct slice word)
{
	if (slice_equals_text(word, "*"))
		return &parent->star;
	return slice_equals_text(word, "#") ? &parent->hash : NULL;
}

static struct trie_node *child_find(const struct broker *b, struct trie_node *parent, struct slice word)
{
	struct trie_node **at = wildcard(parent, word);

	if (at)
		return *at;
	struct table_entry *e = table_find(&b->trie_edges, parent, word);
	return e ? caa_container_of(e, struct trie_node, edge) : NULL;
}

static void node_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct trie_node, reclaim));
}

/* NULL without memory or beyond a limit. Not yet reachable. */
static struct trie_node *node_alloc(struct broker *b, struct trie_node *parent, struct slice word)
{
	bool is_hash = slice_equals_text(word, "#");
	bool nested = is_hash && parent && parent->below_hash;

	if (b->trie_nodes == b->trie_nodes_max)
		return NULL;
	/* The routes' set of nodes holds as many. */
	if (nested && b->nested_hash_nodes == b->nested_hash_nodes_max)
		return NULL;
	struct trie_node *n = calloc(1, sizeof(*n) + word.bytes);
	if (!n)
		return NULL;
	if (word.bytes)
		memcpy(n->word, word.data, word.bytes);
	n->word_bytes = word.bytes;
	n->parent = parent;
	n->below_hash = is_hash || (parent && parent->below_hash);
	n->nested_hash = nested;
	b->trie_nodes++;
	b->nested_hash_nodes += nested;
	return n;
}

static struct trie_node *child_create(struct broker *b, struct trie_node *parent, struct slice word)
{
	struct trie_node *n = node_alloc(b, parent, word);
	if (!n)
		return NULL;
	struct trie_node **at = wildcard(parent, word);
	if (at)
		RCU_PUBLISH(*at, n);
	else
		table_add(&b->trie_edges, &n->edge, parent, node_word(n));
	parent->uses++;
	return n;
}

/* Takes away a node without uses, and then its parents that have none any more. */
static void prune(struct exchange *x, struct trie_node *n)
{
	struct broker *b = x->vhost->broker;

	while (n && n->uses == 0) {
		struct trie_node *parent = n->parent;
		struct trie_node **at = parent ? wildcard(parent, node_word(n)) : &x->trie;
		if (at)
			RCU_PUBLISH(*at, NULL);
		else
			table_remove(&b->trie_edges, &n->edge);
		if (parent)
			parent->uses--;
		b->trie_nodes--;
		b->nested_hash_nodes -= n->nested_hash;
		reclaim_defer(&n->reclaim, node_release);
		n = parent;
	}
}

/* The node where the pattern ends, made with those before it where they are missing; NULL without memory. */
static struct trie_node *node_make(struct exchange *x, struct slice pattern)
{
	struct broker *broker = x->vhost->broker;
	struct trie_node *n = x->trie;
	struct slice word;
	uint32_t at = 0;

	if (!n) {
		n = node_alloc(broker, NULL, (struct slice){0});
		RCU_PUBLISH(x->trie, n);
	}
	while (n && word_next(pattern, &at, &word)) {
		struct trie_node *child = child_find(broker, n, word);
		if (!child)
			child = child_create(broker, n, word);
		if (!child)
			prune(x, n);
		n = child;
	}
	return n;
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	struct trie_node *n = node_make(x, b->entry.name);

	if (n && pointer_bag_add(&n->to, b->to, &b->place)) {
		prune(x, n);
		n = NULL;
	}
	if (!n)
		return failure_set(f, FAILURE_LIMIT, "no memory for the words of pattern '" SLICE_FMT "'",
			SLICE_ARG(b->entry.name));
	b->trie_node = n;
	n->uses++;
	return FAILURE_NONE;
}

static void unbind(struct exchange *x, struct binding *b)
{
	struct trie_node *n = b->trie_node;

	pointer_bag_remove(&n->to, &b->place);
	n->uses--;
	prune(x, n);
}

static struct slice word_of(const struct route_walk *w, const struct route_request *r, uint32_t at)
{
	const struct topic_word *word = &w->topic.word[at];
	return (struct slice){r->routing_key.data + word->from, word->bytes};
}

static uint64_t word_hash(
	struct route_walk *w, const struct table *edges, const struct route_request *r, uint32_t at)
{
	for (; w->topic.hashed <= at; w->topic.hashed++)
		w->topic.hash[w->topic.hashed] = table_hash(edges, word_of(w, r, w->topic.hashed));
	return w->topic.hash[at];
}

static void push(struct route_walk *w, const struct trie_node *n, uint32_t at, bool again)
{
	MUST(w->topic.depth < TOPIC_STACK_MAX);
	w->topic.stack[w->topic.depth++] = (struct topic_step){n, (uint16_t)at, again};
}

/* '#' takes none, one or all of the words from `at` on. */
static void push_hash(struct route_set *out, const struct trie_node *n, uint32_t at)
{
	if (n->nested_hash && pointer_set_add(out->nodes, n) == POINTER_SET_KNOWN)
		return;
	push(&out->walk, n, at, true);
}

/* A node that the words before `at` have led to: what is below it comes onto the stack. Each level of the
 * trie leaves three steps there at most, so that it is as deep as patterns have words. */
static void visit(const struct table *edges, const struct route_request *r, struct route_set *out,
	const struct topic_step *s)
{
	struct route_walk *w = &out->walk;
	const struct trie_node *star = RCU_LOAD(s->node->star), *hash = RCU_LOAD(s->node->hash);
	uint32_t at = s->at;

	if (s->again && at < w->topic.words)
		push(w, s->node, at + 1, true);
	if (hash)
		push_hash(out, hash, at);
	if (at == w->topic.words) {
		w->bag = &s->node->to;
		return;
	}
	if (star)
		push(w, star, at + 1, false);
	struct table_entry *e = table_find_hashed(
		edges, word_hash(w, edges, r, at), s->node, word_of(w, r, at));
	if (e)
		push(w, caa_container_of(e, struct trie_node, edge), at + 1, false);
}

static void split(struct route_walk *w, struct slice key)
{
	struct slice word;
	uint32_t at = 0;

	w->topic.words = w->topic.hashed = w->topic.depth = 0;
	while (word_next(key, &at, &word))
		w->topic.word[w->topic.words++] = (struct topic_word){
			(uint16_t)(word.data - key.data), (uint16_t)word.bytes};
}

static void begin(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct trie_node *root = RCU_LOAD(x->trie);

	split(&out->walk, r->routing_key);
	pointer_set_clear(out->nodes);
	if (root)
		push(&out->walk, root, 0, false);
	out->walk.begun = true;
}

static bool route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct table *edges = &x->vhost->broker->trie_edges;
	struct route_walk *w = &out->walk;

	if (!w->begun)
		begin(x, r, out);
	for (;;) {
		if (w->bag && !route_set_add_all(out, w->bag))
			return false;
		w->bag = NULL;
		if (w->topic.depth == 0)
			return true;
		if (out->budget == 0)
			return false;
		out->budget--;
		struct topic_step s = w->topic.stack[--w->topic.depth];
		visit(edges, r, out, &s);
	}
}

const struct exchange_type route_topic = {
	.name = "topic", .by_key = true, .each_key = true, .bind = bind, .unbind = unbind, .route = route};
