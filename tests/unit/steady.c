/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/steady.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* The kernel looks at this before each of the thread's system calls. */
static __thread volatile char selector;
static __thread volatile long system_call;
static __thread volatile bool watching;
static __thread size_t allocations;
static __thread long faults_before;

/* AddressSanitizer's. */
int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t),
	void (*freed)(const volatile void *)) __attribute__((weak));

bool steady_sees_allocations(void)
{
	return __sanitizer_install_malloc_and_free_hooks != NULL;
}

static void on_malloc(const volatile void *p, size_t bytes)
{
	if (watching)
		allocations++;
}

static void on_free(const volatile void *p)
{
}

/* The first is enough. The rest are allowed, the end of this handler among them. */
static void on_system_call(int signal, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	system_call = info->si_syscall;
}

static long faults(void)
{
	struct rusage u = {0};

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* Once a process. */
static void install(void)
{
	static bool done;
	const struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO};

	if (__atomic_exchange_n(&done, true, __ATOMIC_ACQ_REL))
		return;
	sigaction(SIGSYS, &action, NULL);
	if (steady_sees_allocations())
		__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

int steady_begin(void)
{
	install();
	system_call = -1;
	allocations = 0;
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector))
		return -errno;
	faults_before = faults();
	watching = true;
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	return 0;
}

void steady_end(struct steady_seen *out)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	watching = false;
	*out = (struct steady_seen){.system_call = system_call,
		.allocations = allocations,
		.page_faults = faults() - faults_before};
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}
