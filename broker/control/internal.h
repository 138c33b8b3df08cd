/* SPDX-License-Identifier: Apache-2.0 */
/* Private to broker/control: the socket's place in the file system (place.c) and the answer to one line
 * (request.c), which control.c joins. */
#ifndef BROKER_CONTROL_INTERNAL_H
#define BROKER_CONTROL_INTERNAL_H

#include <stdbool.h>
#include <sys/stat.h>

#include "broker/control/control.h"

enum { PLACE_PATH_BYTES = 108 /* sun_path */ };

/* Where the socket stands. folder_fd and name outlive a change of the working directory. */
struct place {
	char path[PLACE_PATH_BYTES];
	char folder[PLACE_PATH_BYTES];
	const char *name; /* the last part of path */
	int folder_fd;	  /* -1: not open */
	bool folder_made;
	dev_t device; /* of the socket that was bound; with inode: who it is */
	ino_t inode;  /* 0: none was bound */
};

/* Opens the folder of path, looks what is there, and binds a listening socket with mode and gid ((gid_t)-1:
 * the process's own). Returns the non-blocking descriptor, or a negative errno and a sentence in error. On
 * error nothing is left behind. */
int place_open(struct place *p, const char *path, mode_t mode, gid_t gid, char *error, size_t error_bytes);

/* Removes what place_open made and closes the folder. Harmless on a zeroed place with folder_fd -1. */
void place_close(struct place *p);

/* The reply to a line of line_bytes (without its line feed): JSON text that ends in a line feed, to be freed
 * with free; NULL without memory, or with *stream set, whose pieces are the reply. A refusal's reason is put
 * into refused (empty: not refused). */
char *request_answer(const struct control_handler *handlers, void *ctx, const char *line, size_t line_bytes,
	struct control_stream **stream, char *refused, size_t refused_bytes);

/* A stream's piece as it is sent, its reference taken; the same way, with its length in *bytes. */
char *request_piece(struct control_piece *piece, size_t *bytes);

/* The reply {"ok":false,"error":reason}, the same way. */
char *request_refuse(const char *reason);

#endif
