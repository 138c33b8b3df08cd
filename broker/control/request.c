/* SPDX-License-Identifier: Apache-2.0 */
/* One request line to one reply line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/control/internal.h"

/* Takes reply. */
static char *reply_text(json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
	if (!text)
		return NULL;
	size_t bytes = strlen(text);
	char *line = realloc(text, bytes + 2);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + bytes, "\n", 2);
	return line;
}

/* A reason that was cut in the middle of a character is still said. */
static json_t *reason_ascii(const char *reason)
{
	char text[CONTROL_ERROR_BYTES];
	size_t i = 0;
	for (; reason[i] && i + 1 < sizeof(text); i++)
		text[i] = (unsigned char)reason[i] < 0x80 ? reason[i] : '?';
	text[i] = '\0';
	return json_string(text);
}

char *request_refuse(const char *reason)
{
	json_t *text = json_string(reason);
	if (!text)
		text = reason_ascii(reason);
	return reply_text(json_pack("{s:b, s:o}", "ok", 0, "error", text));
}

static const struct control_handler *handler_find(const struct control_handler *handlers, const char *name)
{
	for (; handlers && handlers->name; handlers++)
		if (strcmp(handlers->name, name) == 0)
			return handlers;
	return NULL;
}

/* "status, drain" */
static void names_list(const struct control_handler *handlers, char *out, size_t out_bytes)
{
	size_t used = 0;
	out[0] = '\0';
	for (const struct control_handler *h = handlers; h && h->name && used < out_bytes; h++)
		used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used ? ", " : "", h->name);
}

/* The checked parts of request, borrowed from it; or a reason. */
static const struct control_handler *request_read(const struct control_handler *handlers, json_t *request,
	const json_t **arguments, char *refused, size_t refused_bytes)
{
	const json_t *command = json_object_get(request, "command");
	*arguments = json_object_get(request, "arguments");
	if (!json_is_object(request))
		snprintf(refused, refused_bytes, "a request is a JSON object: {\"command\":\"status\"}");
	else if (!json_is_string(command))
		snprintf(refused, refused_bytes, "the key command is missing, or no string");
	else if (*arguments && !json_is_object(*arguments))
		snprintf(refused, refused_bytes, "arguments is no object");
	if (refused[0])
		return NULL;
	const struct control_handler *h = handler_find(handlers, json_string_value(command));
	if (!h) {
		char names[128];
		names_list(handlers, names, sizeof(names));
		snprintf(refused, refused_bytes, "unknown command %.40s; known: %s",
			json_string_value(command), names[0] ? names : "none");
	}
	return h;
}

char *request_piece(struct control_piece *piece, size_t *bytes)
{
	json_t *reply = json_pack("{s:b}", "ok", 1);

	if (piece->result)
		json_object_set_new(reply, "result", piece->result);
	if (piece->bytes_count)
		json_object_set_new(reply, "bytes", json_integer((json_int_t)piece->bytes_count));
	if (!piece->last)
		json_object_set_new(reply, "more", json_true());
	char *text = reply_text(reply);
	if (!text)
		return NULL;
	size_t line_bytes = strlen(text);
	*bytes = line_bytes + piece->bytes_count;
	if (!piece->bytes_count)
		return text;
	char *whole = realloc(text, *bytes);
	if (!whole) {
		free(text);
		return NULL;
	}
	memcpy(whole + line_bytes, piece->bytes, piece->bytes_count);
	return whole;
}

char *request_answer(const struct control_handler *handlers, void *ctx, const char *line, size_t line_bytes,
	struct control_stream **stream, char *refused, size_t refused_bytes)
{
	json_error_t where;
	const json_t *arguments;

	refused[0] = '\0';
	*stream = NULL;
	json_t *request = json_loadb(line, line_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (!request) {
		snprintf(refused, refused_bytes, "malformed JSON at byte %d: %s", where.position, where.text);
		return request_refuse(refused);
	}
	const struct control_handler *h = request_read(handlers, request, &arguments, refused, refused_bytes);
	char error[CONTROL_ERROR_BYTES] = "";
	json_t *result = h && h->run ? h->run(ctx, arguments, error, sizeof(error)) : NULL;
	*stream = h && h->open ? h->open(ctx, arguments, error, sizeof(error)) : NULL;
	json_decref(request);
	if (*stream)
		return NULL;
	if (refused[0])
		return request_refuse(refused);
	if (!result)
		return request_refuse(error[0] ? error : "the command failed");
	return reply_text(json_pack("{s:b, s:o}", "ok", 1, "result", result));
}
