/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/eal.h"
#include "dpdk_port/cpus.h"
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/eal_log.h"
#include "runtime/check.h"

#include <ctype.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/* program, main lcore, memory (3 options), IOVA mode, devices, and dpdk_version.c's own */
	ARGUMENTS_MAX = 2 * EAL_PCI_DEVICES_MAX + 24,
	/* "(64)@(" and ")," around a list, for each data core and the main one */
	LCORES_BYTES = (EAL_DATA_CORES_MAX + 1) * (CPUS_TEXT_BYTES + 16),
	NODES_MAX = 32,
};

/* The argument list. EAL keeps pointers into it while it runs, and moves those of the list it was given. */
struct arguments {
	char *list[ARGUMENTS_MAX], *given[ARGUMENTS_MAX];
	int count;
};

/* EAL is one a process, and so is what we know of it. */
static struct {
	bool running, used;
	unsigned data_cores;
	struct arguments arguments;
} eal;

__attribute__((format(printf, 3, 4))) static int fail(char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

__attribute__((format(printf, 2, 3))) static void argument_add(struct arguments *a, const char *fmt, ...)
{
	va_list ap;
	MUST(a->count < ARGUMENTS_MAX - 1);
	va_start(ap, fmt);
	int n = vasprintf(&a->list[a->count], fmt, ap);
	va_end(ap);
	MUST(n >= 0);
	a->count++;
}

static void argument_add_all(struct arguments *a, const char *const *list)
{
	for (; *list; list++)
		argument_add(a, "%s", *list);
}

bool dpdk_pci_address_valid(const char *s)
{
	static const char shape[] = "xxxx:xx:xx.f";
	size_t i;

	for (i = 0; shape[i]; i++) {
		unsigned char c = (unsigned char)s[i];
		if (shape[i] == 'x' ? !isxdigit(c) : shape[i] == 'f' ? c < '0' || c > '7' : c != shape[i])
			return false;
	}
	return s[i] == '\0';
}

bool dpdk_device_shares_memory(const char *device)
{
	const struct dpdk_driver *driver = dpdk_driver_of_vdev(device);

	return driver && driver->shares_memory;
}

int dpdk_vdev_check(const char *s, char *error, size_t error_bytes)
{
	const struct dpdk_driver *driver = dpdk_driver_of_vdev(s);

	if (!driver)
		return fail(error, error_bytes,
			"\"%s\" is neither a PCI address (0000:03:00.0) nor a numbered vdev of %s", s,
			dpdk_driver_vdevs());
	const char *p = s + strlen(driver->vdev);
	if (strlen(s) > 255)
		return fail(error, error_bytes, "a device's description has 255 characters at most");
	while (isdigit((unsigned char)*p))
		p++;
	if (*p != '\0' && *p != ',')
		return fail(error, error_bytes, "\"%s\": only a comma may follow the vdev's number", s);
	for (; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(",=_.:/-", *p))
			return fail(error, error_bytes, "\"%s\": character '%c' is not allowed", s, *p);
	return 0;
}

static int options_check(const struct eal_options *o, const cpu_set_t *usable, char *error, size_t bytes)
{
	if (o->pci_count > EAL_PCI_DEVICES_MAX)
		return fail(error, bytes, "%u PCI devices; at most %d", o->pci_count, EAL_PCI_DEVICES_MAX);
	for (unsigned i = 0; i < o->pci_count; i++)
		if (!dpdk_pci_address_valid(o->pci[i]))
			return fail(error, bytes, "\"%s\" is not a PCI address like 0000:03:00.0", o->pci[i]);
	if (o->memory_mb < EAL_MEMORY_MB_MIN || o->memory_mb > EAL_MEMORY_MB_MAX)
		return fail(error, bytes, "%u MB of memory for EAL; %d to %d are possible", o->memory_mb,
			EAL_MEMORY_MB_MIN, EAL_MEMORY_MB_MAX);
	if (o->data_cores > EAL_DATA_CORES_MAX)
		return fail(error, bytes, "%u data cores; at most %d", o->data_cores, EAL_DATA_CORES_MAX);
	for (unsigned k = 0; o->data_core_cpus && k < o->data_cores; k++) {
		int cpu = o->data_core_cpus[k];
		if (cpu != EAL_CPU_FLOATS && (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, usable)))
			return fail(
				error, bytes, "CPU %d of data core %u: this process may not use it", cpu, k);
	}
	return 0;
}

/* --lcores: lcore 0 (control) on all CPUs, lcore k + 1 (data core k) on its CPU or on all. */
static void lcores_add(struct arguments *a, const struct eal_options *o, const cpu_set_t *allowed)
{
	static char cpus[CPUS_TEXT_BYTES];
	static char text[LCORES_BYTES];

	cpus_write(allowed, cpus);
	int used = snprintf(text, sizeof(text), "0@(%s)", cpus);
	for (unsigned k = 0; k < o->data_cores; k++) {
		int cpu = o->data_core_cpus ? o->data_core_cpus[k] : EAL_CPU_FLOATS;
		size_t left = sizeof(text) - (size_t)used;
		used += cpu == EAL_CPU_FLOATS ? snprintf(text + used, left, ",%u@(%s)", k + 1, cpus)
					      : snprintf(text + used, left, ",%u@%d", k + 1, cpu);
		MUST((size_t)used < sizeof(text));
	}
	argument_add(a, "--lcores=%s", text);
}

static unsigned nodes_count(void)
{
	unsigned n = 0;
	char path[64];

	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", n);
	while (access(path, F_OK) == 0 && ++n < NODES_MAX);
	return n ? n : 1;
}

/* -m has EAL take the memory at once, so that what cannot be had is known at start; the limit keeps it from
 * growing beyond by itself. */
static void memory_add(struct arguments *a, const struct eal_options *o)
{
	argument_add(a, "-m");
	argument_add(a, "%u", o->memory_mb);
	if (!o->hugepages) {
		argument_add_all(a, dpdk_eal_arguments_no_huge);
		return;
	}
	argument_add_all(a, dpdk_eal_arguments_huge);
	/* A descriptor each page is more than vhost-user's message has room for. */
	if (o->shared)
		argument_add(a, "--single-file-segments");
	char limits[NODES_MAX * 12] = "";
	size_t used = 0;
	for (unsigned i = 0, n = nodes_count(); i < n; i++)
		used += (size_t)snprintf(
			limits + used, sizeof(limits) - used, "%s%u", i ? "," : "", o->memory_mb);
	argument_add(a, "--socket-limit=%s", limits);
}

static void devices_add(struct arguments *a, const struct eal_options *o)
{
	if (o->pci_count == 0) {
		/* Nothing does DMA: virtual addresses are good enough, and need no privilege. */
		argument_add(a, "--no-pci");
		argument_add(a, "--iova-mode=va");
		return;
	}
	for (unsigned i = 0; i < o->pci_count; i++) {
		argument_add(a, "-a");
		argument_add(a, "%s", o->pci[i]);
	}
}

/* rte_eal_init makes a folder for runtime files even where it is told to share nothing, and shrugs when it
 * cannot. It is denied one for as long as it looks. */
static int init_without_folder(struct arguments *a)
{
	const char *was = getenv("RUNTIME_DIRECTORY");
	char *saved = was ? strdup(was) : NULL;

	setenv("RUNTIME_DIRECTORY", "/dev/null", 1);
	memcpy(a->given, a->list, sizeof(a->given));
	int rc = rte_eal_init(a->count, a->given);
	if (saved)
		setenv("RUNTIME_DIRECTORY", saved, 1);
	else
		unsetenv("RUNTIME_DIRECTORY");
	free(saved);
	return rc;
}

static void arguments_free(struct arguments *a)
{
	while (a->count > 0) {
		free(a->list[--a->count]);
		a->list[a->count] = NULL;
	}
}

int dpdk_eal_start(const struct eal_options *o, char *error, size_t error_bytes)
{
	cpu_set_t allowed, usable;
	char words[512];

	error[0] = '\0';
	if (eal.used) {
		fail(error, error_bytes, "EAL can be started once a process");
		return -EALREADY;
	}
	if (sched_getaffinity(0, sizeof(allowed), &allowed) || cpus_usable(&usable))
		return fail(error, error_bytes, "the CPUs of this process: %s", strerror(errno));
	int rc = options_check(o, &usable, error, error_bytes);
	if (rc)
		return rc;

	struct arguments *a = &eal.arguments;
	argument_add(a, "%s", o->program ? o->program : "godwit");
	argument_add_all(a, dpdk_eal_arguments);
	lcores_add(a, o, &allowed);
	memory_add(a, o);
	devices_add(a, o);

	rc = eal_log_start(o->chatter);
	if (rc) {
		fail(error, error_bytes, "EAL's log: %s", strerror(-rc));
		return rc;
	}
	eal_log_collect();
	eal.used = true;
	rc = init_without_folder(a);
	eal_log_collected(words, sizeof(words));
	if (rc < 0) {
		rc = rte_errno ? rte_errno : EIO;
		fail(error, error_bytes, "EAL does not start: %s%s%s%s", strerror(rc), words[0] ? " (" : "",
			words, words[0] ? ")" : "");
		eal_log_stop();
		arguments_free(a);
		return -rc;
	}
	eal.running = true;
	eal.data_cores = o->data_cores;
	return 0;
}

void dpdk_eal_stop(void)
{
	if (!eal.running)
		return;
	eal.running = false;
	rte_eal_cleanup();
	eal_log_stop();
	arguments_free(&eal.arguments);
}

bool dpdk_eal_running(void)
{
	return eal.running;
}

int dpdk_core_launch(unsigned k, int (*run)(void *context), void *context)
{
	MUST(eal.running && k < eal.data_cores);
	return rte_eal_remote_launch(run, context, k + 1) ? -EBUSY : 0;
}

int dpdk_core_join(unsigned k)
{
	MUST(eal.running && k < eal.data_cores);
	return rte_eal_wait_lcore(k + 1);
}

int dpdk_core_node(unsigned k)
{
	MUST(eal.running && k < eal.data_cores);
	return (int)rte_lcore_to_socket_id(k + 1);
}
