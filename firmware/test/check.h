/* Checks for the test programs. A failed check is printed and counted, and the test goes on. The
 * main of each test program ends with return check_end("name"). */
#ifndef LK_CHECK_H
#define LK_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int check_failed, check_done;

#define CHECK(cond) \
	do { \
		check_done++; \
		if (!(cond)) { \
			check_failed++; \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
		} \
	} while (0)

#define CHECK_EQ(got, want) \
	do { \
		long long check_got = (long long)(got), check_want = (long long)(want); \
		check_done++; \
		if (check_got != check_want) { \
			check_failed++; \
			fprintf(stderr, "%s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got, check_got, \
				check_want); \
		} \
	} while (0)

static inline int check_end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, check_done, check_failed);
	return check_failed != 0 || check_done == 0;
}

#endif
