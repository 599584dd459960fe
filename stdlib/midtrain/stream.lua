-- Texts of data files that are larger than memory, one after another, in the files' order or through a
-- shuffle buffer; its state is small, and a stream that goes on from it gives the very same texts.
--
--   stream = mid.stream { files = { "a.jsonl.zst", "b.jsonl.zst" }, field = "text", shuffle = 10000 }
--   run = mid.ntp { model = model, docs = stream, steps = 1000, out = "runs/scratch" }
--
-- mid.rmt takes one, too: see pool.lua.
--
-- A state holds where the texts of the buffer begin in their files, not the texts: with a buffer of ten
-- thousand it is a few hundred kilobytes in each checkpoint. Going back to it reads those texts again:
-- at once in a plain file; a packed one is unpacked from its beginning.

local formats = require "midtrain.formats"
local options = require "midtrain.options"
local random = require "midtrain.random"
local lines = require "midtrain.lines"

local specification = {
  files = { { "string", "table" }, required = true, doc = "a path or a list of them; .gz and .zst are unpacked" },
  field = { "string", default = "text", doc = "the field or column that holds the text" },
  format = {
    "string", choices = { "jsonl", "csv", "text", "parquet" }, doc = "as the files' names tell if absent",
  },
  size = { "integer", min = 1, doc = "bytes of a document of plain text; blank lines divide if absent" },
  shuffle = { "integer", default = 0, min = 0, doc = "texts in the buffer that is drawn from; 0: file order" },
  seed = { "integer", default = 0 },
  repeats = { "boolean", default = true, doc = "begin again at the end; false: the stream ends" },
  limit = { "integer", min = 1, doc = "take only the first so many texts of the files" },
}

local stream = { specification = specification }

-- Rows that are described, of those that are malformed.
local EXAMPLES = 10

---@class midtrain.Stream
---@field epoch integer times that the files were gone through before
---@field given integer texts that were given so far
local Stream = { __name = "Stream" }
Stream.__index = Stream

-- State from here on ---------------------------------------------------------------------------------

local function begin_epoch(self, epoch)
  if self.source then self.source:close() end
  self.source, self.file, self.taken, self.drawn, self.buffer = nil, 1, 0, 0, {}
  self.epoch = epoch
end

local function open(self, file)
  local path = self.paths[file]
  local format = self.options.format or formats.of(path)
  local from = lines.open(path, format, self.options.field)
  return from, formats.reader(from, format, self.options.field, self.options.size)
end

-- Later epochs find again what the first one found.
local function note(self, path, row)
  if self.epoch > 0 then return end
  local found = self.found
  found.rows = found.rows + 1
  if row.problem then
    found.malformed = found.malformed + 1
    if #found.examples < EXAMPLES then
      table.insert(found.examples, ("%s:%d: %s"):format(path, row.line, row.problem))
    end
    if row.keys and #row.keys > 0 then found.keys = row.keys end
  elseif not row.text:find "%S" then
    found.empty = found.empty + 1
  end
end

-- The next text in the files' order, and where it is; nil at the end of the epoch.
local function read(self)
  while self.file <= #self.paths and self.taken < (self.options.limit or math.huge) do
    if not self.source then self.source, self.next_row = open(self, self.file) end
    local row = self.next_row()
    if row then
      note(self, self.paths[self.file], row)
      if row.text and row.text:find "%S" then
        self.taken = self.taken + 1
        return { text = row.text, file = self.file, offset = row.offset }
      end
    else
      self.source:close()
      self.source, self.file = nil, self.file + 1
    end
  end
end

local function check_usable(self)
  if self.given > 0 or self.epoch > 0 then return end
  local found = self.found
  error(("stream: no row of %s has a text in field '%s'%s%s"):format(table.concat(self.paths, ", "),
    self.options.field, found.keys and "; there are " .. table.concat(found.keys, ", ") or "",
    found.examples[1] and "; " .. found.examples[1] or ""), 0)
end

-- One text: of those in the buffer, any is as likely.
local function draw(self)
  while true do
    local buffer = self.buffer
    while #buffer < math.max(1, self.options.shuffle) do
      local entry = read(self)
      if not entry then break end
      buffer[#buffer + 1] = entry
    end
    if #buffer > 0 then
      local place = #buffer
      if self.options.shuffle > 0 then
        place = random.new(random.hash("stream", self.options.seed), self.epoch, self.drawn):integer(#buffer)
      end
      local entry = buffer[place]
      buffer[place] = buffer[#buffer]
      buffer[#buffer] = nil
      self.drawn, self.given = self.drawn + 1, self.given + 1
      return entry.text
    end
    check_usable(self)
    if not self.options.repeats then return nil end
    begin_epoch(self, self.epoch + 1)
  end
end

--- The next texts, fewer than asked for just before the stream ends, and nil when it has ended.
---@param n integer? how many; 1
---@return string[]?
function Stream:next(n)
  n = options.value("stream:next", "n", n == nil and 1 or n, { "integer", min = 1 })
  local texts = {}
  while #texts < n do
    local text = draw(self)
    if not text then break end
    texts[#texts + 1] = text
  end
  return #texts > 0 and texts or nil
end

--- A list of the next texts, for what wants all of its documents at once.
---@param n integer
---@return string[]
function Stream:take(n)
  n = options.value("stream:take", "n", n, { "integer", min = 1, required = true })
  local texts = self:next(n) or {}
  if #texts < n then
    error(("stream:take: %d texts were left, not %d; take fewer, or repeat the files (repeats = true)")
      :format(#texts, n), 2)
  end
  return texts
end

-- What must be the same for the same texts to come.
local function identity(self)
  local o = self.options
  return ("field %s, format %s, size %s, shuffle %d, seed %d, repeats %s, limit %s"):format(o.field,
    o.format or "by name", o.size or "none", o.shuffle, o.seed, o.repeats, o.limit or "none")
end

local function copy_found(found)
  return options.merged(found, { examples = table.move(found.examples, 1, #found.examples, 1, {}) })
end

--- Where the stream is, as a table that JSON can hold.
---@return table
function Stream:state()
  local buffer = {}
  for _, entry in ipairs(self.buffer) do
    buffer[#buffer + 1], buffer[#buffer + 2] = entry.file, entry.offset
  end
  return {
    options = identity(self), sizes = table.move(self.sizes, 1, #self.sizes, 1, {}),
    epoch = self.epoch, given = self.given, drawn = self.drawn, taken = self.taken, file = self.file,
    offset = self.source and self.source.offset or 0, line = self.source and self.source.line or 0,
    buffer = buffer, found = copy_found(self.found),
  }
end

local function check_same(self, state)
  if type(state) ~= "table" or type(state.buffer) ~= "table" then
    error("stream:restore: expected a table that stream:state() gave", 3)
  end
  if state.options ~= identity(self) then
    error(("stream:restore: the state is of a stream with %s; this one has %s"):format(state.options,
      identity(self)), 3)
  end
  if #state.sizes ~= #self.sizes then
    error(("stream:restore: the state is of %d files, not %d"):format(#state.sizes, #self.sizes), 3)
  end
  for i, path in ipairs(self.paths) do
    if state.sizes[i] ~= self.sizes[i] then
      error(("stream:restore: '%s' has %d bytes, and had %d; give the files as they were"):format(path,
        self.sizes[i], state.sizes[i]), 3)
    end
  end
end

-- Reads the texts of a buffer again, each file once, from its beginning to its end.
local function read_again(self, entries)
  local order = table.move(entries, 1, #entries, 1, {})
  table.sort(order, function(a, b)
    if a.file ~= b.file then return a.file < b.file end
    return a.offset < b.offset
  end)
  local from, next_row, file
  for _, entry in ipairs(order) do
    if entry.file ~= file then
      if from then from:close() end
      from, next_row = open(self, entry.file)
      file = entry.file
    end
    from:seek(entry.offset, 0)
    local row = next_row()
    if not row or not row.text or row.offset ~= entry.offset then
      error(("stream:restore: '%s' is not what it was"):format(self.paths[file]), 0)
    end
    entry.text = row.text
  end
  return from, next_row, file
end

--- Goes to a state of a stream with the same files and options, and on from there with the same texts.
---@param state table
---@return midtrain.Stream
function Stream:restore(state)
  check_same(self, state)
  local entries = {}
  for i = 1, #state.buffer, 2 do
    entries[#entries + 1] = { file = state.buffer[i], offset = state.buffer[i + 1] }
  end
  begin_epoch(self, state.epoch)
  local from, next_row, file = read_again(self, entries)
  if state.offset > 0 then
    if file ~= state.file then
      if from then from:close() end
      from, next_row = open(self, state.file)
    end
    from:seek(state.offset, state.line)
    self.source, self.next_row = from, next_row
  elseif from then
    from:close()
  end
  self.buffer, self.file, self.taken, self.drawn = entries, state.file, state.taken, state.drawn
  self.given, self.found = state.given, copy_found(state.found)
  return self
end

--- Another stream at the same place.
---@return midtrain.Stream
function Stream:copy() return stream.new(self.given_options):restore(self:state()) end

--- What was found in the files so far: rows, those of them that are malformed or empty, and the file and
--- line of the first ones that are malformed. Later epochs read the same rows and do not count again.
---@return { rows: integer, malformed: integer, empty: integer, examples: string[], epoch: integer, given: integer }
function Stream:report()
  local report = copy_found(self.found)
  report.keys, report.epoch, report.given = nil, self.epoch, self.given
  return report
end

function Stream:__tostring()
  local found, count = self.found, #self.paths
  return ("Stream of %s: %d texts given, epoch %d, %d rows read, %d malformed, %d empty%s"):format(
    count == 1 and self.paths[1] or count .. " files", self.given, self.epoch + 1, found.rows,
    found.malformed, found.empty, found.examples[1] and "; " .. found.examples[1] or "")
end

function Stream:__len()
  error("stream: it has no length; where a list of texts is wanted, give stream:take(n)", 2)
end

--- Whether a value is a stream.
---@param value any
---@return boolean
function stream.is(value) return getmetatable(value) == Stream end

--- A stream of the texts in files.
---@param given table see stream.specification; files is required
---@return midtrain.Stream
function stream.new(given)
  local o = options.check("mid.stream", given, specification)
  local paths = type(o.files) == "table" and table.move(o.files, 1, #o.files, 1, {}) or { o.files }
  if #paths == 0 then error("mid.stream: option 'files' names no file", 2) end
  local sizes = {}
  for i, path in ipairs(paths) do
    if type(path) ~= "string" then
      error(("mid.stream: option 'files' must be paths, got a %s at index %d"):format(type(path), i), 2)
    end
    sizes[i] = lines.size(path)
    if not o.format then formats.of(path) end
  end
  local self = setmetatable({
    options = o, given_options = options.merged(given, { files = paths }), paths = paths, sizes = sizes,
    given = 0, found = { rows = 0, malformed = 0, empty = 0, examples = {} },
  }, Stream)
  begin_epoch(self, 0)
  return self
end
options.takes(stream.new, specification)

return setmetatable(stream, { __call = function(_, given) return stream.new(given) end })
