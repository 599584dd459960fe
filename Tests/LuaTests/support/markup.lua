-- Assertions about SVG and HTML.

local check = require "support.check"

local markup = {}

-- Elements are closed in the order in which they were opened, attributes quoted, entities known,
-- numbers finite. Gives the number of elements by name.
function markup.well_formed(text)
  local open, counts = {}, {}
  local rest = text:gsub("<(/?)(%a%w*)([^<>]*)>", function(closing, name, attributes)
    if closing == "/" then
      check.equal(table.remove(open), name, "closed element")
      return ""
    end
    counts[name] = (counts[name] or 0) + 1
    local is_empty = attributes:sub(-1) == "/"
    local left = attributes:gsub("/$", ""):gsub('%s[%w%-:]+="[^"<]*"', "")
    check.equal(left, "", "attributes of " .. name)
    if not is_empty then open[#open + 1] = name end
    return ""
  end)
  check.equal(open, {}, "open elements")
  assert(not rest:find "[<>]", "a stray bracket")
  for entity in text:gmatch "&(%w*)" do
    assert(({ amp = 1, lt = 1, gt = 1, quot = 1 })[entity], "entity " .. entity)
  end
  assert(not text:find "[^%a]nan" and not text:find "[^%a]inf[^%a]", "a number that is none")
  assert(utf8.len(text), "no UTF-8")
  return counts
end

return markup
