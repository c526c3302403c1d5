/* What load.c counts: times in a histogram, answers by who gave them, and the JSON object that it prints in the end. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS 1000000LL /* all times are in nanoseconds */

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* Microseconds, in 64 steps for each power of two: exact below 64, within 1.6 % above. */
#define STEPS 64
#define BUCKETS (STEPS * 32)

struct histogram {
	uint64_t count, max, buckets[BUCKETS];
};

static void note(struct histogram *h, int64_t ns)
{
	uint64_t us = ns > 0 ? ns / 1000 : 0, value = us;
	int shift = 0;
	for (; value >= 2 * STEPS; value >>= 1)
		shift++;
	uint64_t bucket = us < STEPS ? us : (uint64_t)shift * STEPS + value;
	h->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	h->count++;
	if (us > h->max)
		h->max = us;
}

/* The upper end of the bucket in which that part of all values is reached. */
static uint64_t quantile(const struct histogram *h, double part)
{
	uint64_t wanted = (uint64_t)(h->count * part), seen = 0;
	for (uint64_t i = 0; i < BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > wanted) {
			if (i < 2 * STEPS)
				return i;
			uint64_t shift = i / STEPS - 1, end = ((i - shift * STEPS + 1) << shift) - 1;
			return end < h->max ? end : h->max;
		}
	}
	return h->max;
}

static void print_histogram(const char *name, const struct histogram *h)
{
	printf("\"%s\":{\"p50\":%llu,\"p99\":%llu,\"max\":%llu},", name, (unsigned long long)quantile(h, 0.5),
	       (unsigned long long)quantile(h, 0.99), (unsigned long long)h->max);
}

/* Each way in which a request can end, and what else is worth a count. */
enum count {
	ANSWERED,
	REFUSED, /* nobody listens */
	RESET, /* before the whole answer was there */
	TIMED_OUT,
	SHORT, /* the answer ended early */
	CLOSED, /* ended without one byte of an answer, on a connection made for this request */
	BAD_STATUS, /* an answer other than 200 */
	NO_ADDRESS, /* this machine has no free port for the client: the load's own trouble */
	OTHER,
	RETRIED, /* sent once more, since a reused connection ended before any byte of the answer (RFC 9110, 9.2.2) */
	CLOSED_IDLE, /* the server ended a connection between two requests */
	CONNECTIONS,
	COUNTS
};

static const char *const count_names[COUNTS] = { "answered",   "refused",    "reset", "timed_out", "short",       "closed",
						 "bad_status", "no_address", "other", "retried",   "closed_idle", "connections" };
static uint64_t counts[COUNTS];

/* Answers by the instance that gave them. */
#define NAMES 256
static struct {
	char name[64];
	uint64_t count;
} instances[NAMES];

static void answered_by(const char *name)
{
	for (int i = 0; i < NAMES; i++) {
		if (!instances[i].name[0])
			snprintf(instances[i].name, sizeof instances[i].name, "%s", name);
		if (!strcmp(instances[i].name, name)) {
			instances[i].count++;
			return;
		}
	}
}

static void print_counts(void)
{
	uint64_t lost = 0;
	for (int i = REFUSED; i <= OTHER; i++)
		lost += counts[i];
	for (int i = 0; i < COUNTS; i++)
		printf("\"%s\":%llu,", count_names[i], (unsigned long long)counts[i]);
	printf("\"lost\":%llu,\"instances\":{", (unsigned long long)lost);
	for (int i = 0; i < NAMES && instances[i].name[0]; i++)
		printf("%s\"%s\":%llu", i ? "," : "", instances[i].name, (unsigned long long)instances[i].count);
	printf("}");
}
