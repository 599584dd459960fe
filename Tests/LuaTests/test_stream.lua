-- Streams of texts: formats, what is malformed, the shuffle buffer, and going on from a state.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"
local tiny = require "support.tiny"

local function works(command) return os.execute(command .. " >/dev/null 2>&1") == true end

-- Whether a program is there; where not, what is not tested is said.
local function is_there(program, command)
  local found = works(command or "command -v " .. program)
  if not found then print(("stream: not tested without %s"):format(program)) end
  return found
end

local function write(folder, name, text)
  local path = folder.path .. "/" .. name
  mid.write(path, text)
  return path
end

-- Everything that a stream gives before it ends.
local function all(stream)
  local texts = {}
  for list in function() return stream:next() end do texts[#texts + 1] = list[1] end
  return texts
end

local function read(given) return all(mid.stream(mid.options.merged({ repeats = false }, given))) end

local function json_rows(first, last)
  local lines = {}
  for i = first, last do lines[#lines + 1] = mid.json.encode { id = i, text = ("text %d é"):format(i) } end
  return table.concat(lines, "\n") .. "\n"
end

local function packed(path, program)
  local target = path .. (program == "gzip" and ".gz" or ".zst")
  local function quoted(name) return "'" .. name:gsub("'", "'\\''") .. "'" end
  assert(os.execute(("%s -c %s > %s"):format(program, quoted(path), quoted(target))), program)
  return target
end

-- A file cut off in its middle.
local function truncated(path)
  local bytes = scratch.read(path)
  mid.write(path, bytes:sub(1, #bytes // 2))
  return path
end

local tests = {}

function tests.every_format_gives_the_same_texts()
  local folder <close> = scratch.folder()
  local texts = { "one", "two, \"2\"", "three" }
  local paths = {
    write(folder, "a.jsonl", '{"text": "one"}\n\n{"text": "two, \\"2\\""}\r\n{"text": "three"}'),
    write(folder, "a.csv", '\xEF\xBB\xBFid,text\r\n1,one\r\n2,"two, ""2"""\r\n\r\n3,three'),
    write(folder, "a.tsv", 'id\ttext\n1\tone\n2\t"two, ""2"""\n3\tthree\n'),
    write(folder, "it's a.txt", '\n\none\n\n \ntwo, "2"\r\n\nthree\n'),
  }
  for _, path in ipairs(paths) do
    check.equal(read { files = path }, texts, path)
    for _, program in ipairs { "gzip", "zstd" } do
      if is_there(program) then check.equal(read { files = packed(path, program) }, texts, path .. program) end
    end
  end
  check.equal(read { files = { paths[2], paths[1] }, limit = 4 }, { "one", "two, \"2\"", "three", "one" })
  local other = write(folder, "rows", '{"text": "one"}\n')
  check.equal(read { files = other, format = "jsonl" }, { "one" })
  check.raises(function() read { files = other } end, "what kind of file", "format =")
  check.equal(read { files = write(folder, "b.txt", "a\nb\n\nc\nd"), size = 4 }, { "a\nb\n", "\nc\nd\n" })
end

function tests.csv_is_rfc_4180()
  local folder <close> = scratch.folder()
  local path = write(folder, "a.csv", table.concat({
    "id,text", '1,"a ""q"" ', 'and, b"', '2,x"y', "3", "4,ok", "5,", '6,"x"y', "7,a,b", '8,"open', "9,last",
  }, "\r\n"))
  local stream = mid.stream { files = path, repeats = false }
  check.equal(all(stream), { 'a "q" \r\nand, b', "ok", "last" })
  local report = stream:report()
  check.equal({ report.rows, report.malformed, report.empty }, { 9, 5, 1 })
  check.equal(report.examples, {
    path .. ":4: a stray quote", path .. ":5: 1 columns instead of 2", path .. ":8: a stray quote",
    path .. ":9: 3 columns instead of 2", path .. ":10: a quote that is never closed",
  })
  check.raises(function() read { files = path, field = "body" } end, "no column 'body'", "id, text")
end

function tests.malformed_rows_are_counted_with_their_lines()
  local folder <close> = scratch.folder()
  local path = write(folder, "a.jsonl", '{"text": "one"}\n{"text": \n\n[1]\n{"body": "x"}\n{"text": 3}\n7\n'
    .. '{"text": " "}\n{"text": "two"}\n')
  local stream = mid.stream { files = path }
  check.equal(stream:take(4), { "one", "two", "one", "two" })
  local report = stream:report()
  -- The second epoch found nothing new.
  check.equal({ report.rows, report.malformed, report.empty, report.epoch, report.given }, { 8, 5, 1, 1, 4 })
  for i, line in ipairs { 2, 4, 5, 6, 7 } do
    assert(report.examples[i]:find(path .. ":" .. line .. ": ", 1, true), report.examples[i])
  end
  assert(tostring(stream):find "4 texts given, epoch 2, 8 rows read, 5 malformed, 1 empty")
  local useless = write(folder, "b.jsonl", '{"body": "x", "id": 1}\n')
  check.raises(function() mid.stream({ files = useless }):next() end, "field 'text'", "there are body, id")
  check.raises(function() mid.stream { files = folder.path .. "/c.jsonl" } end, "c.jsonl", "No such file")
  check.raises(function() mid.stream { files = useless, shufle = 3 } end, "did you mean 'shuffle'")
  check.equal(read { files = write(folder, "d.txt", "good\n\nbad \xff\n") }, { "good" })
end

function tests.a_file_that_is_cut_off_is_an_error()
  local folder <close> = scratch.folder()
  local path = write(folder, "a.jsonl", json_rows(1, 5000))
  for _, program in ipairs { "gzip", "zstd" } do
    if is_there(program) then
      local stream = mid.stream { files = truncated(packed(path, program)), repeats = false }
      for _ = 1, 2 do check.raises(function() all(stream) end, "could not be read to its end", "a.jsonl") end
    end
  end
end

function tests.a_shuffle_is_a_permutation_of_each_epoch()
  local folder <close> = scratch.folder()
  local files = { write(folder, "a.jsonl", json_rows(1, 30)), write(folder, "b.jsonl", json_rows(31, 50)) }
  local plain = read { files = files }
  check.equal(#plain, 50)
  local function order(seed) return mid.stream({ files = files, shuffle = 20, seed = seed }):take(100) end
  local first = order(1)
  check.equal(first, order(1))
  assert(table.concat(first) ~= table.concat(order(2)), "another seed, another order")
  assert(table.concat(first, "", 1, 50) ~= table.concat(first, "", 51), "another epoch, another order")
  for epoch = 0, 1 do
    local sorted, expected = table.move(first, 50 * epoch + 1, 50 * epoch + 50, 1, {}), { table.unpack(plain) }
    table.sort(sorted)
    table.sort(expected)
    check.equal(sorted, expected)
  end
  check.raises(function() mid.stream({ files = files, repeats = false }):take(51) end, "50 texts were left")
end

function tests.a_restored_stream_goes_on_with_the_same_texts()
  local folder <close> = scratch.folder()
  local plain = {
    write(folder, "a.jsonl", "junk\n" .. json_rows(1, 6)), write(folder, "b.csv", 'text\n"1\n2"\nx"\n3\n4\n'),
    write(folder, "c.txt", "one\n\ntwo\ntwo\n\n\nthree"),
  }
  local sets = { plain }
  for _, program in ipairs { "gzip", "zstd" } do
    if is_there(program) then
      local files = {}
      for i, path in ipairs(plain) do files[i] = packed(path, program) end
      sets[#sets + 1] = files
    end
  end
  for _, files in ipairs(sets) do
    for _, shuffle in ipairs { 0, 4, 100 } do
      local given = { files = files, shuffle = shuffle, seed = 5, limit = 11 }
      local whole, walker = mid.stream(given):take(40), mid.stream(given)
      for position = 0, 25 do
        local state = mid.json.decode(mid.json.encode(walker:state()))
        local restored = mid.stream(given):restore(state)
        check.equal(restored:take(14), table.move(whole, position + 1, position + 14, 1, {}), files[1])
        check.equal(walker:copy():take(3), table.move(whole, position + 1, position + 3, 1, {}), "copy")
        walker:next()
      end
      check.equal(walker:report().rows, 13, "restoring counts nothing twice")
    end
  end
  local state = mid.stream({ files = plain }):state()
  check.raises(function() mid.stream({ files = plain, seed = 1 }):restore(state) end, "seed 0", "seed 1")
  mid.append(plain[1], "more\n")
  check.raises(function() mid.stream({ files = plain }):restore(state) end, "give the files as they were")
end

function tests.memory_is_bounded_by_the_buffer()
  local folder <close> = scratch.folder()
  local path = folder.path .. "/large.jsonl"
  do
    local file <close> = assert(io.open(path, "w"))
    local row = mid.json.encode { text = ("word "):rep(2000) } .. "\n"
    for _ = 1, 5000 do file:write(row) end
  end
  local stream, most = mid.stream { files = path, shuffle = 100, repeats = false }, 0
  collectgarbage()
  local before = collectgarbage "count"
  local count = 0
  while stream:next() do
    count = count + 1
    if count % 100 == 0 then
      collectgarbage()
      most = math.max(most, collectgarbage "count")
    end
  end
  check.equal(count, 5000)
  assert(most - before < 4096, ("%.0f KB more"):format(most - before))
end

function tests.parquet_where_a_tool_reads_it()
  local folder <close> = scratch.folder()
  local path = folder.path .. "/it's a.parquet"
  if not is_there("pyarrow", "python3 -c 'import pyarrow.parquet'") then
    mid.write(path, "PAR1")
    if not works "command -v duckdb" then
      check.raises(function() read { files = path } end, "install duckdb", "pyarrow")
    end
    return
  end
  local script = write(folder, "make.py", "import sys, pyarrow, pyarrow.parquet as p\n"
    .. "t = ['a\\nb', 'é', None, '', 'x\"y'] + [str(i) for i in range(1000)]\n"
    .. "p.write_table(pyarrow.table({'id': list(range(1005)), \"te'xt\": t}), sys.argv[1], row_group_size=100)\n")
  assert(works(("python3 '%s' '%s'"):format(script, path:gsub("'", "'\\''"))))
  local given = { files = path, field = "te'xt", shuffle = 10, limit = 200 }
  check.equal(table.move(read { files = path, field = "te'xt" }, 1, 4, 1, {}), { "a\nb", "é", 'x"y', "0" })
  local whole, stream = mid.stream(given):take(60), mid.stream(given)
  stream:take(30)
  check.equal(mid.stream(given):restore(stream:state()):take(30), table.move(whole, 31, 60, 1, {}))
  check.raises(function() read { files = path, field = "body" } end, "could not be read to its end", "body")
end

-- Training ---------------------------------------------------------------------------------------

local function stream_of(folder, given)
  local lines = {}
  for i, text in ipairs(tiny.docs) do lines[i] = mid.json.encode { text = text } end
  local path = write(folder, "docs.jsonl", table.concat(lines, "\n"))
  return mid.stream(mid.options.merged({ files = path, shuffle = 5, seed = 3 }, given))
end

local function ntp(docs, given)
  return mid.ntp(mid.options.merged({
    model = tiny.model(), docs = docs, steps = 8, documents_per_step = 4, learning_rate = 1e-2,
    progress = false,
  }, given))
end

local function losses(run)
  local list = {}
  for t, metrics in ipairs(run.history) do list[t] = metrics.loss end
  return list
end

function tests.a_resumed_run_takes_the_texts_that_come_next()
  local folder <close> = scratch.folder()
  local expected, out = ntp(stream_of(folder)), folder.path .. "/run"
  expected:step(8)
  -- The fifth step is taken again: it came after the checkpoint.
  ntp(stream_of(folder), { out = out, save_steps = 2 }):step(5)
  local _, run = check.printed(function()
    return ntp(stream_of(folder), { out = out, save_steps = 2, resume = true })
  end)
  check.equal(run.t, 4)
  run:step(4)
  check.equal(losses(run), losses(expected))
  assert(scratch.json_lines(out .. "/config.json")[1].options.docs:find "^Stream of")
  for _, of in ipairs { run, expected } do of:save(("%s/%s"):format(folder.path, of == run and "a" or "b")) end
  for _, name in ipairs { "model.safetensors", "optimizer.safetensors" } do
    assert(scratch.read(folder.path .. "/a/" .. name) == scratch.read(folder.path .. "/b/" .. name), name)
  end
end

function tests.a_step_that_failed_and_a_fork_take_the_same_texts()
  local folder <close> = scratch.folder()
  local expected = ntp(stream_of(folder))
  expected:step(8)
  local run = ntp(stream_of(folder))
  run:step(3)
  local fork, logprobs = run:fork(), run.logprobs
  getmetatable(run).__fields.logprobs = function() error "a fault" end
  check.raises(function() run:step() end, "a fault")
  local after_failure = run:fork()
  getmetatable(run).__fields.logprobs = logprobs
  run:step(5)
  fork:step(5)
  after_failure:step(5)
  check.equal(losses(run), losses(expected))
  check.equal(losses(fork), losses(expected))
  check.equal(losses(after_failure), losses(expected))
end

function tests.what_wants_a_list_says_so()
  local folder <close> = scratch.folder()
  local stream = stream_of(folder)
  check.raises(function() mid.coldstart { model = tiny.model(), docs = stream } end, "docs = stream:take(n)")
  check.raises(function() return #stream end, "stream:take(n)")
  tiny.rmt { docs = stream:take(12), steps = 1 }:step()
  local run = ntp(stream_of(folder, { repeats = false }))
  check.raises(function() run:step(8) end, "the stream has ended")
end

return tests
