/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's program. */
#include "broker/control/control.h"
#include "broker/main/instance.h"
#include "dpdk_port/privileges.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/reclaim.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Started with a standard descriptor closed, the first thing that is opened would take its number, and what
 * is printed would be written to it. */
static void fill_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void block_signals(void)
{
	sigset_t signals;

	/* Threads inherit the mask: only the control thread's signalfd takes these. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

enum { FILES_OF_OUR_OWN = 128 };

static int load(struct instance *in)
{
	if (config_load(in->cli.config_path, &in->config, stderr) != 0)
		return -1;
	return cli_apply(&in->cli, &in->config, stderr);
}

static void open_control(struct instance *in)
{
	static const struct control_handler handlers[] = {
		{.name = "status", .run = status_handler},
		{.name = "stats", .run = stats_handler},
		{.name = "capture", .open = capture_open},
		{.name = "tcp", .open = connections_open},
		{.name = "profile", .open = profile_open},
		{0},
	};
	char error[ERROR_BYTES];
	const struct config_control *c = &in->config.control;

	if (control_open(c->socket, c->mode, NULL, &in->control, error, sizeof(error)) != 0) {
		LOG_WARN("control", "no control socket, so godwitctl will not work: %s", error);
		in->control = NULL;
		return;
	}
	control_set_handlers(in->control, handlers, in);
	if (keeper_remember_socket(in->keeper, c->socket) != 0)
		LOG_WARN("control", "%s would stay behind after a kill -9", c->socket);
}

static int drop_privileges(struct instance *in)
{
	char error[ERROR_BYTES];

	struct passwd *target = getpwnam(in->config.user);
	if (in->control && target)
		control_give_folder(in->control, target->pw_uid, target->pw_gid);
	keeper_seal(in->keeper);
	int code = privileges_drop(in->config.user, error, sizeof(error));
	if (code < 0) {
		LOG_ERROR("main", "could not become %s (key user): %s", in->config.user, error);
		return -1;
	}
	struct passwd *p = getpwuid(geteuid());
	snprintf(in->user, sizeof(in->user), "%s", p ? p->pw_name : "an unnamed user");
	return 0;
}

static int create_auth(struct instance *in)
{
	struct auth_user *users = instance_users(&in->config);

	in->auth = users ? auth_create(users, in->config.user_count) : NULL;
	free(users);
	if (!in->auth)
		LOG_ERROR("main", "no memory for users");
	return in->auth ? 0 : -1;
}

static int create_access(struct instance *in)
{
	char error[ACCESS_ERROR_BYTES] = "no memory";
	struct access_permission *all = instance_permissions(&in->config);

	in->access = all ? access_create(all, in->config.permission_count, error) : NULL;
	free(all);
	if (!in->access)
		LOG_ERROR("main", "permissions: %s", error);
	return in->access ? 0 : -1;
}

static int serve(struct instance *in)
{
	in->sizes = sizes_of(&in->config);
	if (cores_create(in, clock_now_us()) != 0)
		return 1;
	if (listeners_open(in) == 0) {
		LOG_ERROR("listen", "nothing to listen on is left");
		return 1;
	}
	open_control(in);
	memory_lock(in);
	if (drop_privileges(in) != 0 || cores_start(in) != 0)
		return 1;
	ready_say(in);
	int status = operate(in);
	cores_stop(in);
	return status;
}

/* From here on there are threads, and what was made outside is undone on every way out. */
static int run(struct instance *in)
{
	int status = 1;

	if (host_prepare(in) == 0 && log_start() == 0) {
		if (reclaim_start() == 0) {
			if (create_auth(in) == 0 && create_access(in) == 0)
				status = serve(in);
			control_close(in->control);
			cores_destroy(in);
			if (in->auth)
				auth_destroy(in->auth);
			if (in->access)
				access_destroy(in->access);
			reclaim_stop();
		}
		log_stop();
	}
	host_release(in);
	return status;
}

/* What can be known to be wrong before anything is made. */
static int check_host(struct instance *in)
{
	unsigned long wanted = in->config.limits.connections + FILES_OF_OUR_OWN;
	unsigned long files = privileges_files_limit(wanted);
	char error[ERROR_BYTES];

	if (privileges_check(in->config.user, error, sizeof(error)) < 0) {
		LOG_ERROR("main", "%s; change the key user", error);
		return -1;
	}
	if (files < wanted)
		LOG_WARN("main",
			"%lu files may be open and limits.connections wants %lu: raise the limit (ulimit -n, "
			"LimitNOFILE=), or kernel sockets are refused beyond it",
			files, wanted);
	return 0;
}

/* Without a daemon behind it syslog(3) loses every line without a word. */
static void choose_log_target(const struct config *c)
{
	if (c->log.target == LOG_TARGET_SYSLOG && access("/dev/log", W_OK) != 0) {
		LOG_WARN("main", "log.target is syslog and there is no /dev/log: logging to stderr");
		return;
	}
	log_set_target(c->log.target);
}

static int act(struct instance *in)
{
	switch (in->cli.action) {
	case CLI_HELP:
		cli_help(stdout);
		return 0;
	case CLI_VERSION:
		cli_version(stdout);
		return 0;
	default:
		break;
	}
	if (load(in) != 0)
		return 1;
	switch (in->cli.action) {
	case CLI_CHECK_CONFIG:
		printf("%s: ok\n", in->config.path[0] ? in->config.path : "embedded defaults");
		return 0;
	case CLI_PRINT_CONFIG:
		config_print(&in->config, stdout);
		return 0;
	default:
		break;
	}
	log_set_level(in->config.log.level);
	choose_log_target(&in->config);
	in->started_us = clock_now_us();
	return check_host(in) == 0 ? run(in) : 1;
}

int main(int argc, char **argv)
{
	struct instance *in = calloc(1, sizeof(*in));

	if (!in)
		return 1;
	fill_standard_files();
	privileges_no_new();
	block_signals();
	int status = cli_parse(argc, argv, &in->cli, stderr) == 0 ? act(in) : CLI_EXIT_MISUSE;
	free(in);
	return status;
}
