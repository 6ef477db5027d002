/*
** Perdura: see lsteps.h
*/

#define lsteps_c
#define LUA_CORE

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "lua.h"

#include "lauxlib.h"
#include "lstate.h"
#include "lsteps.h"

#define HOOK_PERIOD	200

__thread long long luai_steps = 0;

/* the operator `^', which no two mathematical libraries round alike */
double (*luai_pow) (double a, double b) = pow;


LUA_API void lua_setpow (double (*f) (double a, double b)) {
  luai_pow = f;
}


void luai_over (lua_State *L) {
  luaL_error(L, "script ran out of steps");
}


long long luai_shown (double n) {
  int exponent = 0;
  if (n - n == 0) frexp(n, &exponent);
  return LUAI_SHOWN + abs(exponent) / 4;
}


int luai_factor (lua_State *L) {
  return 1 + (int)(G(L)->totalbytes / LUAI_CACHED);
}


static void count (lua_State *L, lua_Debug *ar) {
  (void)ar;
  luai_charge(L, HOOK_PERIOD * luai_factor(L));
}


LUA_API void lua_setsteps (long long steps) {
  luai_steps = steps;
}


LUA_API long long lua_getsteps (void) {
  return luai_steps;
}


LUA_API void lua_takesteps (long long steps) {
  if (luai_steps > LLONG_MIN / 2)  /* never past the least number */
    luai_take(steps);
}


LUA_API void lua_countsteps (lua_State *L) {
  lua_sethook(L, count, LUA_MASKCOUNT, HOOK_PERIOD);
}
