/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/soak/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS = 512,
	/* Nothing is lost where nothing waits so long; the longest of TCP's own timers is far below. */
	STUCK_US = 90 * 1000000,
	LOOK_US = 1000000,
	STEPS_MAX = 3,
	DIE_ONE_IN = 2,
	TINY_ONE_IN = 16,
	STALLED_MAX = 64,
};

uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint32_t load_random(struct load *l, uint32_t n)
{
	l->random = l->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((l->random >> 33) * n >> 31);
}

static void rest(struct session *s)
{
	struct load *l = s->load;

	s->state = SESSION_RESTING;
	s->doom = -1;
	s->rest_at = l->resting_count;
	l->resting[l->resting_count++] = s->slot;
	l->active--;
}

static void rest_no_more(struct session *s)
{
	struct load *l = s->load;
	uint32_t last = l->resting[--l->resting_count];

	l->resting[s->rest_at] = last;
	l->sessions[last].rest_at = s->rest_at;
	s->state = SESSION_BUSY;
	s->since_us = l->now_us;
	l->active++;
}

void load_session_rests(struct session *s)
{
	step_over(s);
	if (s->steps_left && s->load->mode == LOAD_CHURNING) {
		s->steps_left--;
		s->since_us = s->load->now_us;
		step_choose(s);
	} else {
		rest(s);
	}
}

void load_session_gone(struct session *s)
{
	struct load *l = s->load;

	if (s->state == SESSION_STALLED)
		l->stalled--;
	s->state = SESSION_NONE;
	l->active--;
	l->alive--;
}

void load_session_stalls(struct session *s, uint64_t us)
{
	if (s->load->stalled == STALLED_MAX)
		return;
	s->state = SESSION_STALLED;
	s->wake_us = s->load->now_us + us;
	s->load->stalled++;
	s->load->counts.stalled++;
}

void load_watch(struct session *s)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = s->slot};

	if (epoll_ctl(s->load->epoll_fd, EPOLL_CTL_ADD, s->fd, &e))
		surprise(s, "epoll: %s", strerror(errno));
}

static void start(struct session *s, step_fn *step)
{
	struct load *l = s->load;

	l->active++;
	l->alive++;
	session_begin(s);
	s->state = SESSION_BUSY;
	s->step = step;
	s->phase = 0;
	s->since_us = l->now_us;
	session_go_on(s);
}

/* A connection that never gets as far as AMQP. */
static void tiny(struct load *l)
{
	const struct sockaddr_in *to = &l->listeners[load_random(l, l->listener_count)];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct linger now = {1, 0};

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)
		printf("surprise: a tiny connection: %s\n", strerror(errno));
	if (load_random(l, 2))
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (send(fd, "AMQP\0\0", 1 + load_random(l, 6), MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
		printf("surprise: a tiny connection is refused\n");
	close(fd);
}

/* Those that died are born again, as far as the window goes. */
static void bear(struct load *l)
{
	static uint32_t at;

	if (l->alive == l->session_count)
		return;
	for (uint32_t i = 0; i < l->session_count && l->active < l->window; i++) {
		at = (at + 1) % l->session_count;
		if (l->sessions[at].state != SESSION_NONE)
			continue;
		start(&l->sessions[at], step_birth);
		if (l->alive == l->session_count)
			return;
	}
}

static void wake_some(struct load *l)
{
	while (l->active < l->window && l->resting_count) {
		struct session *s = &l->sessions[l->resting[load_random(l, l->resting_count)]];
		rest_no_more(s);
		if (load_random(l, DIE_ONE_IN) == 0) {
			if (load_random(l, TINY_ONE_IN) == 0)
				tiny(l);
			session_die(s);
			continue;
		}
		s->steps_left = load_random(l, STEPS_MAX);
		step_choose(s);
		session_go_on(s);
	}
}

static void end_some(struct load *l)
{
	while (l->active < l->window && l->resting_count) {
		struct session *s = &l->sessions[l->resting[l->resting_count - 1]];
		rest_no_more(s);
		session_die(s);
	}
}

static void look(struct load *l)
{
	l->looked_us = l->now_us;
	for (uint32_t i = 0; i <= l->session_count; i++) {
		struct session *s = &l->sessions[i];
		if (s->state == SESSION_BUSY && l->now_us - s->since_us > STUCK_US)
			surprise(s, "nothing more comes");
	}
}

static void resume_stalled(struct load *l)
{
	for (uint32_t i = 0; l->stalled && i < l->session_count; i++) {
		struct session *s = &l->sessions[i];
		if (s->state != SESSION_STALLED || s->wake_us > l->now_us)
			continue;
		s->state = SESSION_BUSY;
		s->since_us = l->now_us;
		l->stalled--;
		session_read(s);
		if (s->fd >= 0)
			session_go_on(s);
	}
}

static void begin(struct load *l, enum load_mode mode)
{
	l->mode = mode;
	l->counts_began = l->counts;
	l->began_us = l->now_us;
	l->cpu_began_us = cpu_us();
}

/* What was done since begin; the ceiling is what this thread could have done in all of the time. */
static void report(struct load *l, const char *what)
{
	uint64_t us = l->now_us - l->began_us, cpu = cpu_us() - l->cpu_began_us;
	struct rusage usage;
	uint64_t frames = l->counts.frames_in - l->counts_began.frames_in;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"done\": \"%s\", \"seconds\": %.3f, \"cpu_seconds\": %.3f, \"connections\": %u, "
	       "\"resting\": %u, "
	       "\"rss_kib\": %ld, \"ceiling_frames_a_second\": %.0f",
		what, (double)us / 1e6, (double)cpu / 1e6, l->alive, l->resting_count, usage.ru_maxrss,
		(double)frames * 1e6 / (double)(cpu ? cpu : 1));
#define X(name) printf(", \"%s\": %llu", #name, (unsigned long long)(l->counts.name - l->counts_began.name));
#include "tests/soak/counts.def"
#undef X
	printf(", \"steps\": {");
	steps_print();
	printf("}}\n");
	fflush(stdout);
	l->mode = LOAD_IDLE;
}

static void command(struct load *l, const char *line)
{
	struct session *admin = &l->sessions[l->session_count];

	if (strncmp(line, "fill", 4) == 0) {
		begin(l, LOAD_FILLING);
		start(admin, step_admin_open);
	} else if (strncmp(line, "churn ", 6) == 0) {
		begin(l, LOAD_CHURNING);
		l->until_us = l->now_us + (uint64_t)(atof(line + 6) * 1e6);
	} else if (strncmp(line, "empty", 5) == 0) {
		begin(l, LOAD_EMPTYING);
	} else {
		printf("surprise: no such command: %s", line);
		exit(2);
	}
}

static bool admin_busy(const struct load *l)
{
	return l->sessions[l->session_count].state != SESSION_NONE;
}

static void work(struct load *l)
{
	switch (l->mode) {
	case LOAD_FILLING:
		if (admin_busy(l))
			return;
		bear(l);
		if (l->resting_count == l->session_count)
			report(l, "fill");
		return;
	case LOAD_CHURNING:
		bear(l);
		wake_some(l);
		if (l->now_us >= l->until_us)
			l->mode = LOAD_SETTLING;
		return;
	case LOAD_SETTLING: /* those that are at work come to rest */
		bear(l);
		if (l->resting_count == l->session_count)
			report(l, "churn");
		return;
	case LOAD_EMPTYING:
		end_some(l);
		if (l->alive)
			return;
		l->mode = LOAD_ADMIN;
		start(&l->sessions[l->session_count], step_admin_close);
		return;
	case LOAD_ADMIN:
		if (!admin_busy(l))
			report(l, "empty");
		return;
	case LOAD_IDLE:
		return;
	}
}

/* False: stdin has come to its end. */
static bool read_command(struct load *l)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return false;
	command(l, line);
	return true;
}

static void on_event(struct load *l, const struct epoll_event *e)
{
	struct session *s = &l->sessions[e->data.u32];

	if (s->fd < 0 || s->state == SESSION_NONE)
		return;
	if (e->events & EPOLLOUT && s->pending.n)
		session_writable(s);
	if (e->events & (EPOLLIN | EPOLLERR | EPOLLHUP) && s->state != SESSION_STALLED)
		session_read(s);
}

static int wait_ms(const struct load *l)
{
	return l->mode == LOAD_IDLE ? 1000 : l->stalled ? 5 : 100;
}

int load_run(struct load *l)
{
	struct epoll_event events[EVENTS], in = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
	bool more = true;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->sessions = calloc(l->session_count + 1, sizeof(*l->sessions));
	l->resting = calloc(l->session_count + 1, sizeof(*l->resting));
	if (l->epoll_fd < 0 || !l->sessions || !l->resting || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, 0, &in))
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	for (uint32_t i = 0; i <= l->session_count; i++)
		l->sessions[i] = (struct session){.load = l, .slot = i, .fd = -1};
	while (more) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS, wait_ms(l));
		l->now_us = clock_us();
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == UINT32_MAX)
				more = read_command(l);
			else
				on_event(l, &events[i]);
		}
		resume_stalled(l);
		work(l);
		if (l->now_us - l->looked_us > LOOK_US)
			look(l);
	}
	return 0;
}
