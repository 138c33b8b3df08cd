/* SPDX-License-Identifier: Apache-2.0 */
/* For this folder's tests: a broker with one core, sessions on it, and consumers that note what they get. */
#ifndef BROKER_CORE_FIXTURE_H
#define BROKER_CORE_FIXTURE_H

#include "broker/core/core.h"
#include "tests/unit/unit.h"

enum { FIXTURE_SESSIONS = 3 }; /* all of "/" */
#define FIXTURE_OTHER_VHOST "other"

struct fixture {
	struct broker *broker;
	struct message_store *store; /* two caches at once */
	struct broker_core *core;
	struct session session[FIXTURE_SESSIONS];
	struct failure failure; /* of the last call that was refused */
};
extern struct fixture fixture;

void fixture_begin(void);
void fixture_begin_with(const struct broker_limits *limits, uint64_t memory_bytes);
/* With the reclaim thread instead of reclamation by hand. */
void fixture_begin_threads(void);
/* Ends the sessions and asserts that every pool is full again, and that nothing waits to be released. */
void fixture_end(void);

struct slice text(const char *s);

/* With the first session unless said. They assert success; the _code forms give the result. */
struct queue *queue_make(const char *name);
struct queue *queue_make_with(const char *name, uint32_t count, const struct field *arguments);
struct field argument_int(const char *name, int64_t value);
struct field argument_text(const char *name, const char *value);
struct field argument_bool(const char *name, bool value);
enum failure_code queue_declare_code(unsigned session, const struct queue_declaration *d, struct queue **out);
void exchange_make(const char *name, const char *type);
enum failure_code exchange_declare_code(const struct exchange_declaration *d);
/* With an alternate exchange. */
void exchange_make_alternate(const char *name, const char *type, const char *alternate);
enum failure_code exchange_delete_code(const char *name, bool if_unused);
enum failure_code bind_code(const char *exchange, const char *queue, const char *key);
enum failure_code unbind_code(const char *exchange, const char *queue, const char *key);
/* From one exchange to another. */
enum failure_code exchange_bind_code(const char *source, const char *destination, const char *key);
enum failure_code exchange_unbind_code(const char *source, const char *destination, const char *key);
/* r without done. */
enum failure_code queue_call_code(unsigned session, struct queue_call_request *r, uint64_t *messages_out);
enum failure_code attach_code(struct consumer *c, struct queue *q);
/* What was purged or deleted gives its memory back. */
void graves_empty(void);
/* Later, and a turn then. */
void fixture_advance(uint64_t us);
enum failure_code queue_delete_code(unsigned session, const char *name);
bool queue_exists(const char *name);
bool exchange_exists(const char *name);

/* Publishes a message that carries n; how many queues took it. */
uint32_t publish(const char *exchange, const char *key, uint64_t n);
/* The same with a lifetime, a priority and a body of so many bytes, at least 8. */
struct publish_extra {
	bool expires;
	uint64_t lifetime_us;
	uint8_t priority;
	uint32_t body_bytes; /* 0: 8 */
	const struct header_source *headers;
};
extern bool fixture_refused; /* the last one: by a queue */
uint32_t publish_with(const char *exchange, const char *key, uint64_t n, const struct publish_extra *extra);
uint64_t number_of(const struct message *m);
/* How many are ready in the queue of that name; and takes the first of them: which it was. */
uint64_t ready_in(const char *queue);
uint64_t take_from(const char *queue);

/* What fixture.core->route finds, in slices of a random length. */
void route_whole(struct exchange *x, const struct route_request *r);

enum { CONSUMER_KEEPS = 4096 };
struct test_consumer {
	struct consumer consumer;
	unsigned credit;
	unsigned taken, cancelled;
	struct delivery kept[CONSUMER_KEEPS];
};
/* A heap object; detaches nothing. */
struct test_consumer *consumer_make(struct queue *q, unsigned credit, bool no_ack);
struct test_consumer *consumer_new(unsigned credit, bool no_ack);

#endif
