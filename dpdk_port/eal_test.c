/* SPDX-License-Identifier: Apache-2.0 */
/* EAL: what it is never given, what it says, where its cores run. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/eal.h"
#include "runtime/log.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_lcore.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char error[512];
static cpu_set_t allowed;

static void eal_test_start(void)
{
	const struct eal_options o = {.memory_mb = 128, .data_cores = 2};

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
}

static void test_pci_address_shape(void)
{
	CU_ASSERT(dpdk_pci_address_valid("0000:03:00.0"));
	CU_ASSERT(dpdk_pci_address_valid("10AB:ff:1f.7"));
	CU_ASSERT(!dpdk_pci_address_valid("03:00.0"));
	CU_ASSERT(!dpdk_pci_address_valid("0000:03:00.8"));
	CU_ASSERT(!dpdk_pci_address_valid("0000:03:00.0,x=1"));
	CU_ASSERT(!dpdk_pci_address_valid("0000:03:00.0 --vdev=net_null0"));
	CU_ASSERT(!dpdk_pci_address_valid(""));
}

static void test_vdev_check(void)
{
	CU_ASSERT(dpdk_device_shares_memory("net_virtio_user0,path=/dev/vhost-net"));
	CU_ASSERT(!dpdk_device_shares_memory("net_tap0") && !dpdk_device_shares_memory("0000:03:00.0"));
	CU_ASSERT_EQUAL(dpdk_vdev_check("net_tap0,iface=godwit0", error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(dpdk_vdev_check("net_pcap12,rx_pcap=/tmp/a.pcap", error, sizeof(error)), 0);
	static const char *const bad[] = {"", "net_tap", "net_bonding0", "net_tap0 --no-huge", "net_tap0x",
		"net_tap0,iface=a b", "net_tap0,iface=\"x\"", "net_tap0,iface=$(id)", "0000:03:00.0"};
	for (unsigned i = 0; i < RTE_DIM(bad); i++) {
		CU_ASSERT_EQUAL(dpdk_vdev_check(bad[i], error, sizeof(error)), -EINVAL);
		CU_ASSERT(error[0] != '\0');
	}
	CU_ASSERT_EQUAL(dpdk_vdev_check("net_nul0", error, sizeof(error)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "net_null"));
}

static void test_eal_refuses_bad_options(void)
{
	static const char *const pci[] = {"0000:03:00.0;reboot"};
	const int cpus[] = {4000};
	struct eal_options o = {.memory_mb = 64, .pci = pci, .pci_count = 1};

	CU_ASSERT_EQUAL(dpdk_eal_start(&o, error, sizeof(error)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "PCI address"));
	o = (struct eal_options){.memory_mb = 1};
	CU_ASSERT_EQUAL(dpdk_eal_start(&o, error, sizeof(error)), -EINVAL);
	o = (struct eal_options){.memory_mb = 64, .data_cores = 1, .data_core_cpus = cpus};
	CU_ASSERT_EQUAL(dpdk_eal_start(&o, error, sizeof(error)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "CPU 4000"));
	CU_ASSERT(!dpdk_eal_running());
}

/* Starts EAL in a child; all that is said there to either output, as text. Its exit code is the child's. */
static int start_apart(const struct eal_options *o, enum log_level level, char *said, size_t bytes)
{
	int pipe_[2], status = -1;
	size_t used = 0;
	ssize_t n;

	fflush(stdout);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipe_, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pipe_[1], 1);
		dup2(pipe_[1], 2);
		log_set_level(level);
		int rc = dpdk_eal_start(o, error, sizeof(error));
		if (rc)
			dprintf(1, "error: %s", error);
		dpdk_eal_stop();
		_exit(rc != 0);
	}
	close(pipe_[1]);
	while ((n = read(pipe_[0], said + used, bytes - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = '\0';
	close(pipe_[0]);
	waitpid(pid, &status, 0);
	return status;
}

static void test_chatter_only_when_asked_for(void)
{
	struct eal_options o = {.memory_mb = 64, .data_cores = 1};
	char said[8192];

	CU_ASSERT_EQUAL(start_apart(&o, LOG_LEVEL_DEBUG, said, sizeof(said)), 0);
	CU_ASSERT_STRING_EQUAL(said, "");
	o.chatter = true;
	CU_ASSERT_EQUAL(start_apart(&o, LOG_LEVEL_WARN, said, sizeof(said)), 0);
	CU_ASSERT_STRING_EQUAL(said, "");
	CU_ASSERT_EQUAL(start_apart(&o, LOG_LEVEL_INFO, said, sizeof(said)), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "EAL: Detected"));
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "dpdk"));
}

static void test_failing_start_says_why(void)
{
	const struct eal_options o = {.hugepages = true, .memory_mb = EAL_MEMORY_MB_MAX};
	char said[8192];

	CU_ASSERT_NOT_EQUAL(start_apart(&o, LOG_LEVEL_INFO, said, sizeof(said)), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "error: EAL does not start: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(said, "(EAL: "));
}

static int core_says(void *context)
{
	*(unsigned *)context = rte_lcore_id();
	return 7;
}

static void test_data_cores_run(void)
{
	unsigned seen[2] = {0};
	cpu_set_t mine;

	eal_test_start();
	CU_ASSERT_EQUAL(rte_lcore_id(), 0);
	sched_getaffinity(0, sizeof(mine), &mine);
	CU_ASSERT(CPU_EQUAL(&mine, &allowed)); /* the control thread floats as before */
	for (unsigned k = 0; k < 2; k++)
		CU_ASSERT_EQUAL(dpdk_core_launch(k, core_says, &seen[k]), 0);
	for (unsigned k = 0; k < 2; k++)
		CU_ASSERT_EQUAL(dpdk_core_join(k), 7);
	CU_ASSERT_EQUAL(seen[0], 1);
	CU_ASSERT_EQUAL(seen[1], 2);
	const struct eal_options again = {.memory_mb = 64};
	CU_ASSERT_EQUAL(dpdk_eal_start(&again, error, sizeof(error)), -EALREADY);
}

static void test_eal_leaves_no_files(void)
{
	struct stat s;

	eal_test_start();
	CU_ASSERT_EQUAL(stat("/var/run/dpdk/rte/config", &s), -1);
	CU_ASSERT_STRING_NOT_EQUAL(
		getenv("RUNTIME_DIRECTORY") ? getenv("RUNTIME_DIRECTORY") : "", "/dev/null");
	CU_ASSERT_EQUAL(strncmp(dpdk_version_text(), "2", 1), 0);
}

static void test_eal_stops(void)
{
	eal_test_start();
	dpdk_eal_stop();
	CU_ASSERT(!dpdk_eal_running());
	dpdk_eal_stop();
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"pci_address_shape", test_pci_address_shape},
		{"vdev_check", test_vdev_check},
		{"eal_refuses_bad_options", test_eal_refuses_bad_options},
		{"chatter_only_when_asked_for", test_chatter_only_when_asked_for},
		{"failing_start_says_why", test_failing_start_says_why},
		{"data_cores_run", test_data_cores_run},
		{"eal_leaves_no_files", test_eal_leaves_no_files},
		{"eal_stops", test_eal_stops},
		{NULL, NULL},
	};
	sched_getaffinity(0, sizeof(allowed), &allowed);
	return unit_main(argc, argv, tests);
}
