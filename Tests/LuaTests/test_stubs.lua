-- The declarations for editors in stdlib/meta are what the registry says.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"
local stubs = require "midtrain.stubs"

local folder = package.searchpath("midtrain.stubs", package.path):match "^(.*)/midtrain/" .. "/meta"

local tests = {}

function tests.files_are_what_the_registry_says()
  local names = {}
  for name, text in pairs(stubs.files()) do
    names[#names + 1] = name
    assert(scratch.read(folder .. "/" .. name) == text,
      name .. " differs from the registry; run scripts/stubs")
  end
  table.sort(names)
  check.equal(mid.list(folder), names)
end

function tests.everything_is_declared_once()
  local all = ""
  for name, text in pairs(stubs.files()) do
    assert(load(text, "@" .. name))
    all = all .. text
  end
  local function count(text) return select(2, all:gsub((text:gsub("%p", "%%%0")), "")) end
  for _, entry in ipairs(mid.registry()) do
    local short = entry.name:match "[%w_]+$"
    if entry.kind == "function" then
      check.equal(count("\nfunction " .. entry.name .. "("), 1, entry.name)
    elseif entry.kind == "method" then
      assert(all:find(("\nfunction %%u%%w*:%s%%("):format(short)), entry.name)
    else
      local line = ("---@field %s %s %s\n"):format(short, entry.returns, entry.doc)
      assert(count(line) == 1, entry.name)
    end
    for _, parameter in ipairs(entry.parameters) do
      for _, option in ipairs(parameter.options or {}) do
        assert(all:find(("---@field %s? %s"):format(option.name, option.type), 1, true)
          or all:find(("---@field %s %s"):format(option.name, option.type), 1, true), option.name)
      end
    end
  end
  for name in pairs(getmetatable(mid).__modules) do
    check.equal(count(('\nmid.%s = require "midtrain.%s"\n'):format(name, name)), 1)
  end
end

function tests.types_have_their_operators_and_results()
  local files = stubs.files()
  local types = files["types.lua"]
  for _, text in ipairs {
    "---@class Tensor\n", "---@operator add(Tensor|number): Tensor\n", "---@operator unm: Tensor\n",
    "---@operator len: integer\n",
    "---@return Tensor\n---@return Tensor?\nfunction Model:logprobs(batch, options) end\n",
  } do
    assert(types:find(text, 1, true), text)
  end
  assert(files["mid.lua"]:find("---@param options? mid.load.options\n", 1, true))
end

return tests
