/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/queue_values.h"

#include "broker/core/core.h"
#include "broker/core/deduplication.h"
#include "runtime/check.h"

#include <stdlib.h>

struct queue_values {
	struct broker *broker;
	uint32_t refs; /* atomic */
	pthread_mutex_t lock;
	bool closed;
	uint32_t reserved; /* of the broker's; the larger one of QUEUE_VALUES_LEAST and what is claimed */
	uint32_t leaving;  /* pages of purged entries */
	struct recent_keys keys;
	struct reclaim_node reclaim;
};

struct queue_values *queue_values_create(struct broker *b)
{
	struct queue_values *v = calloc(1, sizeof(*v));

	if (!v || !remembered_take(b, QUEUE_VALUES_LEAST)) {
		free(v);
		return NULL;
	}
	v->broker = b;
	v->refs = 1;
	v->reserved = QUEUE_VALUES_LEAST;
	pthread_mutex_init(&v->lock, NULL);
	recent_keys_init(&v->keys, 0, NULL);
	return v;
}

static void release(struct reclaim_node *n)
{
	struct queue_values *v = caa_container_of(n, struct queue_values, reclaim);

	recent_keys_destroy(&v->keys);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

void queue_values_ref(struct queue_values *v)
{
	__atomic_fetch_add(&v->refs, 1, __ATOMIC_RELAXED);
}

void queue_values_unref(struct queue_values *v)
{
	if (__atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
		reclaim_defer(&v->reclaim, release);
}

void queue_values_close(struct queue_values *v)
{
	pthread_mutex_lock(&v->lock);
	MUST(!v->closed);
	v->closed = true;
	remembered_give(v->broker, v->reserved);
	pthread_mutex_unlock(&v->lock);
}

/* Lock held: room for one more among the remembered. */
static bool reserve(struct queue_values *v)
{
	if (recent_keys_count(&v->keys) <= v->reserved)
		return true;
	if (!remembered_take(v->broker, 1))
		return false;
	v->reserved++;
	return true;
}

static enum value_answer held(const struct queue_values *v)
{
	return v->leaving ? VALUE_LEAVING : VALUE_HELD;
}

static enum value_answer claim(struct queue_values *v, struct recent_key key, uint32_t *claim_out)
{
	uint32_t at;

	if (v->closed)
		return VALUE_FREE; /* the message reaches nobody */
	switch (recent_keys_claim(&v->keys, key, 0, &at)) {
	case RECENT_NEW:
		break;
	case RECENT_NO_MEMORY:
		return VALUE_UNWATCHED;
	default:
		return held(v);
	}
	if (!reserve(v)) {
		recent_keys_withdraw(&v->keys, at);
		return VALUE_UNWATCHED;
	}
	*claim_out = at + 1;
	return VALUE_FREE;
}

enum value_answer queue_values_claim(struct queue_values *v, struct recent_key key, uint32_t *claim_out)
{
	*claim_out = CLAIM_NONE;
	pthread_mutex_lock(&v->lock);
	enum value_answer answer = claim(v, key, claim_out);
	pthread_mutex_unlock(&v->lock);
	return answer;
}

enum value_answer queue_values_ask(struct queue_values *v, struct recent_key key)
{
	pthread_mutex_lock(&v->lock);
	enum value_answer answer = recent_keys_claimed(&v->keys, key) ? held(v) : VALUE_FREE;
	pthread_mutex_unlock(&v->lock);
	return answer;
}

void queue_values_withdraw(struct queue_values *v, uint32_t claim)
{
	if (claim == CLAIM_NONE)
		return;
	pthread_mutex_lock(&v->lock);
	recent_keys_withdraw(&v->keys, claim - 1);
	if (!v->closed && v->reserved > QUEUE_VALUES_LEAST) {
		v->reserved--;
		remembered_give(v->broker, 1);
	}
	pthread_mutex_unlock(&v->lock);
}

void queue_values_leave(struct queue_values *v)
{
	pthread_mutex_lock(&v->lock);
	v->leaving++;
	pthread_mutex_unlock(&v->lock);
}

void queue_values_left(struct queue_values *v)
{
	pthread_mutex_lock(&v->lock);
	MUST(v->leaving > 0);
	v->leaving--;
	pthread_mutex_unlock(&v->lock);
}

uint32_t queue_values_count(struct queue_values *v)
{
	pthread_mutex_lock(&v->lock);
	uint32_t n = recent_keys_count(&v->keys);
	pthread_mutex_unlock(&v->lock);
	return n;
}
