/* SPDX-License-Identifier: Apache-2.0 */
/* What ports leave on the host, taken off by the keeper: brokers are children that open a port on one end of
 * a veth pair, become an ordinary user, and end in one way or another. In a network namespace of its own. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/keeper.h"
#include "dpdk_port/netdev.h"
#include "dpdk_port/port.h"
#include "dpdk_port/privileges.h"
#include "dpdk_port/veth_fixture.h"
#include "tests/unit/unit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MTU_BEFORE = 1400, MTU = 1300, WAIT_MS = 20000 };
enum ending { EXIT, KILLED, BOTH_KILLED };

static const char ours[] = "gwkeep0", peers[] = "gwkeep1";
static const char on_xdp[] = "net_af_xdp0,iface=gwkeep0", on_packet[] = "net_af_packet0,iface=gwkeep0";
static char base[64], state[96], path[96], error[512];

static struct netdev now(void)
{
	struct netdev n = {0};

	CU_ASSERT_EQUAL(netdev_read(ours, &n), 0);
	return n;
}

static bool state_empty(void)
{
	DIR *d = opendir(state);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n == 0;
}

/* A program that passes everything, as anybody might attach one. */
static int program_load(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "others", "GPL", pass, 2, NULL);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static void program_attach(void)
{
	int fd = program_load();

	CU_ASSERT_EQUAL(bpf_xdp_attach((int)now().index, fd, 0, NULL), 0);
	close(fd);
}

static void program_detach(void)
{
	CU_ASSERT_EQUAL(bpf_xdp_detach((int)now().index, 0, NULL), 0);
}

/* As the broker does it. */
static int broker_open(struct keeper *k, const char *device, struct port **p)
{
	const struct eal_options eal = {.memory_mb = 128};
	const struct port_config config = {.device = device, .queues = 1, .mtu = MTU};

	if (dpdk_eal_start(&eal, error, sizeof(error)))
		return 1;
	if (keeper_remember_device(k, device, MTU))
		return 2;
	if (port_open(&config, p, error, sizeof(error)))
		return 3;
	if (keeper_remember_device_opened(k, device) || port_take_groups(*p, NULL, 0))
		return 4;
	return keeper_seal(k) || privileges_drop("nobody", error, sizeof(error)) ? 5 : 0;
}

__attribute__((noreturn)) static void broker_live(const char *device, int told, int end)
{
	struct keeper *k = NULL;
	struct port *p = NULL;
	int32_t words[2] = {-1, 0};
	char any;

	if (keeper_start(state, &k, error, sizeof(error)) == 0)
		words[0] = broker_open(k, device, &p);
	words[1] = keeper_pid(k);
	if (words[0])
		printf("# %d: %s\n", (int)words[0], error);
	if (write(told, words, sizeof(words)) == sizeof(words) && read(end, &any, 1) == 1) {
		port_close(p);
		keeper_finish(k);
	}
	_exit(0);
}

struct broker {
	pid_t pid, keeper;
	int end;
};

static struct broker broker_start(const char *device)
{
	int told[2], end[2];
	int32_t words[2] = {-1, 0};

	fflush(stdout);
	CU_ASSERT_EQUAL_FATAL(pipe2(told, O_CLOEXEC) | pipe2(end, O_CLOEXEC), 0);
	struct broker b = {.pid = fork(), .end = end[1]};
	if (b.pid == 0)
		broker_live(device, told[1], end[0]);
	close(told[1]);
	close(end[0]);
	CU_ASSERT_EQUAL(read(told[0], words, sizeof(words)), sizeof(words));
	close(told[0]);
	CU_ASSERT_EQUAL(words[0], 0);
	b.keeper = words[1];
	return b;
}

static void broker_end(struct broker *b, enum ending how)
{
	unsigned undone = 0;

	if (how == BOTH_KILLED)
		kill(b->keeper, SIGKILL);
	if (how != EXIT)
		kill(b->pid, SIGKILL);
	else if (write(b->end, "", 1) != 1)
		CU_FAIL("the broker is gone");
	waitpid(b->pid, NULL, 0);
	close(b->end);
	for (int ms = 0; ms < WAIT_MS && !state_empty(); ms++) {
		if (how == BOTH_KILLED)
			keeper_undo_stale(state, &undone);
		usleep(1000);
	}
	CU_ASSERT(state_empty());
}

static void an_interface_is_as_before(const char *device, bool xdp)
{
	for (enum ending how = EXIT; how <= BOTH_KILLED; how++) {
		struct broker b = broker_start(device);
		struct netdev n = now();
		CU_ASSERT_EQUAL(n.program != 0, xdp);
		CU_ASSERT_EQUAL(n.mtu, MTU);
		CU_ASSERT(n.promiscuous);
		broker_end(&b, how);
		n = now();
		CU_ASSERT_EQUAL(n.program, 0);
		CU_ASSERT_EQUAL(n.mtu, MTU_BEFORE);
		CU_ASSERT(!n.promiscuous);
	}
}

static bool kernel_has_xdp(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		printf("# not tested on this machine: AF_XDP: %s\n", strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

static void test_af_xdp(void)
{
	if (kernel_has_xdp())
		an_interface_is_as_before(on_xdp, true);
}

static void test_af_packet(void)
{
	an_interface_is_as_before(on_packet, false);
}

static void test_program_of_others_stays(void)
{
	if (!kernel_has_xdp())
		return;
	struct broker b = broker_start(on_xdp);
	uint32_t program = now().program;

	program_attach(); /* in place of the port's */
	CU_ASSERT_NOT_EQUAL(now().program, program);
	program = now().program;
	broker_end(&b, KILLED);
	CU_ASSERT_EQUAL(now().program, program);

	/* Nor is one taken for ours that was there before. */
	struct keeper *k;
	CU_ASSERT_EQUAL_FATAL(keeper_start(state, &k, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(keeper_remember_device(k, on_xdp, MTU), 0);
	CU_ASSERT_EQUAL(keeper_remember_device_opened(k, on_xdp), 0);
	keeper_finish(k);
	CU_ASSERT_EQUAL(now().program, program);
	program_detach();
}

/* The broker ended between the two words: the program is known by when it was loaded. */
static void test_interrupted(void)
{
	struct keeper *k;

	if (!kernel_has_xdp())
		return;
	int older = program_load();
	for (unsigned ours_too = 0; ours_too < 2; ours_too++) {
		CU_ASSERT_EQUAL_FATAL(keeper_start(state, &k, error, sizeof(error)), 0);
		CU_ASSERT_EQUAL(keeper_remember_device(k, on_xdp, MTU), 0);
		if (ours_too)
			program_attach();
		else
			CU_ASSERT_EQUAL(bpf_xdp_attach((int)now().index, older, 0, NULL), 0);
		keeper_finish(k);
		CU_ASSERT_EQUAL(now().program == 0, ours_too);
		if (!ours_too)
			program_detach();
	}
	close(older);
}

static void test_what_others_set_stays(void)
{
	const struct netdev_change c = {.mtu_before = 1200, .mtu_set = 1250, .was_promiscuous = true};
	struct netdev_change back = netdev_change_of(netdev_change_pack(&c));

	CU_ASSERT_EQUAL(back.mtu_before, 1200);
	CU_ASSERT_EQUAL(back.mtu_set, 1250);
	CU_ASSERT(back.was_promiscuous);
	netdev_restore(ours, now().index, &c); /* the MTU is neither */
	CU_ASSERT_EQUAL(now().mtu, MTU_BEFORE);
	const struct netdev_change ours_set = {.mtu_before = 1200, .mtu_set = MTU_BEFORE};
	netdev_restore(peers, now().index, &ours_set); /* another interface */
	netdev_restore(ours, now().index + 1, &ours_set);
	CU_ASSERT_EQUAL(now().mtu, MTU_BEFORE);
}

static void test_socket(void)
{
	char device[160];

	snprintf(device, sizeof(device), "net_vhost0,iface=%s,queues=1", path);
	for (enum ending how = EXIT; how <= BOTH_KILLED; how++) {
		struct broker b = broker_start(device);
		CU_ASSERT_EQUAL(access(path, F_OK), 0);
		broker_end(&b, how);
		CU_ASSERT_EQUAL(access(path, F_OK), -1);
	}
}

/* The driver binds its socket and then waits for the other side, so the port is never open. */
static void test_socket_of_an_interrupted_start(void)
{
	char device[160];

	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,server=1,queues=1", path);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		broker_live(device, -1, -1);
	for (int ms = 0; ms < WAIT_MS && access(path, F_OK); ms++)
		usleep(1000);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	chmod(path, 0666);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int ms = 0; ms < WAIT_MS && !state_empty(); ms++)
		usleep(1000);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
}

static void test_sockets_of_others_stay(void)
{
	static const char *const joined[] = {"net_vhost0,iface=%s,client=1", "net_virtio_user0,path=%s",
		"net_virtio_user0,path=%s,server=0"};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char device[160];
	struct keeper *k;

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(a.sun_path, path, strlen(path));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(device, sizeof(device), joined[i], path);
		CU_ASSERT_EQUAL_FATAL(keeper_start(state, &k, error, sizeof(error)), 0);
		CU_ASSERT_EQUAL(keeper_remember_device(k, device, MTU), 0);
		CU_ASSERT_EQUAL(keeper_remember_device_opened(k, device), 0);
		keeper_finish(k);
		CU_ASSERT_EQUAL(access(path, F_OK), 0);
	}
	unlink(path);
}

static void test_words(void)
{
	static const char *const said[][2] = {
		{"net_af_xdp0,iface=eth1,start_queue=2", "an XDP program, the MTU and flags of eth1"},
		{"net_af_packet3,blocksz=4096,iface=eth1", "the MTU and flags of eth1"},
		{"net_vhost0,iface=/run/v.sock", "the socket /run/v.sock"},
		{"net_vhost0,iface=/run/v.sock,client=1", ""},
		{"net_ring0", ""},
		{"net_af_xdp0", ""},
		{"net_af_packet0,iface=longer_than_a_name", ""},
		{"0000:06:00.0", ""},
	};
	char text[256];
	struct keeper *k;

	for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		keeper_device_text(said[i][0], text, sizeof(text));
		CU_ASSERT_STRING_EQUAL(text, said[i][1]);
	}
	CU_ASSERT_EQUAL(keeper_remember_device(NULL, on_xdp, MTU), 0);
	CU_ASSERT_EQUAL(keeper_remember_device_opened(NULL, on_xdp), 0);
	CU_ASSERT_EQUAL_FATAL(keeper_start(state, &k, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(keeper_remember_device(k, "net_af_xdp0,iface=gwnone0", MTU), -ENODEV);
	CU_ASSERT_EQUAL(keeper_remember_device_opened(k, "net_vhost0,iface=/nonexistent/v"), -ENOENT);
	keeper_finish(k);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"af_xdp", test_af_xdp},
		{"af_packet", test_af_packet},
		{"program_of_others_stays", test_program_of_others_stays},
		{"interrupted", test_interrupted},
		{"what_others_set_stays", test_what_others_set_stays},
		{"socket", test_socket},
		{"socket_of_an_interrupted_start", test_socket_of_an_interrupted_start},
		{"sockets_of_others_stay", test_sockets_of_others_stay},
		{"words", test_words},
		{NULL, NULL},
	};
	if (geteuid() != 0) {
		printf("TAP version 13\n1..0 # SKIP a veth pair in a namespace of its own needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNET)) {
		printf("Bail out! no network namespace as root: %s\n", strerror(errno));
		return 1;
	}
	snprintf(base, sizeof(base), "/tmp/keeper_device_XXXXXX");
	if (!mkdtemp(base) || chmod(base, 0755))
		return 1;
	snprintf(state, sizeof(state), "%s/state", base);
	snprintf(path, sizeof(path), "%s/port.sock", base);
	if (mkdir(state, 0755) || veth_make(ours, peers) || veth_mtu(ours, MTU_BEFORE) || veth_up(ours) ||
		veth_up(peers))
		return 1;
	int rc = unit_main(argc, argv, tests);
	return rmdir(state) || rmdir(base) ? 1 : rc;
}
