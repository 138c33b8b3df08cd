/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens on a kernel TCP port: /proc/net/tcp gives the socket's inode, /proc/PID/fd the process. */
#include "broker/main/instance.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The inode of a socket in state LISTEN (0A) on the port; 0 where none is seen. The local address is the
 * second column, "ADDRESS:PORT" in hexadecimal; the inode is the tenth. */
static unsigned long listening_inode(const char *table, uint16_t port)
{
	FILE *f = fopen(table, "re");
	char line[512];
	unsigned long found = 0;

	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned local_port, state;
		unsigned long inode;
		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port,
			    &state, &inode) == 3 &&
			local_port == port && state == 0x0a)
			found = inode;
	}
	fclose(f);
	return found;
}

static bool process_has(const char *pid, unsigned long inode)
{
	char path[64], want[64], link[64];
	bool has = false;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	DIR *d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; !has && (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (n > 0) {
			link[n] = 0;
			has = strcmp(link, want) == 0;
		}
	}
	closedir(d);
	return has;
}

static void process_name(const char *pid, char *out, size_t room)
{
	char path[64], name[64] = "?";

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	FILE *f = fopen(path, "re");
	if (f) {
		if (fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = 0;
		fclose(f);
	}
	snprintf(out, room, "%s (pid %.16s)", name, pid);
}

void holder_of_tcp_port(const struct config_address *address, uint16_t port, char *out, size_t room)
{
	unsigned long inode = listening_inode(
		address->version == 6 ? "/proc/net/tcp6" : "/proc/net/tcp", port);

	if (!inode)
		inode = listening_inode("/proc/net/tcp6", port);
	snprintf(out, room, "another program");
	DIR *d = inode ? opendir("/proc") : NULL;
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		if (isdigit((unsigned char)e->d_name[0]) && process_has(e->d_name, inode)) {
			process_name(e->d_name, out, room);
			break;
		}
	}
	closedir(d);
}
