/*
** Perdura: the steps that a script may still take. One is about what an instruction takes.
** Whatever may take long takes steps: instructions (by a hook), loops of the library's functions,
** searches in chains of hash tables, comparisons of strings. Allocations are counted by the allocator.
*/

#ifndef lsteps_h
#define lsteps_h

#include "lua.h"

extern __thread long long luai_steps;

/* takes steps where nothing can be raised */
#define luai_take(n)	((void)(luai_steps -= (long long)(n)))

#define luai_isover()	(luai_steps < 0)

/* takes steps, and raises an error if there are none left */
#define luai_charge(L,n) \
	{ luai_take(n); if (luai_isover()) luai_over(L); }

/* bytes that are compared, copied or hashed in a step */
#define luai_bytes(n)	((n) / 16)

void luai_over (lua_State *L);

#endif
