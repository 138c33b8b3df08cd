/* SPDX-License-Identifier: Apache-2.0 */
/* The local control socket: operators' programs ask the running broker through an AF_UNIX stream socket that
 * file permissions guard. One JSON object a line in each direction:
 *
 *   {"command":"status"}                     -> {"ok":true,"result":{...}}
 *   {"command":"...","arguments":{...}}      -> {"ok":false,"error":"..."}
 *
 * A line may be answered by an error and the next one in order; a line above CONTROL_REQUEST_BYTES_MAX is
 * answered by an error and the end of the connection. Requests of one client are answered in their order, one
 * at a time: nothing more is read from a client that has not taken its reply.
 *
 * Some commands answer with a stream: any number of lines with "more":true, then one without it, or an error.
 * A line may say "bytes":N; N bytes that are no JSON follow it at once.
 *
 *   {"command":"capture","arguments":{...}}  -> {"ok":true,"more":true,"bytes":N}
 *                                               N bytes
 *                                               {"ok":true,"result":{...}}
 *
 * A client ends a stream early by shutting down its sending side, and still gets the last line.
 *
 * Everything here runs on the main (control) thread, never on a data core; it allocates and makes system
 * calls, and only control_open may block (for the names of groups, and shortly for another starting broker).
 */
#ifndef BROKER_CONTROL_CONTROL_H
#define BROKER_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CONTROL_CLIENTS_MAX = 16,	     /* one more is told so and closed */
	CONTROL_REQUEST_BYTES_MAX = 1 << 16, /* a line with its line feed */
	CONTROL_ERROR_BYTES = 256,	     /* of a handler's error text */
	CONTROL_IDLE_US = 30 * 1000 * 1000,  /* for a whole request to come, and for its whole reply to go */
	CONTROL_PACE_US = 5000,		     /* how often a stream that has nothing is asked again */
};

struct control;

/* A part of a streamed answer: JSON, or bytes, or nothing but the news that it was the last. */
struct control_piece {
	json_t *result;	   /* a new reference that becomes the caller's, or NULL */
	const void *bytes; /* borrowed until the stream's next call */
	size_t bytes_count;
	bool last;
};

/* A streamed answer; lies in the object of the handler that made it (caa_container_of). All calls come from
 * the control thread and may not block for long. */
struct control_stream {
	/* 1: *piece (zeroed before) is filled, and once the client has taken it the next is asked for; 0:
	 * there is nothing yet; negative: it failed, error says why, and that was all. */
	int (*next)(struct control_stream *s, struct control_piece *piece, char *error, size_t error_bytes);
	/* The client wants no more than what there is: the next calls come to the last piece. NULL: it goes
	 * on to its own end. */
	void (*stop)(struct control_stream *s);
	/* The end, in any way; the last call. Frees s. */
	void (*close)(struct control_stream *s);
	bool logged; /* who asked for it, and how, is worth a line */
};

/* A command: exactly one of run and open is set. run returns the result, a new reference that becomes the
 * caller's, or NULL with its reason in error (error_bytes of room, CONTROL_ERROR_BYTES). arguments is
 * borrowed for the call: the request's object, or NULL where it had none. open does the same for a stream.
 * Both run on the control thread; meanwhile no other client is served. */
struct control_handler {
	const char *name;
	json_t *(*run)(void *ctx, const json_t *arguments, char *error, size_t error_bytes);
	struct control_stream *(*open)(void *ctx, const json_t *arguments, char *error, size_t error_bytes);
};

/* Listens at path (107 bytes at most; its last folder is made with mode 0755 when it is missing, nothing
 * above it) with the permission bits of mode and, where group_or_null names one, that group; at no moment is
 * the socket open to more than that. The folder has to be the caller's or root's (root takes any) and not
 * writable by everybody, unless it is sticky. A socket that nobody listens on is replaced. Anything else at
 * path stays as it is and is an error; so is a socket that somebody listens on.
 *
 * Returns 0 and *out, which control_close frees; or a negative errno with one sentence in error that names
 * the path and what to do, and leaves nothing behind: -EADDRINUSE another broker listens there (the sentence
 * has its pid), -EEXIST something else is there, -ENAMETOOLONG, -EINVAL no such group, -EPERM a folder that
 * is not to be trusted, or what the system said. */
int control_open(const char *path, mode_t mode, const char *group_or_null, struct control **out, char *error,
	size_t error_bytes);

/* The commands from now on: handlers ends with a NULL name and has to outlive c, as ctx has. Before this call
 * every command is unknown. */
void control_set_handlers(struct control *c, const struct control_handler *handlers, void *ctx);

/* Replaces CONTROL_IDLE_US; 1 or more. */
void control_set_idle_us(struct control *c, uint64_t idle_us);

/* Before a broker started as root becomes uid: hands over the folder that control_open made, so that
 * control_close may still remove the socket. The socket itself stays root's: the broker's own user gains no
 * say over it by its file. A folder that was there before stays as it is; where the user may not write to it
 * the socket stays behind at exit, and the next start replaces it. 0 or -errno. */
int control_give_folder(struct control *c, uid_t uid, gid_t gid);

/* A descriptor that polls readable (POLLIN) when control_serve has something to do, its timeouts included.
 * Stays c's. */
int control_fd(const struct control *c);

/* Does what is ready, without blocking, at most one request of each client. Requests that are refused are
 * logged with the peer's pid, uid and gid. Call again when control_fd is readable. */
void control_serve(struct control *c);

/* Before what streams stand on goes away: stops every stream, sends what its client takes without waiting,
 * and closes it. */
void control_streams_end(struct control *c);

/* Clients connected now. */
unsigned control_clients(const struct control *c);

/* Closes all clients and removes the socket's path if the socket that was opened is still there (and the
 * folder that was made for it, once it is empty). c may be NULL. */
void control_close(struct control *c);

#endif
