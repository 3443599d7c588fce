/* kafka_test.h - the frame of tests that a mock cluster, a real broker or both must pass.
 *
 * For a test file of Criterion, which defines TEST_S, the seconds that a test may take, and has
 * begin() (opens the mock), begin_real() (opens the broker of TEST_KAFKA, if there is one) and end().
 * Tests of a real broker are in the suite SUITE_real, and are skipped without one. */
#ifndef SUPPORT_KAFKA_TEST_H
#define SUPPORT_KAFKA_TEST_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "support/broker.h"

#define MOCK(suite, name) Test(suite, name, .init = begin, .fini = end, .timeout = TEST_S)

#define REAL(suite, name)                                                                          \
	static void suite##_##name(void);                                                          \
	KAFKA_TEST_REAL(suite, name)                                                               \
	static void suite##_##name(void)

#define BOTH(suite, name)                                                                          \
	static void suite##_##name(void);                                                          \
	MOCK(suite, name)                                                                          \
	{                                                                                          \
		suite##_##name();                                                                  \
	}                                                                                          \
	KAFKA_TEST_REAL(suite, name)                                                               \
	static void suite##_##name(void)

#define KAFKA_TEST_REAL(suite, name)                                                               \
	Test(suite##_real, name, .init = begin_real, .fini = end, .timeout = TEST_S)               \
	{                                                                                          \
		if (!getenv("TEST_KAFKA"))                                                         \
			cr_skip_test("TEST_KAFKA is not set");                                     \
		suite##_##name();                                                                  \
	}

/* Waits until the expression holds, and looks no more then; every 2 ms, for BROKER_PATIENCE_MS. */
#define AWAIT(...)                                                                                 \
	do {                                                                                       \
		const struct timespec look_ = { 0, 2000000 };                                      \
		int64_t until_ms_ = clock_mono_ms() + BROKER_PATIENCE_MS;                          \
		bool holds_;                                                                       \
		while (!(holds_ = (__VA_ARGS__)) && clock_mono_ms() < until_ms_)                   \
			nanosleep(&look_, NULL);                                                   \
		cr_assert(holds_, "%s", #__VA_ARGS__);                                             \
	} while (0)

#endif
