// Lua 5.4's C API and the longjmp-safe bridge over which Swift uses it.
#ifndef MIDTRAIN_CLUA_H
#define MIDTRAIN_CLUA_H
#include <lua5.4/lua.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>
#endif
