/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket in a folder of its own and its clients, for the tests of this folder. */
#ifndef BROKER_CONTROL_CONTROL_FIXTURE_H
#define BROKER_CONTROL_CONTROL_FIXTURE_H

#include "broker/control/control.h"

enum { WAIT_US_MAX = 10 * 1000 * 1000 };

extern char path[108]; /* the socket's */

void folder_make(void);
void folder_remove(void);
struct control *control_open_with(mode_t mode, const struct control_handler *handlers, void *ctx);
int client_open(void);
void serve_ready(struct control *c, int timeout_ms);
/* Serves until fd has a line or its end; the line without its feed, "" at the end. */
const char *reply_wait(struct control *c, int fd);
void say(int fd, const char *text);
const char *talk(struct control *c, int fd, const char *line);
void clients_wait(struct control *c, unsigned count);

#endif
