// string.find, match, gmatch and gsub, as the manual of Lua 5.4 has them (§6.4.1). Lua's own search without looking up:
// a pattern with several repetitions can take hours, in which neither Ctrl-C nor an instruction limit stops it.
// These count their steps and let the coroutine's hook have its say.
#define _GNU_SOURCE  // memmem
#include "CLua.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum {
  most_captures = 32,
  deepest = 200,      // recursions, each some hundred bytes of C's stack
  breath = 1 << 14,   // steps between two looks at the hook: some ten microseconds
  unclosed = -1,      // lengths of captures that are none
  position = -2,
};

typedef struct {
  lua_State *L;
  const char *text, *text_end;        // what is searched
  const char *pattern, *pattern_end;  // without an anchor
  bool is_anchored;
  int depth, count;
  struct { const char *start; ptrdiff_t length; } captures[most_captures];
  int steps;
  uint64_t spent;
} Search;

static void look_up(Search *m) {
  m->spent += (uint64_t)m->steps;
  m->steps = 0;
  m->spent = clua_spend(m->L, m->spent);
}

static inline void step(Search *m) {
  if (++m->steps >= breath) look_up(m);
}

static Search search(lua_State *L, const char *text, size_t length, const char *pattern, size_t size, bool anchors) {
  Search m = { .L = L, .text = text, .text_end = text + length, .pattern = pattern, .pattern_end = pattern + size };
  m.is_anchored = anchors && size > 0 && pattern[0] == '^';
  if (m.is_anchored) m.pattern++;
  return m;
}

// ---- Single characters

// Whether a byte is of the class that a letter after `%` names; another character stands for itself.
static bool is_of_class(int byte, int name) {
  int found;
  switch (tolower(name)) {
    case 'a': found = isalpha(byte); break;
    case 'c': found = iscntrl(byte); break;
    case 'd': found = isdigit(byte); break;
    case 'g': found = isgraph(byte); break;
    case 'l': found = islower(byte); break;
    case 'p': found = ispunct(byte); break;
    case 's': found = isspace(byte); break;
    case 'u': found = isupper(byte); break;
    case 'w': found = isalnum(byte); break;
    case 'x': found = isxdigit(byte); break;
    case 'z': found = byte == 0; break;  // no longer in the manual
    default: return byte == name;
  }
  return (found != 0) != (isupper(name) != 0);
}

// The end of the item for one character that begins at p: `x`, `%x` or `[set]`.
static const char *item_end(Search *m, const char *p) {
  char first = *p++;
  if (first == '%') {
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 1;
  }
  if (first != '[') return p;
  if (p < m->pattern_end && *p == '^') p++;
  // The first character of a set is never its end.
  for (bool is_first = true;; is_first = false) {
    if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
    if (*p == ']' && !is_first) return p + 1;
    if (*p++ == '%') {
      if (p == m->pattern_end) luaL_error(m->L, "malformed pattern (missing ']')");
      p++;
    }
  }
}

// Whether a byte is in the set between p, its bracket, and `last`, its closing one.
static bool is_in_set(int byte, const char *p, const char *last) {
  bool is_member = true;
  if (*++p == '^') {
    is_member = false;
    p++;
  }
  for (; p < last; p++) {
    if (*p == '%') {
      if (is_of_class(byte, (unsigned char)*++p)) return is_member;
    } else if (p + 2 < last && p[1] == '-') {
      if ((unsigned char)p[0] <= byte && byte <= (unsigned char)p[2]) return is_member;
      p += 2;
    } else if ((unsigned char)*p == byte) {
      return is_member;
    }
  }
  return !is_member;
}

// Whether the character at s is there and fits the item from p to `end`.
static bool fits(const Search *m, const char *s, const char *p, const char *end) {
  if (s >= m->text_end) return false;
  int byte = (unsigned char)*s;
  switch (*p) {
    case '.': return true;
    case '%': return is_of_class(byte, (unsigned char)p[1]);
    case '[': return is_in_set(byte, p, end - 1);
    default: return (unsigned char)*p == byte;
  }
}

// ---- Items of several characters

static const char *matched(Search *m, const char *s, const char *p);

// `%bxy` with x and y at p: the end of the balanced text at s, or NULL.
static const char *balanced_end(Search *m, const char *s, const char *p) {
  if (m->pattern_end - p < 2) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
  if (s == m->text_end || *s != p[0]) return NULL;
  int open = 1;
  while (++s < m->text_end) {
    step(m);
    if (*s == p[1]) {
      if (--open == 0) return s + 1;
    } else if (*s == p[0]) {
      open++;
    }
  }
  return NULL;
}

static bool is_frontier(Search *m, const char *s, const char *set, const char *end) {
  int before = s == m->text ? 0 : (unsigned char)s[-1], after = s == m->text_end ? 0 : (unsigned char)*s;
  return !is_in_set(before, set, end - 1) && is_in_set(after, set, end - 1);
}

// `%1` to `%9`: the end of a second appearance of a capture at s, or NULL.
static const char *repeated_end(Search *m, const char *s, int digit) {
  int i = digit - '1';
  if (i < 0 || i >= m->count || m->captures[i].length == unclosed)
    luaL_error(m->L, "invalid capture index %%%d", i + 1);
  // A position has no text that could appear again; Lua's own takes its length for enormous.
  if (m->captures[i].length < 0 || m->text_end - s < m->captures[i].length) return NULL;
  size_t length = (size_t)m->captures[i].length;
  return memcmp(m->captures[i].start, s, length) == 0 ? s + length : NULL;
}

static const char *open_capture(Search *m, const char *s, const char *p, ptrdiff_t length) {
  if (m->count >= most_captures) luaL_error(m->L, "too many captures");
  m->captures[m->count].start = s;
  m->captures[m->count++].length = length;
  const char *end = matched(m, s, p);
  if (!end) m->count--;
  return end;
}

static const char *close_capture(Search *m, const char *s, const char *p) {
  int i = m->count - 1;
  while (i >= 0 && m->captures[i].length != unclosed) i--;
  if (i < 0) luaL_error(m->L, "invalid pattern capture");
  m->captures[i].length = s - m->captures[i].start;
  const char *end = matched(m, s, p);
  if (!end) m->captures[i].length = unclosed;
  return end;
}

// As many characters that fit the item as the rest of the pattern allows, from the most to `fewest`.
static const char *longest(Search *m, const char *s, const char *p, const char *end, ptrdiff_t fewest) {
  ptrdiff_t count = 0;
  while (fits(m, s + count, p, end)) {
    step(m);
    count++;
  }
  for (; count >= fewest; count--) {
    step(m);
    const char *rest = matched(m, s + count, end + 1);
    if (rest) return rest;
  }
  return NULL;
}

static const char *shortest(Search *m, const char *s, const char *p, const char *end) {
  for (;; s++) {
    step(m);
    const char *rest = matched(m, s, end + 1);
    if (rest) return rest;
    if (!fits(m, s, p, end)) return NULL;
  }
}

// ---- A whole pattern

// Where the match of the pattern from p on ends that begins at s, or NULL. It calls itself only where there is a choice.
static const char *matched(Search *m, const char *s, const char *p) {
  if (m->depth == deepest) luaL_error(m->L, "pattern too complex");
  m->depth++;
  const char *result = NULL;
  for (;;) {
    step(m);
    if (p == m->pattern_end) {
      result = s;
      break;
    }
    if (*p == '(') {
      bool is_position = p + 1 < m->pattern_end && p[1] == ')';
      result = open_capture(m, s, is_position ? p + 2 : p + 1, is_position ? position : unclosed);
      break;
    }
    if (*p == ')') {
      result = close_capture(m, s, p + 1);
      break;
    }
    if (*p == '$' && p + 1 == m->pattern_end) {
      if (s == m->text_end) result = s;
      break;
    }
    int escaped = *p == '%' && p + 1 < m->pattern_end ? (unsigned char)p[1] : 0;
    if (escaped == 'b') {
      if (!(s = balanced_end(m, s, p + 2))) break;
      p += 4;
      continue;
    }
    if (escaped == 'f') {
      p += 2;
      if (p == m->pattern_end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
      const char *end = item_end(m, p);
      if (!is_frontier(m, s, p, end)) break;
      p = end;
      continue;
    }
    if (isdigit(escaped)) {
      if (!(s = repeated_end(m, s, escaped))) break;
      p += 2;
      continue;
    }
    const char *end = item_end(m, p);
    char repetition = end < m->pattern_end ? *end : 0;
    bool is_optional = repetition == '*' || repetition == '-' || repetition == '?';
    if (!fits(m, s, p, end)) {
      if (!is_optional) break;
      p = end + 1;
    } else if (repetition == '?') {
      if ((result = matched(m, s + 1, end + 1))) break;
      p = end + 1;
    } else if (is_optional || repetition == '+') {
      result = repetition == '-' ? shortest(m, s, p, end) : longest(m, s, p, end, repetition == '+');
      break;
    } else {
      s++;
      p = end;
    }
  }
  m->depth--;
  return result;
}

// The end of a match that begins at s, with its captures.
static const char *matched_at(Search *m, const char *s) {
  m->depth = m->count = 0;
  return matched(m, s, m->pattern);
}

// ---- Captures as values

// Pushes a capture; the whole match stands for the first of a pattern that has none.
static void push_capture(Search *m, int i, const char *start, const char *end) {
  if (i == 0 && m->count == 0) {
    lua_pushlstring(m->L, start, (size_t)(end - start));
    return;
  }
  if (i >= m->count) luaL_error(m->L, "invalid capture index %%%d", i + 1);
  ptrdiff_t length = m->captures[i].length;
  if (length == unclosed) luaL_error(m->L, "unfinished capture");
  if (length == position) {
    lua_pushinteger(m->L, m->captures[i].start - m->text + 1);
  } else {
    lua_pushlstring(m->L, m->captures[i].start, (size_t)length);
  }
}

static int push_captures(Search *m, const char *start, const char *end, bool whole) {
  int count = m->count == 0 && whole ? 1 : m->count;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i++) push_capture(m, i, start, end);
  return count;
}

// ---- The functions

// Argument `index`, where a search begins, as an offset; one that lies behind the text is beyond `length`.
static size_t offset_argument(lua_State *L, int index, size_t length) {
  lua_Integer place = luaL_optinteger(L, index, 1);
  if (place > 0) return (size_t)place - 1;
  if (place == 0 || place < -(lua_Integer)length) return 0;
  return length - (size_t)-place;
}

static bool is_plain(const char *pattern, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (pattern[i] && strchr("^$*+?.([%-", pattern[i])) return false;
  return true;
}

static int find_or_match(lua_State *L, bool finds) {
  size_t length, size;
  const char *text = luaL_checklstring(L, 1, &length), *pattern = luaL_checklstring(L, 2, &size);
  size_t offset = offset_argument(L, 3, length);
  if (offset > length) {
    lua_pushnil(L);
    return 1;
  }
  if (finds && (lua_toboolean(L, 4) || is_plain(pattern, size))) {
    const char *found = memmem(text + offset, length - offset, pattern, size);
    if (!found) {
      lua_pushnil(L);
      return 1;
    }
    lua_pushinteger(L, found - text + 1);
    lua_pushinteger(L, found - text + (ptrdiff_t)size);
    return 2;
  }
  Search m = search(L, text, length, pattern, size, true);
  for (const char *s = text + offset; s <= m.text_end; s++) {
    const char *end = matched_at(&m, s);
    if (end) {
      if (!finds) return push_captures(&m, s, end, true);
      lua_pushinteger(L, s - text + 1);
      lua_pushinteger(L, end - text);
      return push_captures(&m, NULL, NULL, false) + 2;
    }
    if (m.is_anchored) break;
  }
  lua_pushnil(L);
  return 1;
}

static int find(lua_State *L) { return find_or_match(L, true); }
static int match(lua_State *L) { return find_or_match(L, false); }

// Upvalues: text, pattern, the offset to go on from, and the end of the last match, where an empty one is none.
static int next_match(lua_State *L) {
  size_t length, size;
  const char *text = lua_tolstring(L, lua_upvalueindex(1), &length);
  const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &size);
  Search m = search(L, text, length, pattern, size, false);
  lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
  for (lua_Integer offset = lua_tointeger(L, lua_upvalueindex(3)); offset <= (lua_Integer)length; offset++) {
    const char *end = matched_at(&m, text + offset);
    if (!end || end - text == last) continue;
    lua_pushinteger(L, end - text);
    lua_copy(L, -1, lua_upvalueindex(3));
    lua_replace(L, lua_upvalueindex(4));
    return push_captures(&m, text + offset, end, true);
  }
  return 0;
}

static int gmatch(lua_State *L) {
  size_t length;
  luaL_checklstring(L, 1, &length);
  luaL_checkstring(L, 2);
  size_t offset = offset_argument(L, 3, length);
  lua_settop(L, 2);
  lua_pushinteger(L, (lua_Integer)(offset > length ? length + 1 : offset));
  lua_pushinteger(L, -1);
  lua_pushcclosure(L, next_match, 4);
  return 1;
}

// Adds argument 3, a string in which `%1` stands for a capture.
static void add_template(Search *m, luaL_Buffer *buffer, const char *start, const char *end) {
  size_t length;
  const char *text = lua_tolstring(m->L, 3, &length), *last = text + length;
  for (const char *p; (p = memchr(text, '%', (size_t)(last - text))); text = p + 1) {
    luaL_addlstring(buffer, text, (size_t)(p - text));
    p++;
    if (p < last && *p == '%') {
      luaL_addchar(buffer, '%');
    } else if (p < last && *p == '0') {
      luaL_addlstring(buffer, start, (size_t)(end - start));
    } else if (p < last && isdigit((unsigned char)*p)) {
      int i = *p - '1';
      push_capture(m, i, start, end);
      luaL_tolstring(m->L, -1, NULL);
      lua_remove(m->L, -2);
      luaL_addvalue(buffer);
    } else {
      luaL_error(m->L, "invalid use of '%%' in replacement string");
    }
  }
  luaL_addlstring(buffer, text, (size_t)(last - text));
}

// Adds what argument 3 makes of a match. False if that is nothing else than the match.
static bool add_replacement(Search *m, luaL_Buffer *buffer, const char *start, const char *end, int type) {
  lua_State *L = m->L;
  if (type == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, push_captures(m, start, end, true), 1);
  } else if (type == LUA_TTABLE) {
    push_capture(m, 0, start, end);
    lua_gettable(L, 3);
  } else {
    add_template(m, buffer, start, end);
    return true;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(buffer, start, (size_t)(end - start));
    return false;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(buffer);
  return true;
}

static int gsub(lua_State *L) {
  size_t length, size;
  const char *text = luaL_checklstring(L, 1, &length), *pattern = luaL_checklstring(L, 2, &size);
  int type = lua_type(L, 3);
  if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TFUNCTION)
    luaL_typeerror(L, 3, "string/function/table");
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1), count = 0;
  Search m = search(L, text, length, pattern, size, true);
  bool is_changed = false;
  const char *last = NULL;  // the end of the last match, where an empty one is none
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  const char *s = text;
  while (count < most) {
    const char *end = matched_at(&m, s);
    if (end && end != last) {
      count++;
      is_changed |= add_replacement(&m, &buffer, s, end, type);
      s = last = end;
    } else if (s < m.text_end) {
      luaL_addchar(&buffer, *s);
      s++;
    } else {
      break;
    }
    if (m.is_anchored) break;
  }
  if (is_changed) {
    luaL_addlstring(&buffer, s, (size_t)(m.text_end - s));
    luaL_pushresult(&buffer);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

void clua_replace_searches(lua_State *L) {
  const luaL_Reg functions[] = { { "find", find }, { "match", match }, { "gmatch", gmatch }, { "gsub", gsub }, { 0 } };
  lua_getglobal(L, "string");
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
