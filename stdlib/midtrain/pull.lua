-- `midtrain pull OWNER/NAME`: fetches a model from the Hugging Face hub into the model cache, where mid.load
-- finds it by that name. What was interrupted goes on where it ended; a file takes its name when it has
-- the checksum that the hub says.
--
-- curl does the transport. What it is to do goes to its standard input: no name or token is on a command
-- line, where a shell would read it and other users see it.

local mid = require "midtrain.native"

local pull = {}

-- What a model needs, and what says whose it is.
local wanted = {
  "^config%.json$", "^generation_config%.json$", "^tokenizer[%w_]*%.json$", "^tokenizer%.model$",
  "^special_tokens_map%.json$", "^added_tokens%.json$", "^vocab%.json$", "^merges%.txt$",
  "^chat_template[%w_]*%.%w+$", "^model[%w%-]*%.safetensors$", "^model%.safetensors%.index%.json$",
  "^adapter_config%.json$", "^adapter_model%.safetensors$", "^LICENSE[%w%.]*$", "^README%.md$",
}

local function endpoint()
  local given = os.getenv "HF_ENDPOINT"
  return given and given ~= "" and given:gsub("/+$", "") or "https://huggingface.co"
end

--- The folder of models that are loaded by name.
---@return string
function pull.cache()
  local models, root = os.getenv "MIDTRAIN_MODELS", os.getenv "XDG_CACHE_HOME"
  if models and models ~= "" then return models end
  return (root and root ~= "" and root or (os.getenv "HOME" or ".") .. "/.cache") .. "/midtrain/models"
end

local function quoted(text) return '"' .. text:gsub('[\\"]', "\\%0") .. '"' end
local function for_shell(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function size_of(path)
  local file <close> = io.open(path, "rb")
  return file and file:seek "end" or 0
end

-- Fetches a URL to a file, going on at its end if it is there already.
local function fetch(url, path)
  local heads, token = path .. ".head", os.getenv "HF_TOKEN"
  local lines = {
    "url = " .. quoted(url), "output = " .. quoted(path), "dump-header = " .. quoted(heads),
    'continue-at = "-"', "fail", "location", "silent", "show-error", "globoff",
    -- A connection that gives nothing for a minute is tried again.
    "connect-timeout = 30", "speed-limit = 1", "speed-time = 60", "retry = 5", 'proto = "=http,https"',
    'user-agent = "midtrain/' .. mid.version .. '"',
  }
  -- curl itself does not pass it on to another host.
  if token and token ~= "" then
    if token:find "[%c\"\\]" then error("HF_TOKEN has characters that no token has", 0) end
    lines[#lines + 1] = 'header = "Authorization: Bearer ' .. token .. '"'
  end
  local pipe = assert(io.popen("curl --disable --config -", "w"))
  pipe:write(table.concat(lines, "\n"), "\n")
  local ok, _, code = pipe:close()
  local status
  do
    local file <close> = io.open(heads)
    for line in file and file:lines() or function() end do
      status = line:match "^HTTP/%S+ (%d+)" or status
    end
  end
  os.remove(heads)
  if ok then return end
  if code == 127 then error("pull needs curl (apt-get install curl)", 0) end
  if status == "401" or status == "403" then
    error(url .. ": not allowed; a private or gated model needs a token in HF_TOKEN, and its terms accepted", 0)
  end
  if status == "404" then error(url .. ": there is no such model, revision or file", 0) end
  error(("%s: could not be fetched (curl's status %s%s); what came is kept, the same command goes on"):format(
    url, code, status and ", HTTP " .. status or ""), 0)
end

local function digest(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read "a"):match "^%x+"
end

-- Whether a file is the one that the hub describes: large ones by SHA-256, others by git's name for them.
local function is_right(path, entry)
  if size_of(path) ~= entry.size then return false end
  if entry.lfs then return digest("sha256sum < " .. for_shell(path)) == entry.lfs.sha256 end
  return digest(("{ printf 'blob %d\\0'; cat < %s; } | sha1sum"):format(entry.size, for_shell(path)))
    == entry.blobId
end

local function fetch_file(base, dir, entry)
  local path = dir .. "/" .. entry.rfilename
  if mid.exists(path) and is_right(path, entry) then return "there already" end
  local part = path .. ".part"
  -- What is as long as it should be and still wrong, or longer, is of no use.
  if size_of(part) >= entry.size then os.remove(part) end
  local before = size_of(part)
  fetch(base .. entry.rfilename, part)
  if not is_right(part, entry) then
    os.remove(part)
    error(("%s: what came is not what the hub describes; try again"):format(base .. entry.rfilename), 0)
  end
  mid.sync(part)
  mid.rename(part, path)
  return before > 0 and ("done, from %d bytes on"):format(before) or "done"
end

-- The description of a model: its commit and files.
local function describe(name, revision, dir)
  local path = dir .. "/.model.json"
  os.remove(path)
  fetch(("%s/api/models/%s/revision/%s?blobs=true"):format(endpoint(), name, revision), path)
  local text
  do
    local file <close> = assert(io.open(path))
    text = file:read "a"
  end
  os.remove(path)
  local ok, model = pcall(mid.json.decode, text)
  if not ok or type(model) ~= "table" or type(model.siblings) ~= "table" or type(model.sha) ~= "string"
    or not model.sha:find "^%x+$" then
    error(("%s does not describe %s as a hub does"):format(endpoint(), name), 0)
  end
  return model
end

-- The files to fetch: those that are named, else those of a model. Names come from the hub: none may lead
-- out of the folder.
local function choose(model, names)
  local chosen, known, others = {}, {}, {}
  for _, entry in ipairs(model.siblings) do
    local name = entry.rfilename
    local is_plain = type(name) == "string" and name:find "^[%w_][%w_%.%-]*$" and math.type(entry.size) == "integer"
    if is_plain then
      known[name] = entry
      if name:find "%.gguf$" then others[#others + 1] = name end
      for _, pattern in ipairs(#names == 0 and wanted or {}) do
        if name:find(pattern) then
          chosen[#chosen + 1] = entry
          break
        end
      end
    end
  end
  for _, name in ipairs(names) do
    chosen[#chosen + 1] = known[name] or error(("there is no file %s; there are %s"):format(name,
      table.concat(others, ", ")), 0)
  end
  local has_weights = #names > 0
  for _, entry in ipairs(chosen) do has_weights = has_weights or entry.rfilename:find "%.safetensors$" end
  if not has_weights then
    error(#others > 0 and ("there are no safetensors; name one of %s"):format(table.concat(others, ", "))
      or "there are neither safetensors nor GGUF files", 0)
  end
  return chosen
end

--- Fetches a model.
---@param name string OWNER/NAME
---@param files string[]? only these; a GGUF file of several, say
---@param revision string? a branch, tag or commit; main
---@return string dir
function pull.fetch(name, files, revision)
  if not name:find "^[%w][%w_%.%-]*/[%w][%w_%.%-]*$" or name:find("..", 1, true) then
    error(("'%s' is no name of a model; expected OWNER/NAME"):format(name), 0)
  end
  revision = revision or "main"
  if not revision:find "^[%w][%w_%.%-]*$" then error(("'%s' is no revision"):format(revision), 0) end
  local dir = pull.cache() .. "/" .. name
  mid.mkdir(dir)
  local model = describe(name, revision, dir)
  local chosen, total = choose(model, files or {}), 0
  for _, entry in ipairs(chosen) do total = total + entry.size end
  print(("%s at %s: %d files, %.1f MB, into %s"):format(name, model.sha:sub(1, 12), #chosen, total / 1e6, dir))
  for _, entry in ipairs(chosen) do
    io.write(("  %s, %.1f MB … "):format(entry.rfilename, entry.size / 1e6)):flush()
    -- By the commit, so that all files are of one state.
    local base = ("%s/%s/resolve/%s/"):format(endpoint(), name, model.sha)
    print(fetch_file(base, dir, entry))
  end
  -- From now on damage on this disk is noticed when the model is loaded.
  mid.seal(dir)
  return dir
end

--- `midtrain pull OWNER/NAME [FILE…]`: what went wrong is a line, not a traceback.
function pull.command(name, ...)
  local ok, problem = pcall(pull.fetch, name, { ... })
  if ok then
    print(("mid.load %q loads it"):format(name))
    return
  end
  io.stderr:write("midtrain: pull: ", tostring(problem), "\n")
  os.exit(1, true)
end

return pull
