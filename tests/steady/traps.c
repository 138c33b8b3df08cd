/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/steady/traps.h"
#include "runtime/check.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* AddressSanitizer's; gcc ships the function and not its header. */
int __sanitizer_install_malloc_and_free_hooks(
	void (*malloc_hook)(const volatile void *, size_t), void (*free_hook)(const volatile void *));

static __thread struct traps *armed;

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* The call has not been made, and returns -ENOSYS. */
static void on_system_call(int signal, siginfo_t *info, void *context)
{
	if (!armed)
		return;
	if (armed->system_calls == 0)
		armed->first_system_call = info->si_syscall;
	count(&armed->system_calls);
}

static void on_malloc(const volatile void *p, size_t bytes)
{
	if (armed)
		count(&armed->allocations);
}

static void on_free(const volatile void *p)
{
	if (armed && p)
		count(&armed->frees);
}

void traps_init(void)
{
	struct sigaction a = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO};

	MUST(sigaction(SIGSYS, &a, NULL) == 0);
	MUST(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
}

/* What is left: coming back from the signal's handler, and waiting for the process's end. */
static void filter_install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pause, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

void traps_arm(struct traps *t)
{
	void *volatile something;

	*t = (struct traps){.thread = (int)syscall(SYS_gettid)};
	filter_install();
	armed = t;
	/* They see what they are for. */
	something = malloc(1);
	free(something);
	syscall(SYS_getppid);
	MUST(t->allocations == 1 && t->frees == 1);
	MUST(t->system_calls == 1 && t->first_system_call == SYS_getppid);
	t->allocations = t->frees = t->system_calls = 0;
}

void traps_park(void)
{
	armed = NULL;
	for (;;)
		pause();
}

/* Without stdio, whose buffers would be pages of their own. */
static const char *file_read(const char *path)
{
	static char text[1 << 20];
	size_t have = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0);
	while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
		have += (size_t)n;
	close(fd);
	text[have] = '\0';
	return text;
}

uint64_t traps_faults(const struct traps *t)
{
	char path[64];
	unsigned long long major;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", t->thread);
	/* behind the name, which may hold anything: state, 5 numbers, flags, minflt, cminflt, majflt */
	const char *p = strrchr(file_read(path), ')');
	MUST(p && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %llu", &major) == 1);
	return major;
}

/* AddressSanitizer's shadow on x86-64. */
static bool is_shadow(unsigned long long from)
{
	return from >= 0x7fff8000ull && from < 0x10007fff8000ull;
}

uint64_t traps_pages(void)
{
	uint64_t sum_kib = 0;
	bool shadow = false;

	for (const char *p = file_read("/proc/self/smaps"); *p;) {
		char *end;
		unsigned long long from = strtoull(p, &end, 16);
		if (end != p && *end == '-')
			shadow = is_shadow(from);
		else if (!strncmp(p, "Rss:", 4) && !shadow)
			sum_kib += strtoull(p + 4, NULL, 10);
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
	return sum_kib * 1024 / (uint64_t)sysconf(_SC_PAGESIZE);
}
