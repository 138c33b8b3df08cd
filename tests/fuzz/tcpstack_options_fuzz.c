/* SPDX-License-Identifier: Apache-2.0 */
/* TCP options of any bytes, in memory that ends with them; what was understood is written and read back. */
#include <string.h>

#include "tcpstack/tcp_options.h"
#include "tests/fuzz/fuzz.h"

static void read_back(const struct tcp_options *o, bool syn)
{
	uint8_t bytes[TCP_OPTIONS_BYTES_MAX];
	struct tcp_options some = *o, again;

	if (some.has_timestamp && some.sack_count > 3) /* what fits beside a timestamp */
		some.sack_count = 3;
	uint32_t n = tcp_options_write(bytes, &some);
	FUZZ_MUST(n <= sizeof(bytes) && n % 4 == 0);
	FUZZ_MUST(tcp_options_parse(&again, bytes, n, syn) == 0);
	FUZZ_MUST(again.has_timestamp == some.has_timestamp && again.sack_count == some.sack_count);
	FUZZ_MUST(!some.has_timestamp || (again.ts_val == some.ts_val && again.ts_ecr == some.ts_ecr));
	FUZZ_MUST(again.has_mss == some.has_mss && (!some.has_mss || again.mss == some.mss));
	FUZZ_MUST(again.has_wscale == some.has_wscale && (!some.has_wscale || again.wscale == some.wscale));
	FUZZ_MUST(again.has_sack_permitted == some.has_sack_permitted);
	for (unsigned i = 0; i < some.sack_count; i++)
		FUZZ_MUST(again.sack[i].start == some.sack[i].start && again.sack[i].end == some.sack[i].end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_options o;

	if (size < 1 || size > 1 + TCP_OPTIONS_BYTES_MAX)
		return 0;
	bool syn = data[0] & 1;
	uint32_t n = (uint32_t)size - 1;
	uint8_t *exact = malloc(n ? n : 1);
	FUZZ_MUST(exact);
	memcpy(exact, data + 1, n);
	if (tcp_options_parse(&o, exact, n, syn) == 0) {
		FUZZ_MUST(o.sack_count <= TCP_SACK_BLOCKS_MAX && o.wscale <= TCP_WSCALE_MAX);
		FUZZ_MUST(syn || (!o.has_mss && !o.has_wscale && !o.has_sack_permitted));
		FUZZ_MUST(!syn || o.sack_count == 0);
		read_back(&o, syn);
	}
	free(exact);
	return 0;
}
