// The trampolines between Lua and Swift, and bulk access to lists of numbers.
#include "CLua.h"
#include <limits.h>

// ---- Trampolines. Upvalues 1 and 2 of each closure are the dispatch function and the native function.

static clua_dispatch dispatch_of(lua_State *L) {
  return (clua_dispatch)lua_touserdata(L, lua_upvalueindex(1));
}

static int continued(lua_State *L, int status, lua_KContext function);
static int called_back(lua_State *L, int status, lua_KContext function);

// Swift's frames are gone here, so raising and yielding are safe.
static int finish(lua_State *L, void *function, int outcome) {
  if (outcome >= 0) return outcome;
  lua_KContext context = (lua_KContext)function;
  if (outcome == CLUA_YIELD) return lua_yieldk(L, 0, context, continued);
  if (outcome == CLUA_CALL) {
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, context, called_back);
    return called_back(L, status, context);
  }
  return lua_error(L);
}

static int run(lua_State *L, void *function) { return finish(L, function, dispatch_of(L)(L, function, CLUA_CALLED)); }

static int continued(lua_State *L, int status, lua_KContext context) {
  (void)status;
  void *function = (void *)context;
  return finish(L, function, dispatch_of(L)(L, function, CLUA_CONTINUED));
}

static int called_back(lua_State *L, int status, lua_KContext context) {
  void *function = (void *)context;
  int reason = status == LUA_OK || status == LUA_YIELD ? CLUA_RETURNED : CLUA_RAISED;
  return finish(L, function, dispatch_of(L)(L, function, reason));
}

static int called(lua_State *L) { return run(L, lua_touserdata(L, lua_upvalueindex(2))); }

void clua_push_function(lua_State *L, clua_dispatch dispatch, void *function) {
  lua_pushlightuserdata(L, (void *)dispatch);
  lua_pushlightuserdata(L, function);
  lua_pushcclosure(L, called, 2);
}

// Upvalues: dispatch, missing, methods, getters.
static int indexed(lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(4)) == LUA_TNIL) {
    lua_pop(L, 1);
    return run(L, lua_touserdata(L, lua_upvalueindex(2)));
  }
  void *getter = lua_touserdata(L, -1);
  lua_settop(L, 1);
  return run(L, getter);
}

void clua_push_index(lua_State *L, clua_dispatch dispatch, void *missing) {
  lua_pushlightuserdata(L, (void *)dispatch);
  lua_insert(L, -3);
  lua_pushlightuserdata(L, missing);
  lua_insert(L, -3);
  lua_pushcclosure(L, indexed, 4);
}

// Upvalues: dispatch, missing, setters.
static int assigned(lua_State *L) {
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) == LUA_TNIL) {
    lua_settop(L, 3);
    return run(L, lua_touserdata(L, lua_upvalueindex(2)));
  }
  void *setter = lua_touserdata(L, -1);
  lua_pop(L, 1);
  lua_remove(L, 2);
  return run(L, setter);
}

void clua_push_newindex(lua_State *L, clua_dispatch dispatch, void *missing) {
  lua_pushlightuserdata(L, (void *)dispatch);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, missing);
  lua_insert(L, -2);
  lua_pushcclosure(L, assigned, 3);
}

int clua_tostring(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

// ---- Collector

void clua_use_incremental_collector(lua_State *L) { lua_gc(L, LUA_GCINC, 0, 0, 0); }
void clua_collect(lua_State *L) { lua_gc(L, LUA_GCCOLLECT); }
size_t clua_memory(lua_State *L) {
  return (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
}

// ---- Lists of numbers

#define PUSH_LIST(name, type, push)                                     \
  void name(lua_State *L, const type *values, size_t count) {           \
    lua_createtable(L, count > INT_MAX ? INT_MAX : (int)count, 0);      \
    for (size_t i = 0; i < count; i++) {                                \
      push(L, values[i]);                                               \
      lua_rawseti(L, -2, (lua_Integer)i + 1);                           \
    }                                                                   \
  }
PUSH_LIST(clua_push_floats, float, lua_pushnumber)
PUSH_LIST(clua_push_doubles, double, lua_pushnumber)
PUSH_LIST(clua_push_int32s, int32_t, lua_pushinteger)
PUSH_LIST(clua_push_integers, int64_t, lua_pushinteger)

// Strings are not taken for numbers, so that a wrong list is found out where it enters.
#define READ_LIST(name, type, number, convert, fits)                    \
  size_t name(lua_State *L, int index, type *values, size_t count) {    \
    index = lua_absindex(L, index);                                     \
    for (size_t i = 0; i < count; i++) {                                \
      int ok = lua_rawgeti(L, index, (lua_Integer)i + 1) == LUA_TNUMBER; \
      number value = ok ? convert(L, -1, &ok) : 0;                      \
      lua_pop(L, 1);                                                    \
      if (!ok || !(fits)) return i + 1;                                 \
      values[i] = (type)value;                                          \
    }                                                                   \
    return 0;                                                           \
  }
READ_LIST(clua_read_floats, float, lua_Number, lua_tonumberx, 1)
READ_LIST(clua_read_doubles, double, lua_Number, lua_tonumberx, 1)
READ_LIST(clua_read_int32s, int32_t, lua_Integer, lua_tointegerx, value >= INT32_MIN && value <= INT32_MAX)

int clua_next(lua_State *L, int index) { return lua_next(L, index); }
