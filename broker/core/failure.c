/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names are UTF-8, and so must the text stay where it is cut. */
static void cut_at_character(char *text, size_t n)
{
	while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)text[n - 1] >= 0xc0)
		n--;
	text[n] = 0;
}

enum failure_code failure_set(struct failure *f, enum failure_code code, const char *fmt, ...)
{
	if (!f)
		return code;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(f->text))
		cut_at_character(f->text, strlen(f->text));
	f->code = code;
	return code;
}
