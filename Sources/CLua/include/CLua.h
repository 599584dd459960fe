// Lua 5.4's C API and the longjmp-safe bridge over which Swift uses it.
//
// lua_error and lua_yield are longjmp; across Swift frames they leak every object and skip every `defer`. So
// Swift calls only API functions that the manual marks `-` or `m`, and a native function *returns* what is to
// happen: the trampoline in CLua.c raises or yields once Swift's frames are gone.
#ifndef MIDTRAIN_CLUA_H
#define MIDTRAIN_CLUA_H
#include <stddef.h>
#include <stdint.h>
#include <lua5.4/lua.h>
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>

static const int CLUA_REGISTRY = LUA_REGISTRYINDEX;

// What a native function returns: a number of results (>= 0) on top of the stack, or one of these.
static const int CLUA_RAISE = -1;  // raise the value on top of the stack
static const int CLUA_YIELD = -2;  // yield to the scheduler
static const int CLUA_CALL = -3;   // call the function at index 2 with what lies above it, keeping index 1

// Why `function` is entered: it was called; what it yielded for is there; the function that it called returned
// (with its results from index 2) or raised the value on top of the stack.
enum { CLUA_CALLED, CLUA_CONTINUED, CLUA_RETURNED, CLUA_RAISED };
typedef int (*clua_dispatch)(lua_State *L, void *function, int reason);

// The pointer that each state carries for its owner; coroutines share their main thread's.
static inline void *clua_owner(lua_State *L) { return *(void **)lua_getextraspace(L); }
static inline void clua_set_owner(lua_State *L, void *owner) { *(void **)lua_getextraspace(L) = owner; }

// ---- Functions and metatables

// Pushes a closure that calls `function` through `dispatch`.
void clua_push_function(lua_State *L, clua_dispatch dispatch, void *function);

// Pushes an __index function: a key in `methods` gives its value; one in `getters` (name -> light userdata)
// calls that function with the object; any other calls `missing` with object and key. Both tables are on top
// of the stack, getters uppermost, and are popped.
void clua_push_index(lua_State *L, clua_dispatch dispatch, void *missing);

// Pushes a __newindex function: a key in `setters` calls that function with object and value; any other calls
// `missing` with object, key and value. The setters table is on top of the stack and is popped.
void clua_push_newindex(lua_State *L, clua_dispatch dispatch, void *missing);

// ---- State

// A lua_CFunction: opens the standard libraries, with coroutine functions that know which coroutine runs.
int clua_open_libraries(lua_State *L);
// A lua_CFunction: tostring, with the `__tostring` and `__name` of its argument.
int clua_tostring(lua_State *L);
void clua_use_incremental_collector(lua_State *L);
void clua_collect(lua_State *L);
size_t clua_memory(lua_State *L);  // bytes that Lua itself holds

// ---- Calls that note which coroutine runs, so that an interrupt finds it

int clua_pcall(lua_State *L, int arguments, int results, int handler);
// `patient`: the first press of Ctrl-C leaves this coroutine (a background job) alone, the second stops it.
int clua_resume(lua_State *co, lua_State *from, int arguments, int *results, int patient);

// What a coroutine that runs Lua code is to do after a while, as `ask` says.
static const int CLUA_PREEMPT_NOT = 0;    // go on
static const int CLUA_PREEMPT_YIELD = 1;  // give way, if it can yield here
static const int CLUA_PREEMPT_END = 2;    // raise an error, from now on at every instruction
void clua_preempt(lua_State *co, int (*ask)(lua_State *L));

// For C functions that can take long, now and then: what interrupts or limits Lua code after a number of instructions
// does so here after as many steps. May raise an error. `steps` are those since it last happened; gives how many those are then.
uint64_t clua_spend(lua_State *L, uint64_t steps);
// Puts string functions that do so in the place of Lua's own.
void clua_replace_searches(lua_State *L);

// ---- Lists of numbers, raw access

void clua_push_floats(lua_State *L, const float *values, size_t count);
void clua_push_doubles(lua_State *L, const double *values, size_t count);
void clua_push_int32s(lua_State *L, const int32_t *values, size_t count);
void clua_push_integers(lua_State *L, const int64_t *values, size_t count);
// These return 0, or the 1-based position of the first element that does not fit the type.
size_t clua_read_floats(lua_State *L, int index, float *values, size_t count);
size_t clua_read_doubles(lua_State *L, int index, double *values, size_t count);
size_t clua_read_int32s(lua_State *L, int index, int32_t *values, size_t count);
// lua_next for a key that is nil or came from the last call, with the table unchanged since: it cannot raise
// then.
int clua_next(lua_State *L, int index);

// ---- Interrupts

int clua_wake_descriptor(void);  // an eventfd
// Makes SIGINT stop what runs on the calling thread, which is the one that runs Lua. `wake_fd` (an eventfd)
// is written at each press.
void clua_install_interrupt(int wake_fd);
// Presses since the last clear, as far as they concern the code that runs now on the Lua thread.
int clua_interrupt_level(void);
void clua_clear_interrupt(void);
// While interrupts are held (1), the first press waits until they no longer are (0), and the second does not.
void clua_hold_interrupts(int hold);
// True when the native operation that calls this should stop: an interrupt for one on the Lua thread, a
// cancelled job for one on the worker thread.
int clua_should_stop(void);
// SIGTERM, and SIGINT where no person sits at a prompt: while anybody holds them, the first one is noted and ends
// nothing; a second one does. Afterwards they interrupt whatever runs, so that the top level can save what is not saved;
// only at a prompt SIGTERM ends the process as usual. `change` is 1, -1 or 0; gives how many hold them then.
int clua_hold_termination(int change);
int clua_is_terminated(void);   // the signal's number, or 0
void clua_set_attended(void);   // a person sits at a prompt
int clua_is_attended(void);
void clua_become_worker(void);      // the calling thread is the worker: no signals here
void clua_stop_worker(int stop);
#endif
