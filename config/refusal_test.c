/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader refuses, and in which words. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/loading_test.h"

static struct config one; /* too large for the stack */

/* testdata/errors.txt: "=== what", the text, ">>>", and every message about it. GODWIT_TESTDATA_WRITE=1
 * writes the messages as they are now, for a look at the difference. */
static const char errors_path[] = CONFIG_FOLDER "/testdata/errors.txt";
static const char errors_head[] = "# SPDX-License-Identifier: Apache-2.0\n";

static void run_case(const char *name, const char *text, size_t bytes, FILE *out)
{
	char *messages = NULL;
	size_t messages_bytes = 0;
	FILE *err = open_memstream(&messages, &messages_bytes);
	int rc = config_load_text("test", text, bytes, &one, err);
	fclose(err);
	fprintf(out, "=== %s\n%.*s>>>\n%s", name, (int)bytes, text, messages);
	CU_ASSERT_EQUAL(rc, strstr(messages, ": error: ") ? -EINVAL : 0);
	CU_ASSERT_PTR_NULL(strstr(messages, "secret"));
	CU_ASSERT_TRUE(messages_bytes > 0);
	free(messages);
}

static void print_difference(const char *expected, const char *found)
{
	size_t line = 0;
	for (size_t i = 0; expected[i] && expected[i] == found[i]; i++)
		if (expected[i] == '\n')
			line = i + 1;
	printf("# expected: %.*s\n# found:    %.*s\n", (int)strcspn(expected + line, "\n"), expected + line,
		(int)strcspn(found + line, "\n"), found + line);
}

static void test_errors(void)
{
	char *expected = file_text(errors_path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(expected);
	FILE *out = memory_open();
	unsigned cases = 0;
	fputs(errors_head, out);
	for (const char *p = expected; (p = strstr(p, "=== ")); cases++) {
		char name[100];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, "\n") - 4, p + 4);
		p += strcspn(p, "\n") + 1;
		const char *end = strstr(p, ">>>\n");
		CU_ASSERT_PTR_NOT_NULL_FATAL(end);
		run_case(name, p, (size_t)(end - p), out);
		p = end;
	}
	fclose(out);
	CU_ASSERT_TRUE(cases > 100);
	if (getenv("GODWIT_TESTDATA_WRITE")) {
		FILE *f = fopen(errors_path, "w");
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		fputs(memory, f);
		fclose(f);
	} else if (strcmp(expected, memory) != 0) {
		print_difference(expected, memory);
		CU_FAIL("messages differ from testdata/errors.txt");
	}
	free(expected);
}

static void refused(const char *text, size_t bytes, const char *message)
{
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load_text("test", text, bytes, &one, err), -EINVAL);
	fclose(err);
	if (strcmp(memory, message) != 0)
		printf("# %s", memory);
	CU_ASSERT_STRING_EQUAL(memory, message);
}
#define REFUSED(text, message) refused(text, sizeof(text) - 1, message)

static void test_bytes_that_are_no_text(void)
{
	REFUSED("idle: p\xc3(ll\n",
		"test:1:8: error: found byte 0xc3, which is no UTF-8; allowed: text in UTF-8\n"
		"    1 | idle: p\xc3(ll\n      |        ^\n");
	REFUSED("a\0b",
		"test:1:2: error: found control character 0x00; allowed: text\n    1 | a b\n      |  ^\n");
	REFUSED("\na\x1b[2J",
		"test:2:2: error: found control character 0x1b; allowed: text\n    2 | a [2J\n      |  ^\n");
	/* overlong, surrogate, past U+10FFFF, cut, a lone continuation */
	static const char *const bad[] = {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe2\x82", "\x80", "\xff\xfe", "\xf8\x88\x80\x80\x80"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(load(&one, bad[i]), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(memory, "test:1:1: error: found byte 0x"));
	}
	/* the shortest and longest sequences are text */
	load_good(&one, "# \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 "
			"\xf4\x8f\xbf\xbf\n");
}

static void test_empty(void)
{
	static const char message[] =
		"test: error: the file is empty, as if it had been cut; a file of comments, or {}, "
		"stands for the defaults\n";
	REFUSED("", message);
	REFUSED(" \n\t\r\n", message);
	REFUSED("\xef\xbb\xbf", message);
}

/* No input makes the loader slow or deep: the largest allowed, of the kinds that hurt a careless one. */
static void test_large(void)
{
	char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
	static const char *const units[] = {
		"[", "{a: ", "- ", "a: 1\n", "#", "&a ", "? ", "'", "users: [{}]\n", "\n"};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i]);
		for (size_t j = 0; j < CONFIG_FILE_BYTES_MAX; j++)
			text[j] = units[i][j % n];
		FILE *err = memory_open();
		int rc = config_load_text("test", text, CONFIG_FILE_BYTES_MAX, &one, err);
		fclose(err);
		CU_ASSERT_EQUAL(rc, units[i][0] == '#' ? 0 : -EINVAL);
		CU_ASSERT_TRUE(memory_bytes < 20000);
	}
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load_text("test", text, CONFIG_FILE_BYTES_MAX + 1, &one, err), -EFBIG);
	fclose(err);
	CU_ASSERT_STRING_EQUAL(memory, "test: error: more than 1048576 bytes\n");
	free(text);
}

static void file_is_refused(const char *path, int code, const char *why)
{
	char message[200];
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load(path, &one, err), code);
	fclose(err);
	snprintf(message, sizeof(message), "%s: error: %s\n", path, why);
	CU_ASSERT_STRING_EQUAL(memory, message);
}

/* Quotes of each kind, and lengths around the limit. libfyaml leaks where it reads very many single quotes.
 */
static void test_quotes(void)
{
	load_good(&one,
		"users:\n  - {name: 'it''s ''''\\', password: \"a\\\"\\\\\\u00e9\"}\n"
		"  - name: ''''\n    \"password\": p'q\"r\n  - 'name': x # y\n    password: 'null'\n");
	CU_ASSERT_STRING_EQUAL(one.users[0].name, "it's ''\\");
	CU_ASSERT_STRING_EQUAL(one.users[0].password, "a\"\\\xc3\xa9");
	CU_ASSERT_STRING_EQUAL(one.users[1].name, "'");
	CU_ASSERT_STRING_EQUAL(one.users[1].password, "p'q\"r");
	CU_ASSERT_STRING_EQUAL(one.users[2].name, "x");
	CU_ASSERT_STRING_EQUAL(one.users[2].password, "null");

	char *text = malloc(5000);
	int n = sprintf(text, "user: '");
	for (unsigned pieces = 2000; pieces < 2100; pieces++) {
		memset(text + n, '\'', pieces * 2);
		memcpy(text + n + pieces * 2, "'\n", 3);
		CU_ASSERT_EQUAL(load(&one, text), -EINVAL);
		CU_ASSERT_EQUAL(strstr(memory, "found a value of ") != NULL, pieces * 2 > 4096);
		CU_ASSERT_EQUAL(strstr(memory, "it is too long") != NULL, pieces * 2 <= 4096);
	}
	free(text);
}

static void test_files(void)
{
	char path[] = "/tmp/godwit-config-XXXXXX";
	int fd = mkstemp(path);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	static const char text[] = "users:\n  - {name: a, password: secret}\n";
	CU_ASSERT_EQUAL(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	fchmod(fd, 0600);
	FILE *err = memory_open();
	CU_ASSERT_EQUAL(config_load(path, &one, err), 0);
	fclose(err);
	CU_ASSERT_STRING_EQUAL(memory, "");
	CU_ASSERT_STRING_EQUAL(one.path, path);

	fchmod(fd, 0644);
	err = memory_open();
	CU_ASSERT_EQUAL(config_load(path, &one, err), 0);
	fclose(err);
	char message[400];
	snprintf(message, sizeof(message),
		"%s:2:25: warning: users: everybody on this machine may read the passwords in this file: "
		"chmod o-r, or use password_hash\n"
		"    2 |   - {name: a, password: ***\n      |                         ^\n",
		path);
	CU_ASSERT_STRING_EQUAL(memory, message);

	CU_ASSERT_EQUAL(ftruncate(fd, CONFIG_FILE_BYTES_MAX + 1), 0);
	file_is_refused(path, -EFBIG, "more than 1048576 bytes");
	close(fd);
	unlink(path);
	file_is_refused(path, -ENOENT, "cannot be read: No such file or directory");
	file_is_refused("/tmp", -EISDIR, "cannot be read: Is a directory");
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"errors", test_errors},
		{"bytes that are no text", test_bytes_that_are_no_text},
		{"empty", test_empty},
		{"large", test_large},
		{"quotes", test_quotes},
		{"files", test_files},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	free(memory);
	return rc;
}
