-- Whether and how what is printed has colours, how wide it may be, and texts of tokens on one line.

local mid = require "midtrain.native"

local terminal = {}

local is_colored

-- The terminal that text goes to: the client's, while one of its inputs is answered.
local function screen()
  local client = mid.client()
  if not client then return mid.screen() end
  return client.session and client.session.screen
end

--- Whether to print colours: as asked, else on a terminal unless NO_COLOR is set.
---@param asked boolean?
---@return boolean
function terminal.is_colored(asked)
  if asked ~= nil then return asked end
  if mid.client() then
    local of_client = screen()
    return of_client and of_client.is_colored or false
  end
  if is_colored == nil then
    is_colored = (os.getenv "NO_COLOR" or "") == "" and (os.getenv "TERM" or "dumb") ~= "dumb"
      and mid.screen() ~= nil
  end
  return is_colored
end

--- How many characters a line may have: those of the terminal, at most so many.
---@param most integer
---@return integer
function terminal.columns(most)
  local here = screen()
  return here and math.min(most, here.columns) or most
end

local colors = { 34, 31, 32, 35, 36, 33 }

--- A text in the colour of the i-th series; as it is without colours.
---@param text string
---@param i integer
---@param colored boolean
---@return string
function terminal.paint(text, i, colored)
  if not colored or text == "" then return text end
  return ("\27[%dm%s\27[0m"):format(colors[(i - 1) % #colors + 1], text)
end

--- A text on one of the 256 background colours, with letters that can be read on it.
---@param text string
---@param background integer 16 … 255
---@return string
function terminal.shade(text, background)
  local light
  if background >= 232 then
    light = background >= 244
  else
    -- A cube of six levels of red, green and blue.
    local level = background - 16
    light = 2 * (level // 36) + 5 * (level // 6 % 6) + level % 6 >= 18
  end
  return ("\27[48;5;%d;38;5;%dm%s\27[0m"):format(background, light and 16 or 231, text)
end

--- Text in which bytes that are no character are replaced by one that says so.
---@param text string
---@return string
function terminal.valid(text)
  local parts, first = {}, 1
  while true do
    local length, wrong = utf8.len(text, first)
    parts[#parts + 1] = text:sub(first, length and #text or wrong - 1)
    if length then return table.concat(parts) end
    parts[#parts + 1], first = "\u{FFFD}", wrong + 1
  end
end

--- A token's text on one line, whatever is in it. `newline` stands for the end of a line.
---@param text string
---@param newline string? \n
---@return string
function terminal.visible(text, newline)
  return (terminal.valid(text):gsub("\n", newline or "\\n"):gsub("\t", "\\t"):gsub("%c", "·"))
end

return terminal
