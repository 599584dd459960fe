// The string functions that can be interrupted, against Lua's own.
import CLua
import Testing

@Suite("string.find, match, gmatch, gsub")
struct PatternTests {
  /// Runs Lua code in a state that has Lua's own functions in `theirs` and ours in `string`.
  private func run(_ code: String) throws -> String {
    let lua = try #require(luaL_newstate())
    defer { lua_close(lua) }
    luaL_openlibs(lua)
    func evaluate(_ code: String) -> String {
      if luaL_loadstring(lua, code) == LUA_OK { lua_pcallk(lua, 0, 1, 0, 0, nil) }
      defer { lua_settop(lua, 0) }
      return lua_tolstring(lua, -1, nil).map { String(cString: $0) } ?? "nil"
    }
    #expect(evaluate("theirs = {} for k, v in pairs(string) do theirs[k] = v end return 'saved'") == "saved")
    clua_replace_searches(lua)
    #expect(evaluate("return tostring(string.find ~= theirs.find and string.rep == theirs.rep)") == "true")
    return evaluate(code)
  }

  /// Both are asked the same, and what each gives or raises is written down.
  private let compare = """
    local function told(...)
      local t = table.pack(pcall(...))
      for i = 1, t.n do t[i] = math.type(t[i]) == "integer" and "int " .. t[i] or tostring(t[i]) end
      -- Lua knows its functions' names by where they are.
      return (theirs.gsub(table.concat(t, "|", 1, t.n), "to '[^']*' ", "to it "))
    end
    local function all(gmatch, s, p, init)
      local found = {}
      for a, b, c in gmatch(s, p, init) do
        found[#found + 1] = tostring(a) .. "," .. tostring(b) .. "," .. tostring(c)
        if #found > 50 then break end
      end
      return table.concat(found, ";")
    end
    function differs(name, ...)
      local ours, own
      if name == "gmatch" then
        ours, own = told(all, string.gmatch, ...), told(all, theirs.gmatch, ...)
      else
        ours, own = told(string[name], ...), told(theirs[name], ...)
      end
      if ours == own then return end
      local given = table.pack(...)
      for i = 1, given.n do given[i] = type(given[i]) == "string" and ("%q"):format(given[i]) or tostring(given[i]) end
      return ("%s(%s): ours %s, Lua's %s"):format(name, table.concat(given, ", ", 1, given.n), ours, own)
    end
    """

  @Test("random patterns: the same results and the same errors")
  func randomPatterns() throws {
    let result = try run(
      compare + """

        math.randomseed(20261126)
        local pieces = { "a", "b", "x", ".", "%a", "%d", "%s", "%w", "%W", "%z", "%%", "%.", "[ab]", "[^ab]", "[a-c%d]", "[]x]",
          "[^]]", "[%]a-]", "[a-", "[", "]", "(", ")", "()", "*", "+", "-", "?", "^", "$", "%b()", "%bxx", "%b(", "%f[%w]", "%f[^%w]",
          "%fa", "%1", "%2", "%", "é", "\\0", "(a*)", "(.-)", "(a*(.)%w(%s*))" }
        local letters = { "a", "b", "c", "x", " ", "(", ")", "1", "%", "]", "-", "^", "\\0", "é", "ab", "" }
        local replacements = { "", "<%0>", "%1", "%2%1", "%%", "%", "%x", "n", { a = 1, b = false, [1] = "one" }, { x = {} },
          function(a, b) return b end, function() return false end, function() return {} end, 7, nil, true }
        local function text(from, most)
          local t = {}
          for i = 1, math.random(0, most) do t[i] = from[math.random(#from)] end
          return table.concat(t)
        end
        local inits = { nil, 1, 2, 3, 100, 0, -1, -3, -100, math.mininteger, math.maxinteger }
        local count = 0
        for i = 1, 60000 do
          local s, p, init = text(letters, 12), text(pieces, 6), inits[math.random(11)]
          local problem = differs("find", s, p, init, math.random(8) == 1) or differs("match", s, p, init)
            or differs("gmatch", s, p, init)
            or differs("gsub", s, p, replacements[math.random(16)], math.random(3) == 1 and math.random(-1, 4) or nil)
          if problem then return problem end
          if pcall(theirs.find, s, p) then count = count + 1 end
        end
        return count > 20000 and "same" or "only " .. count .. " patterns were well-formed"
        """)
    #expect(result == "same")
  }

  @Test("arguments that are wrong, and limits")
  func edges() throws {
    let result = try run(
      compare + """

        local cases = { { "find" }, { "find", "a" }, { "find", {}, "a" }, { "find", "a", "a", "x" }, { "match", 121, 2 },
          { "gmatch", "a" }, { "gmatch", 12, 1 }, { "gsub", "a", "a" }, { "gsub", "a", "a", print, {} }, { "gsub", 11, 1, 2 },
          { "find", "a.b", ".", 1, true }, { "find", "", "" }, { "find", "abc", "", 4 }, { "find", "abc", "", 5 },
          { "find", "a\\0b", "\\0" }, { "find", "a\\0b", "\\0b" }, { "match", "a\\0b", "[^\\0]+$" },
          { "match", "x", ("(x?)"):rep(32) }, { "match", "x", ("(x?)"):rep(33) }, { "gsub", "abc", "(b", "x" },
          { "match", ("a"):rep(12), ("a?"):rep(12) .. ("a"):rep(12) }, { "gsub", "hello world", "%w+", "%0 %0", 1 },
          { "match", ("a"):rep(300000) .. "b", "^a-b$" }, { "gsub", ("a"):rep(300000), "a", "bb" },
          { "match", "x", ("y*"):rep(1000) }, { "match", ("x"):rep(250), ("x?"):rep(250) }, { "gsub", "abc", "b", "%" },
          { "find", ("(a)"):rep(1000), "%b()%b()" }, { "gsub", "x = 1", "(%w+) = (%w+)", "%3" }, { "match", "aXb", "%f[%u]()" } }
        for _, case in ipairs(cases) do
          local problem = differs(table.unpack(case))
          if problem then return problem:sub(1, 400) end
        end
        return "same"
        """)
    #expect(result == "same")
  }

  /// Each of these searches would take years; a hook ends it as it ends a loop.
  @Test(
    "a hook after a number of instructions is heeded",
    arguments: [
      "string.find(('x'):rep(100000), ('x*'):rep(30) .. 'y')",
      "string.match(('x'):rep(100000), ('x-'):rep(30) .. 'y')",
      "string.gsub(('x'):rep(100000), ('(x+)'):rep(30) .. 'y', '')",
      "(function() for a in string.gmatch(('x'):rep(100000), ('x?x*'):rep(30) .. 'y') do end end)()",
      "string.find(('('):rep(10000000), '%b()')",
    ])
  func hooks(search: String) throws {
    let result = try run(
      """
      local asked = 0
      debug.sethook(function()
        asked = asked + 1
        if asked == 5 then debug.sethook() error("enough", 0) end
      end, "", 1000000)
      local ok, message = pcall(function() \(search) end)
      return tostring(ok) .. " " .. tostring(message)
      """)
    #expect(result == "false enough")
  }
}
