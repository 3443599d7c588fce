/* own.h - scope-bound ownership: OWN(thing) frees itself, TAKE() moves it out.
 *
 * OWN_DEFINE(thing); once in a .c file, after the header that declares thing_free(); then
 * OWN(thing) name = NULL; in a function.  The destructor must accept NULL. */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#define OWN(type) __attribute__((cleanup(type##_freep))) struct type *

#define OWN_DEFINE(type)                                                                           \
	__attribute__((unused)) static inline void type##_freep(struct type **p)                   \
	{                                                                                          \
		type##_free(*p);                                                                   \
	}                                                                                          \
	struct type

#define TAKE(ptr)                                                                                  \
	__extension__({                                                                            \
		__typeof__(ptr) taken_ = (ptr);                                                    \
		(ptr) = NULL;                                                                      \
		taken_;                                                                            \
	})

#endif
