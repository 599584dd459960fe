-- The inside of `midtrain attach DIR` and `midtrain set DIR name=value`: a run answers at a socket in
-- its folder that only its owner can open. A client sends JSON objects, a line each:
--
--   { attach = true, columns = integer, is_colored = boolean } → { hello = text, prompt = text }
--                                             columns only where the client's output is a terminal
--   { line = text }                         → any number of { output = text }, then { prompt = text }
--   { complete = word, before = text }      → { candidates = list } or { files = true }
--   { set = { { name, value }, … } }        → { done = text } or { problem = text }
--
-- and Ctrl-C as a line by itself, which ends what answers it. Everything happens on the thread that
-- runs Lua, between the native operations of the run; code of a client gives way to it.

local errors = require "midtrain.errors"
local mid = require "midtrain.native"
local output = require "midtrain.output"
local repl = require "midtrain.repl"

local attach = {}

-- The folder of the socket, in the folder of a run.
local place = "/.attach"

-- Clients of this process so far.
local clients = 0

-- What a client assigns is its own; `run` is the run, everything else the process's.
local function environment(run)
  return setmetatable({ run = run, time = repl.time }, { __index = _G })
end

local function send(client, message) client:send(mid.json.encode(message)) end

-- A name that no other input of any client has, so that its text can be found for tracebacks and the
-- journal.
local function next_name(session)
  session.number = session.number + 1
  return ("client %d[%d]"):format(session.client, session.number)
end

local function in_environment(f, session)
  if debug.getupvalue(f, 1) == "_ENV" then debug.setupvalue(f, 1, session.environment) end
  return f
end

-- Runs an input, or keeps it if it is only a beginning. What it prints goes to the client.
local function evaluate(session, line)
  local text = session.pending and session.pending .. "\n" .. line or line
  session.pending = nil
  if text:find "^%s*$" then return end
  local f, problem, is_silent = repl.compile(text, next_name(session))
  if problem then return print(problem) end
  if not f then
    session.pending = text
    return
  end
  local results = table.pack(xpcall(in_environment(f, session), errors.traced))
  if not results[1] then return print(results[2]) end
  if results.n == 1 or is_silent then return end
  session.environment._, session.environment.ans = results[2], results[2]
  repl.show(table.unpack(results, 2, results.n))
end

-- The value that a word of the shell stands for: that of an expression, or else the word as text, and why
-- it was no expression.
local function value_of(text, session)
  local function reason(problem)
    return problem:match "^client [%d%[%]]+:1: ([^\n]*)" or problem:match "[^\n]*"
  end
  local f, problem = mid.compile("return " .. text, next_name(session))
  if not f then return text, reason(problem) end
  local results = table.pack(xpcall(in_environment(f, session), errors.traced))
  if not results[1] then return text, reason(results[2]) end
  if results.n > 2 then return text, "expected one value; a list stands in braces, and numbers have a point" end
  if results[2] == nil then return text end
  return results[2]
end

-- Assigns all settings or none.
local function set(session, settings)
  local run, knobs, lines, reasons = session.run, {}, {}, {}
  for _, setting in ipairs(settings) do
    local name = setting[1]
    knobs[name], reasons[name] = value_of(setting[2], session)
  end
  local ok, problem = pcall(run.set, run, knobs)
  if not ok then
    -- What is no expression may be a word that the setting can be; if it is not, the reason counts.
    local name = problem:match "option '([^']+)'"
    return { problem = reasons[name] and ("run: option '%s': %s"):format(name, reasons[name]) or problem }
  end
  for _, setting in ipairs(settings) do
    lines[#lines + 1] = ("%s = %s"):format(setting[1], setting[2])
  end
  return { done = ("%s: in force from step %d"):format(table.concat(lines, ", "),
    run.t + (run.is_stepping and 2 or 1)) }
end

local function answer(session, client, message)
  if message.attach then
    local columns = math.type(message.columns) == "integer" and math.max(message.columns, 20) or nil
    session.screen = columns and { columns = columns, is_colored = message.is_colored == true }
    send(client, { hello = ("attached to %s · %s"):format(session.run.out, session.run:describe()),
      prompt = "> " })
  elseif type(message.line) == "string" then
    evaluate(session, message.line)
    send(client, { prompt = session.pending and ">> " or "> " })
  elseif type(message.complete) == "string" then
    local before = type(message.before) == "string" and message.before or ""
    if session.pending then before = session.pending .. "\n" .. before end
    local candidates = repl.complete(message.complete, before, session.environment)
    send(client, { candidates = candidates, files = not candidates or nil })
  elseif type(message.set) == "table" then
    send(client, set(session, message.set))
  else
    send(client, { problem = "this is no message that midtrain knows; is the client of another version?" })
  end
end

--- Lets clients steer a run for as long as the server that is returned is kept; where no socket can
--- be made nothing happens but a line that says so.
---@param run midtrain.Run
---@param out string the run's folder
---@return any? server
function attach.serve(run, out)
  output.install()
  -- The server is the run's, and must not keep it alive.
  local weak = setmetatable({ run = run }, { __mode = "v" })
  local ok, server = pcall(mid.serve, out .. place, function(client, line)
    local session = client.session
    if not session then
      clients = clients + 1
      session =
        { run = weak.run, client = clients, number = 0, environment = environment(weak.run) }
      client.session = session
    end
    if line == "\3" then
      session.pending = nil
      return send(client, { output = "interrupted\n", prompt = "> " })
    end
    local readable, message = pcall(mid.json.decode, line)
    if not readable or type(message) ~= "table" then
      return send(client, { problem = "a message is one JSON object on one line" })
    end
    -- Whatever a message holds, it is the client's affair.
    local answered, problem = pcall(answer, session, client, message)
    if not answered then send(client, { problem = problem }) end
  end)
  if ok then return server end
  io.stderr:write(("run: nobody can attach: %s\n"):format(server))
end

return attach
