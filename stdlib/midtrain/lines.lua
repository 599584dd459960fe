-- The lines of a data file, also of one that another program unpacks or translates, and the way back to
-- a line: a place is a number of bytes in what comes out, so that it holds for packed files, too.

local lines = {}

local packers = {
  gz = { program = "gzip", package = "gzip" },
  zst = { program = "zstd", package = "zstd" },
}

-- Path and field reach the programs from the environment or as arguments: they never become code.
local DUCKDB = [[COPY (SELECT COLUMNS('^\Q' || getenv('MIDTRAIN_FIELD') || '\E$') ]]
  .. [[FROM read_parquet(getenv('MIDTRAIN_PATH'))) TO '/dev/stdout' (FORMAT json)]]
local PYTHON = [[
import json, sys
import pyarrow.parquet as parquet
path, field = sys.argv[1:]
file = parquet.ParquetFile(path)
names = file.schema_arrow.names
if field not in names:
    sys.exit("no column '%s'; there are %s" % (field, ", ".join(names)))
for batch in file.iter_batches(batch_size=256, columns=[field]):
    for value in batch.column(0).to_pylist():
        if not isinstance(value, str):
            value = None if value is None else 0
        line = json.dumps({field: value}, ensure_ascii=False) + "\n"
        sys.stdout.buffer.write(line.encode("utf-8", "replace"))
]]

---@class midtrain.Source
---@field path string
---@field offset integer where the next line begins: bytes, or lines of a table
---@field line integer lines read
local Source = {}
Source.__index = Source

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function works(command) return (os.execute(command .. " >/dev/null 2>&1")) end

local function parquet_command(path, field)
  if works "command -v duckdb" then
    return ("MIDTRAIN_PATH=%s MIDTRAIN_FIELD=%s duckdb -no-init -bail -c %s"):format(
      quoted(path), quoted(field), quoted(DUCKDB))
  elseif works "python3 -c 'import pyarrow.parquet'" then
    return ("python3 -c %s %s %s"):format(quoted(PYTHON), quoted(path), quoted(field))
  end
  error(("stream: '%s' needs a program that reads Parquet, and there is none; install duckdb "
    .. "(https://duckdb.org), or pyarrow for python3 (pip install pyarrow)"):format(path), 0)
end

local function packer_command(path, packing)
  local packer = packers[packing]
  if not works("command -v " .. packer.program) then
    error(("stream: '%s' needs the program %s, which is not there; install it (apt-get install %s)")
      :format(path, packer.program, packer.package), 0)
  end
  return ("%s -dc -- %s"):format(packer.program, quoted(path))
end

--- The name of a file without what tells its packing, and that: "gz", "zst" or nil.
---@param path string
---@return string name, string? packing
function lines.unpacked(path)
  local name, packing = path:match "^(.*)%.(%w+)$"
  if packing and packers[packing:lower()] then return name, packing:lower() end
  return path, nil
end

--- The size of a file as it is on disk.
---@param path string
---@return integer
function lines.size(path)
  local file <close>, problem = io.open(path, "rb")
  local size = file and file:seek "end"
  if not file or not size or size == math.maxinteger then
    error(("stream: %s"):format(problem or path .. ": is no file"), 0)
  end
  return size
end

--- Opens a file at its beginning.
---@param path string
---@param format "jsonl"|"csv"|"text"|"parquet"
---@param field string
---@return midtrain.Source
function lines.open(path, format, field)
  local _, packing = lines.unpacked(path)
  local self = setmetatable({ path = path, offset = 0, line = 0, kept = {} }, Source)
  if format == "parquet" then
    if packing then error(("stream: '%s': Parquet is packed within; unpack the file"):format(path), 0) end
    self.command, self.is_table = parquet_command(path, field), true
  elseif packing then
    self.command = packer_command(path, packing)
  end
  local problem
  if self.command then
    self.file, problem = io.popen(self.command .. " 2>/dev/null", "r")
  else
    self.file, problem = io.open(path, "rb")
  end
  if not self.file then error(("stream: %s"):format(problem), 0) end
  return self
end

-- At the end of what a program writes: whether it came to its end, or a part is missing.
local function finish(self)
  if self.is_finished then return end
  self.is_finished = true
  local ok, _, code = self.file:close()
  if ok or not self.command then return end
  -- Once more for what it says, which is not mixed with the data then.
  local pipe <close> = io.popen("{ " .. self.command .. "; } 2>&1 >/dev/null")
  local said = (pipe and pipe:read "a" or ""):gsub("%s+$", "")
  self.problem = ("stream: '%s' could not be read to its end (status %s after line %d): %s")
    :format(self.path, code, self.line, said ~= "" and said or "the file is damaged or cut off")
end

local function bytes_read(self, line)
  self.offset = self.offset + (self.is_table and 1 or #line)
  self.line = self.line + 1
end

--- The next line with its line break, and where it begins; nil at the end. A file that cannot be read
--- to its end is an error, and its last piece no line.
---@return string? line, integer offset
function Source:read()
  if self.problem then error(self.problem, 0) end
  local at, line = self.offset, table.remove(self.kept)
  if not line and not self.is_finished then
    local problem
    line, problem = self.file:read "L"
    if problem then error(("stream: '%s': %s"):format(self.path, problem), 0) end
    if not line or line:byte(-1) ~= 10 then finish(self) end
    if self.problem then error(self.problem, 0) end
  end
  if not line then return nil, at end
  bytes_read(self, line)
  if at == 0 then line = line:gsub("^\xEF\xBB\xBF", "") end
  return line, at
end

--- Puts back lines that were read last: the next reads give them again.
---@param texts string[] none of them the file's first
function Source:unread(texts)
  for i = #texts, 1, -1 do
    self.kept[#self.kept + 1] = texts[i]
    self.offset = self.offset - (self.is_table and 1 or #texts[i])
    self.line = self.line - 1
  end
end

--- Goes to a place, forward only where a program writes the lines.
---@param offset integer
---@param line integer lines before it
function Source:seek(offset, line)
  if not self.command then
    if not self.is_finished then self.file:seek("set", offset) end
    self.kept = {}
  elseif self.is_table then
    while self.offset < offset and self:read() do end
  else
    -- What was put back comes first.
    while #self.kept > 0 and self.offset < offset do self:read() end
    while self.offset < offset and not self.is_finished do
      local piece = self.file:read(math.min(offset - self.offset, 1 << 16))
      if not piece then finish(self) else self.offset = self.offset + #piece end
    end
    if self.problem then error(self.problem, 0) end
  end
  if self.is_finished and offset < self.offset or self.command and self.offset ~= offset then
    error(("stream: '%s' is not what it was: there is no place %d"):format(self.path, offset), 0)
  end
  self.offset, self.line = offset, line
end

--- Ends the reading, and a program that has more to say.
function Source:close()
  if self.is_finished then return end
  self.is_finished = true
  self.file:close()
end

return lines
