/* SPDX-License-Identifier: Apache-2.0 */
/* godwit-perftest: how many messages a broker moves, by the model of qpid-perftest. bench/README.md says
 * more. */
#include "tools/perftest/ceiling.h"
#include "tools/perftest/run.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	char error[512];
	int status = 2;

	if (!r)
		return 1;
	r->out = stdout;
	if (perftest_options_parse(&r->options, argc, argv, error, sizeof(error))) {
		fprintf(stderr, "godwit-perftest: %s\n", error);
	} else if (r->options.help) {
		perftest_options_help(stdout);
		status = 0;
	} else if (machine_prepare(&r->machine, &r->options.machine, error, sizeof(error))) {
		fprintf(stderr, "godwit-perftest: %s\n", error);
	} else if (r->options.ceiling) {
		status = ceiling_run(r);
	} else {
		status = run_all(r);
	}
	free(r);
	return status;
}
