/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth.h"

#include "runtime/check.h"
#include "runtime/reclaim.h"
#include "runtime/ring.h"

#include <crypt.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-pointer.h>
#include <urcu/compiler.h>

enum { AUTH_TEXT_MAX = 255, AUTH_PORTS_MAX = 64, AUTH_RING = 1024, AUTH_HASH_MAX = 384 };

/* Padded to one size, so that a comparison takes the same time wherever the first difference is. */
struct secret {
	uint8_t bytes[AUTH_TEXT_MAX + 1];
	uint32_t length;
};

struct user {
	struct secret name, password;
	char hash[AUTH_HASH_MAX]; /* empty: password is compared */
};

struct user_table {
	struct reclaim_node reclaim;
	bool local_only;	   /* the built-in guest */
	const struct user *hashed; /* any one with a hash: what an unknown name is measured against */
	uint32_t count;
	struct user users[];
};

struct auth_request {
	uint64_t token;
	bool known;
	char hash[AUTH_HASH_MAX];
	char password[AUTH_TEXT_MAX + 1];
};

struct auth_answer {
	uint64_t token;
	enum auth_verdict verdict;
};

struct auth_port {
	struct auth *auth;
	struct ring *requests; /* core -> hashing thread */
	struct ring *answers;  /* hashing thread -> core */
	void (*wake)(void *ctx);
	void *wake_ctx;
	_Atomic bool closing; /* what waits is not hashed any more */
};

struct auth {
	struct user_table *table; /* RCU */
	pthread_t thread;
	sem_t work;
	_Atomic bool stop;
	pthread_mutex_t ports_lock; /* the ports' list: changed at start and stop only */
	struct auth_port *ports[AUTH_PORTS_MAX];
};

static void secret_set(struct secret *s, const void *data, uint32_t n)
{
	memset(s, 0, sizeof(*s));
	if (n)
		memcpy(s->bytes, data, n);
	s->length = n;
}

static bool secret_equal(const struct secret *a, const struct secret *b)
{
	uint32_t diff = a->length ^ b->length;

	for (uint32_t i = 0; i < sizeof(a->bytes); i++)
		diff |= (uint32_t)(a->bytes[i] ^ b->bytes[i]);
	return diff == 0;
}

static struct user_table *table_create(const struct auth_user *users, uint32_t count)
{
	static const struct auth_user guest = {.name = "guest", .password = "guest"};
	bool local_only = count == 0;

	if (local_only) {
		users = &guest;
		count = 1;
	}
	struct user_table *t = calloc(1, sizeof(*t) + count * sizeof(struct user));
	if (!t)
		return NULL;
	t->local_only = local_only;
	t->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct user *u = &t->users[i];
		MUST(strlen(users[i].name) <= AUTH_TEXT_MAX);
		secret_set(&u->name, users[i].name, (uint32_t)strlen(users[i].name));
		if (users[i].hash) {
			MUST(strlen(users[i].hash) < sizeof(u->hash));
			strcpy(u->hash, users[i].hash);
			t->hashed = u;
		} else {
			MUST(strlen(users[i].password) <= AUTH_TEXT_MAX);
			secret_set(&u->password, users[i].password, (uint32_t)strlen(users[i].password));
		}
	}
	return t;
}

static void table_release(struct reclaim_node *n)
{
	struct user_table *t = caa_container_of(n, struct user_table, reclaim);

	explicit_bzero(t->users, t->count * sizeof(struct user));
	free(t);
}

static enum auth_verdict hash_verify(const struct auth_request *r, struct crypt_data *data)
{
	memset(data, 0, sizeof(*data));
	const char *made = crypt_r(r->password, r->hash, data);
	struct secret want, got;
	size_t length = made ? strlen(made) : 0;

	if (!made || made[0] == '*' || length > AUTH_TEXT_MAX || strlen(r->hash) > AUTH_TEXT_MAX)
		return AUTH_REFUSED;
	secret_set(&want, r->hash, (uint32_t)strlen(r->hash));
	secret_set(&got, made, (uint32_t)length);
	return secret_equal(&want, &got) && r->known ? AUTH_ACCEPTED : AUTH_REFUSED;
}

static void serve_port(struct auth_port *p, struct crypt_data *data)
{
	struct auth_request r;

	while (!atomic_load(&p->closing) && ring_pop(p->requests, &r, 1)) {
		struct auth_answer answer = {.token = r.token, .verdict = hash_verify(&r, data)};
		explicit_bzero(&r, sizeof(r));
		explicit_bzero(data, sizeof(*data));
		/* The answers' ring is as large as the requests' and auth_check counts what is under way. */
		MUST(ring_push(p->answers, &answer, 1) == 1);
		p->wake(p->wake_ctx);
	}
}

static void *hashing_thread(void *arg)
{
	struct auth *a = arg;
	struct crypt_data *data = calloc(1, sizeof(*data));

	MUST(data);
	pthread_setname_np(pthread_self(), "godwit-auth");
	while (!atomic_load(&a->stop)) {
		if (sem_wait(&a->work) != 0)
			continue;
		pthread_mutex_lock(&a->ports_lock);
		for (uint32_t i = 0; i < AUTH_PORTS_MAX; i++) {
			if (a->ports[i])
				serve_port(a->ports[i], data);
		}
		pthread_mutex_unlock(&a->ports_lock);
	}
	free(data);
	return NULL;
}

struct auth *auth_create(const struct auth_user *users, uint32_t count)
{
	struct auth *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->table = table_create(users, count);
	sem_init(&a->work, 0, 0);
	pthread_mutex_init(&a->ports_lock, NULL);
	if (!a->table || pthread_create(&a->thread, NULL, hashing_thread, a) != 0) {
		if (a->table)
			table_release(&a->table->reclaim);
		sem_destroy(&a->work);
		pthread_mutex_destroy(&a->ports_lock);
		free(a);
		return NULL;
	}
	return a;
}

void auth_destroy(struct auth *a)
{
	atomic_store(&a->stop, true);
	sem_post(&a->work);
	pthread_join(a->thread, NULL);
	for (uint32_t i = 0; i < AUTH_PORTS_MAX; i++)
		MUST(a->ports[i] == NULL);
	table_release(&a->table->reclaim);
	sem_destroy(&a->work);
	pthread_mutex_destroy(&a->ports_lock);
	free(a);
}

int auth_replace(struct auth *a, const struct auth_user *users, uint32_t count)
{
	struct user_table *t = table_create(users, count);

	if (!t)
		return -ENOMEM;
	t = rcu_xchg_pointer(&a->table, t);
	reclaim_defer(&t->reclaim, table_release);
	return 0;
}

struct auth_port *auth_port_create(struct auth *a, void (*wake)(void *ctx), void *wake_ctx)
{
	struct auth_port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct auth_port){.auth = a, .wake = wake, .wake_ctx = wake_ctx};
	p->requests = ring_create(sizeof(struct auth_request), AUTH_RING);
	/* Twice the size: requests that wait and answers not fetched yet are at most AUTH_RING each. */
	p->answers = ring_create(sizeof(struct auth_answer), 2 * AUTH_RING);
	MUST(p->requests && p->answers);
	pthread_mutex_lock(&a->ports_lock);
	uint32_t i = 0;
	while (i < AUTH_PORTS_MAX && a->ports[i])
		i++;
	MUST(i < AUTH_PORTS_MAX);
	a->ports[i] = p;
	pthread_mutex_unlock(&a->ports_lock);
	return p;
}

void auth_port_destroy(struct auth_port *p)
{
	struct auth *a = p->auth;

	atomic_store(&p->closing, true);
	pthread_mutex_lock(&a->ports_lock);
	for (uint32_t i = 0; i < AUTH_PORTS_MAX; i++) {
		if (a->ports[i] == p)
			a->ports[i] = NULL;
	}
	pthread_mutex_unlock(&a->ports_lock);
	ring_destroy(p->requests);
	ring_destroy(p->answers);
	free(p);
}

static const struct user *user_find(const struct user_table *t, const struct secret *name)
{
	const struct user *found = NULL;

	for (uint32_t i = 0; i < t->count; i++) {
		if (secret_equal(&t->users[i].name, name))
			found = &t->users[i];
	}
	return found;
}

static enum auth_verdict ask_thread(
	struct auth_port *p, const struct user *measure, bool known, struct slice password, uint64_t token)
{
	struct auth_request r = {.token = token, .known = known};

	/* crypt(3) reads a C string: a password with a NUL in it would be compared only up to there. */
	if (password.bytes) {
		if (memchr(password.data, 0, password.bytes))
			r.known = false;
		memcpy(r.password, password.data, password.bytes);
	}
	memcpy(r.hash, measure->hash, sizeof(r.hash));
	bool taken = ring_used(p->answers) < AUTH_RING && ring_push(p->requests, &r, 1) == 1;
	explicit_bzero(&r, sizeof(r));
	if (!taken)
		return AUTH_REFUSED;
	sem_post(&p->auth->work);
	return AUTH_PENDING;
}

enum auth_verdict auth_check(
	struct auth_port *p, struct slice user, struct slice password, bool local_link, uint64_t token)
{
	const struct user_table *t = rcu_dereference(p->auth->table);
	struct secret name, given;

	if (user.bytes > AUTH_TEXT_MAX || password.bytes > AUTH_TEXT_MAX)
		return AUTH_REFUSED;
	secret_set(&name, user.data, user.bytes);
	const struct user *u = user_find(t, &name);
	const struct user *measure = u ? (u->hash[0] ? u : NULL) : t->hashed;
	if (measure)
		return ask_thread(p, measure, u != NULL, password, token);
	secret_set(&given, password.data, password.bytes);
	bool equal = secret_equal(u ? &u->password : &t->users[0].password, &given);
	explicit_bzero(&given, sizeof(given));
	if (u && equal && (!t->local_only || local_link))
		return AUTH_ACCEPTED;
	/* Where unknown names take as long as a hash, so does a wrong password of a name that has none. */
	return t->hashed ? ask_thread(p, t->hashed, false, password, token) : AUTH_REFUSED;
}

unsigned auth_poll(struct auth_port *p, auth_answer_fn answer, void *ctx)
{
	struct auth_answer a;
	unsigned n = 0;

	for (; ring_pop(p->answers, &a, 1); n++)
		answer(ctx, a.token, a.verdict);
	return n;
}
