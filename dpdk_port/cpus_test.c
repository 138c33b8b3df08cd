/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/cpus.h"
#include "tests/unit/unit.h"

#include <string.h>

static void test_lists(void)
{
	static const char *const good[] = {"0", "0-3", "0-3,8", "5,7,9-11,1023", ""};
	static const char *const bad[] = {"a", "3-1", "1024", "1-", ",", "1,,2", "1;2", "-1"};
	char text[CPUS_TEXT_BYTES], line[64];
	cpu_set_t set;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "%s\n", good[i]);
		CU_ASSERT_TRUE(cpus_read(line, &set));
		CU_ASSERT_STRING_EQUAL(cpus_write(&set, text), good[i]);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(cpus_read(bad[i], &set));
	CU_ASSERT(cpus_read("2,0-1", &set) && strcmp(cpus_write(&set, text), "0-2") == 0);
}

static void test_every_cpu_has_room(void)
{
	char text[CPUS_TEXT_BYTES];
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu += 2)
		CPU_SET(cpu, &set);
	cpus_write(&set, text);
	CU_ASSERT_STRING_EQUAL(text + strlen(text) - 9, "1020,1022");
}

static void test_ours_are_usable(void)
{
	cpu_set_t ours, usable, after;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(ours), &ours), 0);
	CU_ASSERT_EQUAL(cpus_usable(&usable), 0);
	CPU_AND(&after, &ours, &usable);
	CU_ASSERT_TRUE(CPU_EQUAL(&after, &ours));
	/* asking changes nothing */
	CU_ASSERT(sched_getaffinity(0, sizeof(after), &after) == 0 && CPU_EQUAL(&after, &ours));
}

static void test_nodes(void)
{
	int node = cpus_node((unsigned)sched_getcpu());

	CU_ASSERT_TRUE(node >= -1 && node < 64);
	CU_ASSERT_EQUAL(cpus_node(100000), -1);
	CU_ASSERT_EQUAL(cpus_node_of_pci("ffff:ff:1f.7"), -1);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"lists", test_lists}, {"every_cpu_has_room", test_every_cpu_has_room},
			{"ours_are_usable", test_ours_are_usable}, {"nodes", test_nodes}, {0}});
}
