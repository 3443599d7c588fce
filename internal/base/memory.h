/* memory.h - what the process says to its allocator.
 *
 * Where a lack of memory cannot be an error, it is the end of the process.
 * Our own code checks every allocation and says TALLY_NO_MEMORY.  Some libraries do not: librdkafka
 * aborts, and jansson 2.14 (load.c, lex_save) leaves out bytes of what it reads when its buffer
 * cannot grow, so that a request for "annabella" could be answered as one for "annabell".  A
 * process that ends is started again; a wrong answer stays. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#define MEMORY_EXIT 71 /* sysexits(3), EX_OSERR */

/* Has jansson end the process when it gets no memory.  Before any thread is started. */
void memory_guard_json(void);

/* Large buffers are given back to the system as soon as they are free.  glibc gives its first one
 * back, takes the size for usual and keeps those that follow (mallopt(3), M_MMAP_THRESHOLD), which
 * costs a process that has large ones now and then their sum for ever.  Before any thread is
 * started. */
void memory_give_back(void);

/* Says what there was no memory for, and ends the process with MEMORY_EXIT.  Any thread. */
__attribute__((noreturn)) void memory_exhausted(const char *what);

#endif
