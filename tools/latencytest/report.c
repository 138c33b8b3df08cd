/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/report.h"

static const struct {
	const char *name, *head;
	double part;
} percentiles[] = {{"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99_9", "p99.9", 0.999},
	{"p99_99", "p99.99", 0.9999}};
enum { PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0]), ROWS_MAX = 5 };

struct row {
	const char *name, *meaning;
	const struct distribution *d;
};

/* Merged files have the first one alone. */
static unsigned rows_of(const struct latency_options *o, const struct recorder *r, struct row rows[ROWS_MAX])
{
	unsigned n = 0;

	rows[n++] = (struct row){"all", "every message, from the time at which it was to be sent", &r->all};
	if (o->merge)
		return n;
	if (r->gaps.watched_ns)
		rows[n++] = (struct row){"no_gaps",
			"those that came, and were to be sent, while this client was at its loop", &r->calm};
	if (o->confirm)
		rows[n++] = (struct row){
			"confirmed", "from the same time until the broker confirmed", &r->confirmed};
	rows[n++] = (struct row){"sent_late", "how late the client itself sent", &r->late};
	rows[n++] = (struct row){"floor", "the same schedule without a network, before the test", &r->floor};
	return n;
}

static void table_row(FILE *out, const struct row *row)
{
	const struct distribution *d = row->d;
	uint64_t ns;

	fprintf(out, "%-10s %10llu %9.5f %9.5f %9.5f %9.5f", row->name, (unsigned long long)d->count,
		(double)d->min / 1e6, d->mean / 1e6, (double)d->max / 1e6, distribution_deviation(d) / 1e6);
	for (unsigned i = 0; i < PERCENTILES; i++) {
		if (distribution_quantile(d, percentiles[i].part, &ns))
			fprintf(out, " %9.5f", (double)ns / 1e6);
		else
			fprintf(out, " %9s", "-");
	}
	fprintf(out, "\n");
}

/* From so much of the average latency on, it is the client's own doing. */
enum { LATE_PERCENT = 10 };

static void table_late(FILE *out, const struct recorder *r)
{
	double percent = r->all.count ? 100 * r->late.mean / r->all.mean : 0;

	if (percent > LATE_PERCENT)
		fprintf(out,
			"the client itself was late by %.0f %% of the average: it may be the limit "
			"(--threads, a lower --rate)\n",
			percent);
}

static void table(FILE *out, const struct latency_options *o, const struct recorder *r)
{
	struct row rows[ROWS_MAX];
	unsigned n = rows_of(o, r, rows);

	if (o->merge)
		fprintf(out, "latency in ms, %d histograms\n\n", o->files);
	else
		fprintf(out, "latency in ms: %llu bytes, %llu messages/s to each of %llu queues\n\n",
			(unsigned long long)o->size, (unsigned long long)o->rate,
			(unsigned long long)o->queues);
	fprintf(out, "%-10s %10s %9s %9s %9s %9s", "", "messages", "min", "avg", "max", "stddev");
	for (unsigned i = 0; i < PERCENTILES; i++)
		fprintf(out, " %9s", percentiles[i].head);
	fprintf(out, "\n");
	for (unsigned i = 0; i < n; i++)
		table_row(out, &rows[i]);
	fprintf(out, "\n");
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "%-10s %s\n", rows[i].name, rows[i].meaning);
	if (r->gaps.watched_ns)
		fprintf(out, "%-10s %llu of more than %llu us, the longest %.3f ms, %.3f %% of the time\n",
			"gaps", (unsigned long long)r->gaps.count, (unsigned long long)o->gap_us,
			(double)r->gaps.ns_max / 1e6, 100 * (double)r->gaps.ns / (double)r->gaps.watched_ns);
	table_late(out, r);
}

static void csv(FILE *out, const struct latency_options *o, const struct recorder *r)
{
	struct row rows[ROWS_MAX];
	unsigned n = rows_of(o, r, rows);
	uint64_t ns;

	fprintf(out, "row,rate,size,queues,count,min_ms,avg_ms,max_ms,stddev_ms");
	for (unsigned i = 0; i < PERCENTILES; i++)
		fprintf(out, ",%s_ms", percentiles[i].name);
	fprintf(out, "\n");
	for (unsigned i = 0; i < n; i++) {
		const struct distribution *d = rows[i].d;
		if (o->merge)
			fprintf(out, "%s,,,,%llu", rows[i].name, (unsigned long long)d->count);
		else
			fprintf(out, "%s,%llu,%llu,%llu,%llu", rows[i].name, (unsigned long long)o->rate,
				(unsigned long long)o->size, (unsigned long long)o->queues,
				(unsigned long long)d->count);
		fprintf(out, ",%.6f,%.6f,%.6f,%.6f", (double)d->min / 1e6, d->mean / 1e6,
			(double)d->max / 1e6, distribution_deviation(d) / 1e6);
		for (unsigned k = 0; k < PERCENTILES; k++) {
			if (distribution_quantile(d, percentiles[k].part, &ns))
				fprintf(out, ",%.6f", (double)ns / 1e6);
			else
				fprintf(out, ",");
		}
		fprintf(out, "\n");
	}
}

static void json_row(FILE *out, const struct row *row)
{
	const struct distribution *d = row->d;
	uint64_t ns;

	fprintf(out,
		"\"%s\": {\"count\": %llu, \"min_ms\": %.6f, \"avg_ms\": %.6f, \"max_ms\": %.6f, "
		"\"stddev_ms\": %.6f",
		row->name, (unsigned long long)d->count, (double)d->min / 1e6, d->mean / 1e6,
		(double)d->max / 1e6, distribution_deviation(d) / 1e6);
	for (unsigned i = 0; i < PERCENTILES; i++)
		if (distribution_quantile(d, percentiles[i].part, &ns))
			fprintf(out, ", \"%s_ms\": %.6f", percentiles[i].name, (double)ns / 1e6);
	fprintf(out, "}");
}

static void json(FILE *out, const struct latency_options *o, const struct recorder *r)
{
	struct row rows[ROWS_MAX];
	unsigned n = rows_of(o, r, rows);

	fprintf(out, "{");
	if (!o->merge)
		fprintf(out, "\"rate\": %llu, \"size\": %llu, \"queues\": %llu, ",
			(unsigned long long)o->rate, (unsigned long long)o->size,
			(unsigned long long)o->queues);
	for (unsigned i = 0; i < n; i++) {
		json_row(out, &rows[i]);
		fprintf(out, "%s", i + 1 < n ? ", " : "");
	}
	if (r->gaps.watched_ns)
		fprintf(out,
			", \"gaps\": {\"limit_us\": %llu, \"count\": %llu, \"max_ms\": %.6f, \"share\": "
			"%.9f}",
			(unsigned long long)o->gap_us, (unsigned long long)r->gaps.count,
			(double)r->gaps.ns_max / 1e6, (double)r->gaps.ns / (double)r->gaps.watched_ns);
	fprintf(out, "}\n");
}

void report_print(FILE *out, const struct latency_options *o, const struct recorder *r)
{
	if (o->format == LATENCY_CSV)
		csv(out, o, r);
	else if (o->format == LATENCY_JSON)
		json(out, o, r);
	else
		table(out, o, r);
}
