/* SPDX-License-Identifier: Apache-2.0 */
/* godwit-latencytest: how long messages take through a broker, by the model of qpid-latency-test, on a
 * schedule that waits for nothing. bench/README.md says more. */
#include "tools/latencytest/report.h"
#include "tools/latencytest/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "godwit-latencytest: %s%s%s\n", what, *why ? ": " : "", why);
	return 1;
}

static int merge(struct recorder *r, char **files, int count)
{
	char error[128];

	for (int i = 0; i < count; i++) {
		FILE *in = fopen(files[i], "r");
		if (!in)
			return complain(files[i], strerror(errno));
		int status = distribution_read(&r->all, in, error, sizeof(error));
		fclose(in);
		if (status)
			return complain(files[i], error);
	}
	return 0;
}

static int keep(const struct distribution *d, const char *file)
{
	if (!file)
		return 0;
	FILE *out = fopen(file, "w");
	if (!out)
		return complain(file, strerror(errno));
	int status = distribution_write(d, out);
	if (fclose(out) || status)
		return complain(file, strerror(errno));
	return 0;
}

static int test(struct run *r, struct recorder *sum, char **argv)
{
	const struct latency_options *o = &r->options;
	char error[512];
	int status;

	if (o->merge) {
		status = merge(sum, argv, o->files);
	} else {
		if (machine_prepare(&r->machine, &o->machine, error, sizeof(error))) {
			complain(error, "");
			return 2;
		}
		status = run_all(r, sum);
	}
	if (status)
		return status;
	report_print(stdout, o, sum);
	status = keep(&sum->all, o->histogram);
	return status ? status : keep(&sum->calm, o->no_gaps);
}

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	struct recorder *sum = calloc(1, sizeof(*sum));
	char error[512];
	int status = 2;

	if (!r || !sum) {
		status = complain("no memory", "");
	} else if (latency_options_parse(&r->options, argc, argv, error, sizeof(error))) {
		complain(error, "");
	} else if (r->options.help) {
		latency_options_help(stdout);
		status = 0;
	} else {
		status = test(r, sum, argv);
	}
	free(sum);
	free(r);
	return status;
}
