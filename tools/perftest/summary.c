/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/summary.h"

void summary_rate(struct summary_rates *r, double rate)
{
	if (!r->workers || rate < r->min)
		r->min = rate;
	if (!r->workers || rate > r->max)
		r->max = rate;
	r->mean = (r->mean * r->workers + rate) / (r->workers + 1);
	r->workers++;
}

void summary_finish(struct summary *s, double seconds, uint64_t count, uint64_t transfers, uint64_t size)
{
	s->seconds = seconds;
	s->count = count;
	s->transfers = transfers;
	s->transfers_a_second = (double)transfers / seconds;
	s->mb_a_second = s->transfers_a_second * (double)size / (1 << 20);
}

void summary_mean(struct summary *out, const struct summary *s, unsigned count)
{
	*out = (struct summary){0};
	for (unsigned i = 0; i < count; i++) {
		summary_rate(&out->publish, s[i].publish.mean);
		summary_rate(&out->receive, s[i].receive.mean);
		out->seconds += s[i].seconds / count;
		out->transfers_a_second += s[i].transfers_a_second / count;
		out->mb_a_second += s[i].mb_a_second / count;
	}
}

/* Six digits, as a stream of C++ has them, but never with an exponent. */
static void number(FILE *out, double v, char after)
{
	if (v >= 999999.5)
		fprintf(out, "%.0f%c", v, after);
	else if (v > 0 && v < 0.0001)
		fprintf(out, "%.9f%c", v, after);
	else
		fprintf(out, "%.6g%c", v, after);
}

static void line(FILE *out, const struct summary *s, char between)
{
	number(out, s->publish.mean, between);
	number(out, s->receive.mean, between);
	number(out, s->transfers_a_second, between);
	number(out, s->mb_a_second, '\n');
}

static void rates(FILE *out, const char *what, const struct summary_rates *r)
{
	fprintf(out, "%-10s %8u %14.0f %14.0f %14.0f\n", what, r->workers, r->mean, r->min, r->max);
}

enum { BUSY_PERCENT = 90 }; /* from here on the client is suspected */

static void table_busy(FILE *out, double busy)
{
	if (busy >= 0)
		fprintf(out, "the client's busiest loop had work       %14.0f %% of the time%s\n", 100 * busy,
			100 * busy < BUSY_PERCENT ? ""
						  : ": the client may be the limit (--threads, --ceiling)");
}

static void table(FILE *out, const struct perftest_options *o, unsigned iteration, const struct summary *s)
{
	static const char *const modes[] = {"shared", "fanout", "topic"};

	fprintf(out, "%siteration %u of %llu: %llu transfers of %llu bytes in %.3f s, every message once%s\n",
		iteration ? "\n" : "", iteration + 1, (unsigned long long)o->iterations,
		(unsigned long long)s->transfers, (unsigned long long)o->size, s->seconds,
		o->size >= 8 ? " and in order" : " (too small for a check of their order)");
	fprintf(out, "mode %s, %llu queues or topics, %s, %s\n\n", modes[o->mode], (unsigned long long)o->qt,
		o->tx	     ? "transactions"
		: o->confirm ? "confirmed"
			     : "not confirmed",
		o->ack ? "acknowledged" : "not acknowledged");
	fprintf(out, "%-10s %8s %14s %14s %14s\n", "", "workers", "mean msg/s", "min", "max");
	rates(out, "publish", &s->publish);
	rates(out, "receive", &s->receive);
	fprintf(out,
		"\ntransfers/s (publishes and receives) %14.0f\nMB/s (2^20 bytes, both ways)         "
		"%14.3f\n",
		s->transfers_a_second, s->mb_a_second);
	table_busy(out, s->client_busy);
}

static void csv(FILE *out, const struct perftest_options *o, unsigned iteration, const struct summary *s)
{
	if (!iteration)
		fprintf(out, "iteration,size,transfers,seconds,publishes_per_s,receives_per_s,transfers_per_"
			     "s,mb_per_s\n");
	fprintf(out, "%u,%llu,%llu,%.6f,", iteration + 1, (unsigned long long)o->size,
		(unsigned long long)s->transfers, s->seconds);
	line(out, s, ',');
}

static void json_rates(FILE *out, const char *name, const struct summary_rates *r)
{
	fprintf(out, "\"%s\": {\"workers\": %u, \"mean\": %.3f, \"min\": %.3f, \"max\": %.3f}, ", name,
		r->workers, r->mean, r->min, r->max);
}

static void json(FILE *out, const struct perftest_options *o, unsigned iteration, const struct summary *s)
{
	fprintf(out,
		"{\"iteration\": %u, \"mode\": \"%s\", \"qt\": %llu, \"size\": %llu, \"count\": %llu, "
		"\"transfers\": %llu, \"seconds\": %.6f, ",
		iteration + 1, o->mode_word, (unsigned long long)o->qt, (unsigned long long)o->size,
		(unsigned long long)s->count, (unsigned long long)s->transfers, s->seconds);
	json_rates(out, "publishes_per_s", &s->publish);
	json_rates(out, "receives_per_s", &s->receive);
	if (s->client_busy >= 0)
		fprintf(out, "\"client_busy\": %.4f, ", s->client_busy);
	fprintf(out, "\"transfers_per_s\": %.3f, \"mb_per_s\": %.6f, \"order_checked\": %s}\n",
		s->transfers_a_second, s->mb_a_second, o->size >= 8 ? "true" : "false");
}

void summary_print(FILE *out, const struct perftest_options *o, unsigned iteration, const struct summary *s)
{
	switch (o->format) {
	case PERFTEST_SUMMARY:
		line(out, s, '\t');
		break;
	case PERFTEST_CSV:
		csv(out, o, iteration, s);
		break;
	case PERFTEST_JSON:
		json(out, o, iteration, s);
		break;
	default:
		table(out, o, iteration, s);
	}
	fflush(out);
}

void summary_print_mean(FILE *out, const struct perftest_options *o, const struct summary *mean)
{
	if (o->format == PERFTEST_SUMMARY) {
		fprintf(out, "Averages: \n");
		line(out, mean, '\t');
	} else if (o->format == PERFTEST_TABLE) {
		fprintf(out, "\naverages of %u: transfers/s %.0f, MB/s %.3f\n", mean->publish.workers,
			mean->transfers_a_second, mean->mb_a_second);
	}
}
