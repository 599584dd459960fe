// Ctrl-C. A permanent count hook would cost 150 %, so the signal handler installs one on the coroutine that
// runs. Hooks belong to one coroutine, and coroutine.resume switches behind our back; hence resume and wrap
// here, which note the running coroutine and otherwise do what Lua's own do. The hook stays until the top
// level clears the interrupt: `pcall` catches the error once, and the next instruction raises it again.
#include "CLua.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

static lua_State *_Atomic running;  // the coroutine that runs Lua code now, or NULL
static atomic_int patient;          // a background job runs: the first press is not meant for it
static atomic_int shielded;        // what runs must not be ended half-way: nor is it meant for that
static atomic_int presses;
static atomic_int worker_stop;
static pthread_t lua_thread;
static int wake = -1;
static _Thread_local int on_worker;

int clua_interrupt_level(void) {
  int level = atomic_load(&presses) - atomic_load(&patient) - atomic_load(&shielded);
  return level > 0 ? level : 0;
}

static void stop(lua_State *L, lua_Debug *debug) {
  (void)debug;
  if (clua_interrupt_level() > 0) {
    lua_pushliteral(L, "interrupted");
    lua_error(L);
  }
  lua_sethook(L, NULL, 0, 0);  // left over from an interrupt that is dealt with
}

// Only instructions count at the first press, so that native `__close` functions still do their work.
static void arm(lua_State *L) {
  int level = clua_interrupt_level();
  if (L == NULL || level == 0) return;
  lua_sethook(L, stop, level > 1 ? LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT : LUA_MASKCOUNT, 1);
}

// Ends a wait of the main loop.
static void wake_up(void) {
  int saved = errno;
  uint64_t one = 1;
  if (wake >= 0 && write(wake, &one, sizeof one) < 0) { /* full: it wakes anyway */ }
  errno = saved;
}

static atomic_int holders;     // how many will end the process by themselves when they can
static atomic_int terminated;  // the signal that asked for it
static atomic_int attended;    // a person sits at a prompt

static void pressed(int signal) {
  if (!pthread_equal(pthread_self(), lua_thread)) {
    pthread_kill(lua_thread, signal);  // some library's thread caught it
    return;
  }
  int none = 0;
  // Where nobody could go on afterwards, what must be saved is saved first; the second press does not wait.
  if (!atomic_load(&holders) || atomic_load(&attended)
      || !atomic_compare_exchange_strong(&terminated, &none, signal)) {
    atomic_fetch_add(&presses, 1);
    arm(atomic_load(&running));
  }
  wake_up();
}

void clua_set_attended(void) { atomic_store(&attended, 1); }
int clua_is_attended(void) { return atomic_load(&attended); }

int clua_wake_descriptor(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void clua_install_interrupt(int wake_fd) {
  lua_thread = pthread_self();
  wake = wake_fd;
  struct sigaction action = { .sa_handler = pressed };
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);  // no SA_RESTART: waiting ends with EINTR
  signal(SIGQUIT, SIG_DFL);          // Ctrl-\ ends what nothing else ends, without Swift's report of a crash
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGTERM);
  sigaddset(&ours, SIGQUIT);
  pthread_sigmask(SIG_UNBLOCK, &ours, NULL);  // threads of a work queue start with signals blocked
}

void clua_hold_interrupts(int hold) {
  atomic_store(&shielded, hold);
  arm(atomic_load(&running));
}

void clua_clear_interrupt(void) { atomic_store(&presses, 0); }

int clua_should_stop(void) {
  if (on_worker) return atomic_load(&worker_stop);
  return clua_interrupt_level() > 0 && pthread_equal(pthread_self(), lua_thread);
}

void clua_become_worker(void) {
  on_worker = 1;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
}

void clua_stop_worker(int stop) { atomic_store(&worker_stop, stop); }

// ---- SIGTERM

// Whatever runs, a background job or what is shielded, too: the top level saves and ends the process.
static void end_all(void) {
  atomic_fetch_add(&presses, 2);
  arm(atomic_load(&running));
}

static void usual_termination(void) {
  struct sigaction usual = { .sa_handler = SIG_DFL };
  sigaction(SIGTERM, &usual, NULL);
}

static void terminate(int signal) {
  if (!pthread_equal(pthread_self(), lua_thread)) {
    pthread_kill(lua_thread, signal);
    return;
  }
  int none = 0;
  if (!atomic_compare_exchange_strong(&terminated, &none, signal)) {  // again: somebody is in a hurry
    usual_termination();
    raise(signal);
    return;
  }
  if (!atomic_load(&holders)) end_all();
  wake_up();
}

int clua_hold_termination(int change) {
  int now = atomic_fetch_add(&holders, change) + change;
  if (change > 0 && now == 1 && !atomic_load(&terminated)) {
    struct sigaction action = { .sa_handler = terminate };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
  }
  if (change < 0 && now == 0) {
    int attended = clua_is_attended(), signal = atomic_load(&terminated);
    // At a prompt nobody would end the process; elsewhere the top level does, with what was made in the meantime.
    if (attended) usual_termination();
    if (attended && signal) raise(signal);
    if (!attended && signal) end_all();
  }
  return now;
}

int clua_is_terminated(void) { return atomic_load(&terminated); }

// ---- Giving way

static int (*ask_preemption)(lua_State *L);
static int held_up;                    // how often in a row code that was asked could not give way
static const int longest_held_up = 500;  // half a second or so

static void give_way(lua_State *L, lua_Debug *debug) {
  (void)debug;
  int answer = ask_preemption(L);
  if (answer == CLUA_PREEMPT_YIELD && lua_isyieldable(L)) {
    held_up = 0;
    lua_yield(L, 0);
    return;
  }
  // A coroutine of its own, a message handler or a callback cannot yield to the scheduler.
  bool is_too_long = ++held_up > longest_held_up;
  if (answer != CLUA_PREEMPT_END && !is_too_long) return;
  held_up = 0;
  lua_sethook(L, give_way, LUA_MASKCOUNT, 1);
  lua_pushstring(L, answer == CLUA_PREEMPT_END ? "cancelled"
                                               : "this takes too long, and what else runs here would have to wait for it");
  lua_error(L);
}

// About a millisecond of Lua code. Coroutines that `co` makes get the hook, too.
void clua_preempt(lua_State *co, int (*ask)(lua_State *L)) {
  ask_preemption = ask;
  lua_sethook(co, give_way, LUA_MASKCOUNT, 100000);
}

// ---- Long functions in C

static int call_hook(lua_State *L) {
  lua_Hook hook = lua_gethook(L);
  lua_Debug debug = { .event = LUA_HOOKCOUNT, .currentline = -1 };
  if (hook) hook(L, &debug);
  return 0;
}

uint64_t clua_spend(lua_State *L, uint64_t steps) {
  if (!(lua_gethookmask(L) & LUA_MASKCOUNT) || steps < (uint64_t)lua_gethookcount(L)) return steps;
  lua_pushcfunction(L, call_hook);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_error(L);  // pcall: a hook cannot yield from here
  return 0;
}

// ---- Switching coroutines

static lua_State *enter(lua_State *L) {
  lua_State *previous = atomic_exchange(&running, L);
  arm(L);
  return previous;
}

int clua_pcall(lua_State *L, int arguments, int results, int handler) {
  lua_State *previous = enter(L);
  int status = lua_pcall(L, arguments, results, handler);
  enter(previous);
  return status;
}

int clua_resume(lua_State *co, lua_State *from, int arguments, int *results, int is_patient) {
  int outer = atomic_exchange(&patient, is_patient);
  lua_State *previous = enter(co);
  int status = lua_resume(co, from, arguments, results);
  atomic_store(&patient, outer);
  enter(previous);
  return status;
}

// What a script has set with debug.sethook is noted for one coroutine, though those that it makes inherit the hook: without
// this they would have one that does nothing, and no limit.
static void share_hook(lua_State *L, lua_State *co) {
  lua_Hook hook = lua_gethook(L);
  if (!hook || hook == stop || hook == give_way || lua_gethook(co) != hook || !lua_checkstack(L, 4)) return;
  if (lua_getfield(L, LUA_REGISTRYINDEX, "_HOOKKEY") == LUA_TTABLE) {  // lua_sethook's in ldblib.c
    lua_pushthread(co);
    lua_xmove(co, L, 1);
    lua_pushthread(L);
    lua_rawget(L, -3);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

// Moves `arguments` values to `co`, resumes it and moves what it gives to L: their number, or -1 and a
// message.
static int switch_to(lua_State *L, lua_State *co, int arguments) {
  if (!lua_checkstack(co, arguments)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  share_hook(L, co);
  lua_xmove(L, co, arguments);
  int results = 0;
  int status = clua_resume(co, L, arguments, &results, atomic_load(&patient));
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

static int resume(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTHREAD);
  int results = switch_to(L, lua_tothread(L, 1), lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  if (results < 0) results = 1;
  lua_insert(L, -results - 1);
  return results + 1;
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = switch_to(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(L, co, 1);  // closing its variables may give another error
    lua_resetthread(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

// ---- Finalizers

static const int finalizer_instructions = 1000000;  // ten milliseconds or so
static int finalizer_left;

// Coroutines that a finalizer makes get the hook, too.
static void end_finalizer(lua_State *L, lua_Debug *debug) {
  (void)debug;
  int count = lua_gethookcount(L);
  if ((finalizer_left -= count) > 0) return;
  lua_sethook(L, end_finalizer, LUA_MASKCOUNT, 1);
  lua_pushliteral(L, "this finalizer takes too long, and everything else has to wait for it");
  lua_error(L);
}

static int call_finalizer(lua_State *L) {
  lua_call(L, 1, 0);  // without a continuation: nothing can resume it, so it cannot yield
  return 0;
}

// Upvalue: the finalizer. Lua heeds no hooks in one, so nothing would end a loop; it does in a coroutine. It may run at any
// time, also within a step of a training run, whatever made it: hence a limit of its own.
static int finalize(lua_State *L) {
  lua_State *co = lua_newthread(L);
  finalizer_left = finalizer_instructions;
  lua_sethook(co, end_finalizer, LUA_MASKCOUNT, 10000);
  lua_pushcfunction(co, call_finalizer);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 2);
  int results = 0;
  if (clua_resume(co, L, 2, &results, atomic_load(&patient)) == LUA_OK) return 0;
  lua_resetthread(co);
  lua_xmove(co, L, 1);
  return lua_error(L);
}

// Upvalue: Lua's own. A finalizer that a metatable gets later, in the place of another, is called as it is.
static int set_metatable(lua_State *L) {
  if (lua_istable(L, 2)) {
    lua_pushliteral(L, "__gc");
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 2) == LUA_TFUNCTION && !lua_iscfunction(L, -1)) {
      lua_pushcclosure(L, finalize, 1);
      lua_rawset(L, 2);
    } else {
      lua_pop(L, 2);
    }
  }
  return lua_tocfunction(L, lua_upvalueindex(1))(L);  // in this frame, so that errors name what was called
}

static void wrap_setter(lua_State *L) {
  lua_getfield(L, -1, "setmetatable");
  lua_pushcclosure(L, set_metatable, 1);
  lua_setfield(L, -2, "setmetatable");
  lua_pop(L, 1);
}

// ---- Message handlers

// Lua calls a handler for the error that a hook raises, too, and heeds no hooks there: one that loops would hold up what
// ends the code. A count of one says that the code is to end. In Lua, so that the handler stands where the wrapper stood.
static const char wrapper[] =
    "local ends = ...\n"
    "return function(handler)\n"
    "  return function(...) if ends() then return ... end return handler(...) end\n"
    "end";

static int ends(lua_State *L) {
  lua_pushboolean(L, lua_gethook(L) && lua_gethookcount(L) == 1);
  return 1;
}

static int finish_xpcall(lua_State *L, int status, lua_KContext unused) {
  (void)unused;
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 2;
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

// Upvalue: what wraps handlers.
static int xpcall(lua_State *L) {
  int arguments = lua_gettop(L) - 2;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  if (!lua_iscfunction(L, 2)) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    lua_replace(L, 2);
  }
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  return finish_xpcall(L, lua_pcallk(L, arguments, LUA_MULTRET, 2, 0, finish_xpcall), 0);
}

int clua_open_libraries(lua_State *L) {
  luaL_openlibs(L);
  clua_replace_searches(L);
  if (luaL_loadbuffer(L, wrapper, sizeof wrapper - 1, "=(library)") != LUA_OK) return lua_error(L);
  lua_pushcfunction(L, ends);
  lua_call(L, 1, 1);
  lua_pushcclosure(L, xpcall, 1);
  lua_setglobal(L, "xpcall");
  lua_pushglobaltable(L);
  wrap_setter(L);
  lua_getglobal(L, "debug");
  wrap_setter(L);
  lua_getglobal(L, "coroutine");
  lua_pushcfunction(L, resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, wrap);
  lua_setfield(L, -2, "wrap");
  return 0;
}
