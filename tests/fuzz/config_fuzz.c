/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: any text is refused with a message or understood; what is understood prints as a text that is
 * understood in the same way, users aside. */
#include <string.h>

#include "config/config.h"
#include "tests/fuzz/fuzz.h"

static struct config first, second;

static void check_round_trip(void)
{
	char *text = NULL;
	size_t text_bytes = 0;
	FILE *out = open_memstream(&text, &text_bytes);
	FUZZ_MUST(out);
	config_print(&first, out);
	fclose(out);
	FUZZ_MUST(config_load_text("fuzz", text, text_bytes, &second, stderr) == 0);
	first.user_count = 0;
	memset(first.users, 0, sizeof(first.users));
	FUZZ_MUST(memcmp(&first, &second, sizeof(first)) == 0);
	FUZZ_MUST(config_diff(&first, &second, NULL, NULL) == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *messages = NULL;
	size_t messages_bytes = 0;
	FILE *err = open_memstream(&messages, &messages_bytes);
	FUZZ_MUST(err);
	int rc = config_load_text("fuzz", (const char *)data, bytes, &first, err);
	fclose(err);
	FUZZ_MUST(rc == 0 || messages_bytes > 0);
	free(messages);
	if (rc == 0)
		check_round_trip();
	return 0;
}
