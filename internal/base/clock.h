/* clock.h - the two clocks.  Deadlines and durations use the monotonic one; what people and other
 * machines see uses Unix time.  Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in milliseconds and microseconds. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

/* CLOCK_REALTIME: Unix time in milliseconds. */
int64_t clock_unix_ms(void);

#endif
