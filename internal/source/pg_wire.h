/* pg_wire.h - big-endian integers, as PostgreSQL's protocol has them.  Any thread. */
#ifndef SOURCE_PG_WIRE_H
#define SOURCE_PG_WIRE_H

#include <stdint.h>

/* Writes 2 bytes. */
static inline void
pg_put16(unsigned char *at, uint16_t number)
{
	at[0] = (unsigned char)(number >> 8);
	at[1] = (unsigned char)number;
}

/* Writes 4 bytes. */
static inline void
pg_put32(unsigned char *at, uint32_t number)
{
	pg_put16(at, (uint16_t)(number >> 16));
	pg_put16(at + 2, (uint16_t)number);
}

/* Writes 8 bytes. */
static inline void
pg_put64(unsigned char *at, uint64_t number)
{
	pg_put32(at, (uint32_t)(number >> 32));
	pg_put32(at + 4, (uint32_t)number);
}

/* Reads 2 bytes. */
static inline uint16_t
pg_get16(const unsigned char *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Reads 4 bytes. */
static inline uint32_t
pg_get32(const unsigned char *at)
{
	return (uint32_t)pg_get16(at) << 16 | pg_get16(at + 2);
}

/* Reads 8 bytes. */
static inline uint64_t
pg_get64(const unsigned char *at)
{
	return (uint64_t)pg_get32(at) << 32 | pg_get32(at + 4);
}

#endif
