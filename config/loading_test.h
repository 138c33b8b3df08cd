/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader's tests share: texts from files and from memory streams. */
#ifndef CONFIG_LOADING_TEST_H
#define CONFIG_LOADING_TEST_H

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "tests/unit/unit.h"

/* What was written to the last memory_open, once that is closed. */
static char *memory;
static size_t memory_bytes;

static inline FILE *memory_open(void)
{
	free(memory);
	memory = NULL;
	FILE *f = open_memstream(&memory, &memory_bytes);
	if (!f)
		abort();
	return f;
}

static inline char *file_text(const char *path)
{
	char *text = NULL;
	size_t capacity = 0;
	FILE *f = fopen(path, "r");
	if (!f)
		return NULL;
	if (getdelim(&text, &capacity, 0, f) < 0)
		*text = '\0';
	fclose(f);
	return text;
}

static inline int load(struct config *c, const char *text)
{
	FILE *err = memory_open();
	int rc = config_load_text("test", text, strlen(text), c, err);
	fclose(err);
	return rc;
}

static inline void load_good(struct config *c, const char *text)
{
	int rc = load(c, text);
	if (rc != 0 || memory_bytes)
		printf("# %s", memory);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_STRING_EQUAL(memory, "");
}

#endif
