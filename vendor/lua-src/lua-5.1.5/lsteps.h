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

/*
** weights: what takes so many times as long as an instruction of a plain loop. Measured; see
** docs/decisions/0014-scripts.md. They are part of what the log means.
*/
#define LUAI_CCALL	6	/* a call of a function in C */
#define LUAI_CALL	2	/* a call of a function in Lua, besides its frame */
#define LUAI_SLOTS	4	/* values that are moved or cleared in a step */
#define LUAI_PROTECTED	12	/* a protected call, and a coroutine that is resumed */
#define LUAI_THROWN	40	/* an error */
#define LUAI_NUMERAL	20	/* a text that is read as a number, besides its bytes */
#define LUAI_FORMATTED	40	/* an item of a format */
#define LUAI_SHOWN	80	/* a number that becomes a text */

/* steps of a number that becomes a text: its exponent tells how many digits are computed */
long long luai_shown (double n);

/* of an instruction, and of a comparison in a sort: more where memory is in use beyond the caches */
#define LUAI_CACHED	((size_t)2 << 20)
int luai_factor (lua_State *L);

void luai_over (lua_State *L);

#endif
