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
    assert(scratch.read(folder .. "/" .. name) == text, name .. " differs from the registry; run scripts/stubs")
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
      assert(count(("---@field %s %s %s\n"):format(short, entry.returns, entry.doc)) == 1, entry.name)
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
  assert(types:find("---@class Tensor\n", 1, true) and types:find("---@operator add(Tensor|number): Tensor", 1, true))
  assert(types:find("---@operator unm: Tensor", 1, true) and types:find("---@operator len: integer", 1, true))
  assert(types:find("---@return Tensor\n---@return Tensor?\nfunction Model:logprobs(batch, options) end", 1, true))
  assert(files["mid.lua"]:find("---@param options? mid.load.options", 1, true))
end

return tests
