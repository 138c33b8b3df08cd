/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread while the broker runs: signals, the control socket, reload, devices, and the orderly
 * end. */
#include "broker/control/control.h"
#include "broker/main/instance.h"
#include "broker/main/sizes.h"
#include "runtime/clock.h"
#include "runtime/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	CALL_TIMEOUT_MS = 1000,
	SHUTDOWN_US =
		1200000, /* for clients to answer connection.close; two seconds in all, memory's return too */
	SHUTDOWN_LOOK_US = 2000,
};

/* fn on each core in turn. 0, or what kept the first that did not answer from it. */
static int on_cores(struct instance *in, void (*fn)(void *core))
{
	for (unsigned i = 0; i < in->core_count; i++) {
		int error = calls_run(in->cores[i].calls, fn, &in->cores[i], CALL_TIMEOUT_MS);
		if (error)
			return error;
	}
	return 0;
}

static void begin_shutdown(void *arg)
{
	struct data_core *d = arg;

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (d->bypass[i])
			bypass_listen_stop(d->bypass[i]);
	}
	if (d->ksock)
		ksock_listen_stop(d->ksock);
	amqp091_server_shutdown(d->amqp091, "shutdown");
}

static void count_connections(void *arg)
{
	struct data_core *d = arg;

	d->conns_left = amqp091_server_conn_count(d->amqp091);
}

static void abort_rest(void *arg)
{
	amqp091_server_abort(((struct data_core *)arg)->amqp091);
}

/* What is left on all of them; UINT32_MAX: one did not answer. */
static uint32_t connections_left(struct instance *in)
{
	uint32_t n = 0;

	if (on_cores(in, count_connections) != 0)
		return UINT32_MAX;
	for (unsigned i = 0; i < in->core_count; i++)
		n += in->cores[i].conns_left;
	return n;
}

/* Every client is told, and has its time to answer; whoever does not is cut off. */
static void shut_down(struct instance *in)
{
	uint64_t until = clock_now_us() + SHUTDOWN_US;
	uint32_t left;

	if (on_cores(in, begin_shutdown) != 0)
		return;
	do {
		left = connections_left(in);
		if (left == 0 || left == UINT32_MAX)
			return;
		usleep(SHUTDOWN_LOOK_US);
	} while (clock_now_us() < until);
	LOG_WARN("main", "%u connection(s) did not close in time: they are reset", left);
	/* The second call comes a turn later: the resets have left by then. */
	if (on_cores(in, abort_rest) == 0)
		connections_left(in);
}

static void say_change(void *ctx, const struct config_change *change)
{
	(void)ctx;
	if (change->reloadable)
		LOG_INFO("config", "%s", change->text);
	else
		LOG_WARN("config", "%s", change->text);
}

static void apply_reload(void *arg)
{
	struct data_core *d = arg;
	const struct config *c = &d->in->config;

	amqp091_server_limits(d->amqp091, c->limits.message_bytes_max, c->limits.heartbeat_s,
		c->limits.handshake_timeout_us);
}

static void reload_permissions(struct instance *in)
{
	char error[ACCESS_ERROR_BYTES] = "out of memory";
	struct access_permission *all = instance_permissions(&in->config);

	if (!all || access_replace(in->access, all, in->config.permission_count, error) != 0)
		LOG_ERROR("config", "permissions were not reloaded: %s", error);
	free(all);
}

/* Whether the configuration can be taken over while users are connected; if not, says why. */
static bool load_next(const struct instance *in, struct config *next)
{
	const char *path = in->cli.config_path;

	if (config_load(path, next, stderr) != 0 || cli_apply(&in->cli, next, stderr) != 0) {
		if (access(path, R_OK) != 0 && errno == EACCES)
			LOG_ERROR(
				"config", "a reload reads the file as %s, who must be allowed to", in->user);
		return false;
	}
	if (in->config.permission_count > 0 && next->permission_count == 0) {
		LOG_ERROR("config",
			"%s has no permissions any more, and with none every user may do everything: "
			"leave one, or restart where that is meant",
			path);
		return false;
	}
	return true;
}

static void take_over(struct instance *in, const struct config *next)
{
	config_reload(&in->config, next);
	log_set_level(in->config.log.level);
	struct auth_user *users = instance_users(&in->config);
	if (!users || auth_replace(in->auth, users, in->config.user_count) != 0)
		LOG_ERROR("config", "users were not reloaded: out of memory");
	free(users);
	reload_permissions(in);
	if (on_cores(in, apply_reload) != 0)
		LOG_ERROR("config", "a data core did not take the new limits in time");
}

static void reload(struct instance *in)
{
	const char *path = in->cli.config_path;
	struct config *next = path ? calloc(1, sizeof(*next)) : NULL;

	if (!path) {
		LOG_WARN("config", "nothing to reload: started without --config");
	} else if (!next || !load_next(in, next)) {
		LOG_ERROR("config", "reload of %s refused; everything stays as it was", path);
	} else {
		unsigned changes = config_diff(&in->config, next, say_change, NULL);

		take_over(in, next);
		LOG_INFO("config", "reloaded %s: %s", path, changes ? "done" : "nothing has changed");
	}
	free(next);
}

/* True: end. */
static bool take_signal(struct instance *in, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGHUP) {
		reload(in);
		return false;
	}
	LOG_INFO(
		"main", "%s: closing connections", info.ssi_signo == SIGINT ? "interrupted" : "asked to end");
	return true;
}

int operate(struct instance *in)
{
	sigset_t signals;

	/* They have been blocked since before the first thread was made. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

	if (fd < 0) {
		LOG_ERROR("main", "signalfd: %s", strerror(errno));
		return 1;
	}
	if (in->control)
		fds[1].fd = control_fd(in->control);
	devices_begin(in, clock_now_us());
	for (bool end = false; !end;) {
		if (poll(fds, 2, devices_wait_ms(in, clock_now_us())) < 0 && errno != EINTR) {
			LOG_ERROR("main", "poll: %s", strerror(errno));
			break;
		}
		if (fds[0].revents)
			end = take_signal(in, fd);
		if (fds[1].revents)
			control_serve(in->control);
		devices_look(in, clock_now_us());
	}
	shut_down(in);
	if (in->control)
		control_streams_end(in->control); /* while the data core still answers */
	close(fd);
	return 0;
}
