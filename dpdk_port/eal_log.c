/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/eal_log.h"
#include "dpdk_port/dpdk_version.h"
#include "runtime/log.h"

#include <errno.h>
#include <pthread.h>
#include <rte_log.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 256, LINES_KEPT = 4 };

/* EAL has one log a process, hence file scope. Drivers write from any thread: the lock guards all of it. */
static struct {
	pthread_mutex_t lock;
	FILE *stream;
	bool collecting;
	bool chatter;
	char line[LINE_BYTES];
	size_t line_bytes;
	char kept[LINES_KEPT][LINE_BYTES];
	unsigned kept_count;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void line_done(uint32_t level)
{
	state.line[state.line_bytes] = '\0';
	state.line_bytes = 0;
	if (state.line[0] == '\0' || strstr(state.line, dpdk_eal_expected_complaint))
		return;
	if (level > RTE_LOG_ERR) {
		/* Only there because they were asked for. */
		if (state.chatter)
			LOG_INFO("dpdk", "%s", state.line);
		else
			LOG_DEBUG("dpdk", "%s", state.line);
		return;
	}
	if (!state.collecting) {
		LOG_WARN("dpdk", "%s", state.line);
		return;
	}
	LOG_DEBUG("dpdk", "%s", state.line);
	if (state.kept_count < LINES_KEPT)
		memcpy(state.kept[state.kept_count++], state.line, LINE_BYTES);
}

static ssize_t stream_write(void *cookie, const char *data, size_t n)
{
	uint32_t level = (uint32_t)rte_log_cur_msg_loglevel();

	pthread_mutex_lock(&state.lock);
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n')
			line_done(level);
		else if (state.line_bytes < LINE_BYTES - 1)
			state.line[state.line_bytes++] = data[i];
	}
	pthread_mutex_unlock(&state.lock);
	return (ssize_t)n;
}

int eal_log_start(bool chatter)
{
	if (!state.stream) {
		state.stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = stream_write});
		if (!state.stream)
			return -errno;
	}
	state.chatter = chatter;
	/* Not debug: some drivers say something about each burst there. */
	uint32_t level = chatter ? RTE_LOG_INFO : RTE_LOG_ERR;
	rte_log_set_level_pattern("*", level);
	rte_log_set_global_level(level);
	return rte_openlog_stream(state.stream) ? -EIO : 0;
}

void eal_log_stop(void)
{
	rte_openlog_stream(NULL);
	if (state.stream)
		fclose(state.stream);
	state.stream = NULL;
}

void eal_log_collect(void)
{
	pthread_mutex_lock(&state.lock);
	state.collecting = true;
	state.kept_count = 0;
	pthread_mutex_unlock(&state.lock);
}

void eal_log_collected(char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	pthread_mutex_lock(&state.lock);
	state.collecting = false;
	for (unsigned i = 0; i < state.kept_count && used < bytes; i++) {
		int n = snprintf(text + used, bytes - used, "%s%s", i ? "; " : "", state.kept[i]);
		used += n > 0 ? (size_t)n : 0;
	}
	pthread_mutex_unlock(&state.lock);
}
