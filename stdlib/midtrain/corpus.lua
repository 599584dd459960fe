-- Mathematical text that is generated, for demonstrations and tests: worked arithmetic, algebra,
-- derivatives, sequences and word problems. Every statement in it is computed, so it is correct;
-- the text depends on the seed and the document's number alone.

local options = require "midtrain.options"
local random = require "midtrain.random"

local corpus = {}

---@type (fun(r: midtrain.Random): string)[]
local kinds = {}

local function lines(...) return table.concat({ ... }, "\n") end

-- "3x^2 - x + 5" from coefficients, highest power first.
local function polynomial(coefficients)
  local text = ""
  for i, c in ipairs(coefficients) do
    local power = #coefficients - i
    if c ~= 0 then
      local size = math.abs(c)
      local factor = (size == 1 and power > 0) and "" or tostring(size)
      local x = power == 0 and "" or power == 1 and "x" or "x^" .. power
      local sign = text == "" and (c < 0 and "-" or "") or (c < 0 and " - " or " + ")
      text = text .. sign .. factor .. x
    end
  end
  return text == "" and "0" or text
end

local function gcd(a, b)
  while b ~= 0 do a, b = b, a % b end
  return a
end

kinds[#kinds + 1] = function(r)
  local a, b = r:integer(112, 888), r:integer(112, 888)
  local a1, a10, b1, b10 = a % 10, a // 10 % 10, b % 10, b // 10 % 10
  local ones = a1 + b1
  local carry = ones // 10
  local tens = a10 + b10 + carry
  local carried = tens // 10
  local hundreds = a // 100 + b // 100 + carried
  return lines(
    ("Problem: Add %d and %d."):format(a, b),
    ("Solution: Start with the ones: %d + %d = %d, so we write %d%s."):format(
      a1, b1, ones, ones % 10, carry > 0 and " and carry 1" or ""),
    ("Next the tens: %d + %d%s = %d, so we write %d%s."):format(
      a10, b10, carry > 0 and " + 1" or "", tens, tens % 10, carried > 0 and " and carry 1" or ""),
    ("Finally the hundreds: %d + %d%s = %d."):format(a // 100, b // 100,
      carried > 0 and " + 1" or "", hundreds),
    ("Therefore %d + %d = %d."):format(a, b, a + b))
end

kinds[#kinds + 1] = function(r)
  local a, b = r:integer(12, 99), r:integer(3, 19)
  local tens, ones = a // 10 * 10, a % 10
  return lines(
    ("Problem: What is %d times %d?"):format(a, b),
    ("Solution: We split %d into %d + %d and multiply each part by %d."):format(a, tens, ones, b),
    ("First, %d * %d = %d. Second, %d * %d = %d."):format(tens, b, tens * b, ones, b, ones * b),
    ("Adding the two parts gives %d + %d = %d."):format(tens * b, ones * b, a * b),
    ("The answer is %d."):format(a * b))
end

kinds[#kinds + 1] = function(r)
  local b, q = r:integer(3, 19), r:integer(7, 68)
  local rest = r:integer(0, b - 1)
  local a = b * q + rest
  return lines(
    ("Problem: Divide %d by %d and give the remainder."):format(a, b),
    ("Solution: The largest multiple of %d that is not more than %d is %d * %d = %d."):format(
      b, a, b, q, b * q),
    ("What is left over is %d - %d = %d, and %d is less than %d."):format(a, b * q, rest, rest, b),
    ("So the quotient is %d and the remainder is %d."):format(q, rest))
end

kinds[#kinds + 1] = function(r)
  local a, x, b = r:integer(2, 9), r:integer(-9, 12), r:integer(1, 20)
  local c = a * x + b
  return lines(
    ("Problem: Solve %dx + %d = %d for x."):format(a, b, c),
    ("Solution: We subtract %d from both sides: %dx = %d - %d = %d."):format(b, a, c, b, c - b),
    ("Then we divide both sides by %d: x = %d / %d = %d."):format(a, c - b, a, x),
    ("To check, substitute x = %d: %d * (%d) + %d = %d. This is correct."):format(x, a, x, b, c))
end

kinds[#kinds + 1] = function(r)
  local x, y = r:integer(2, 60), r:integer(1, 40)
  local s, d = x + y, x - y
  return lines(
    ("Problem: Find x and y such that x + y = %d and x - y = %d."):format(s, d),
    ("Solution: Adding the two equations, we get 2x = %d + %d = %d, so x = %d."):format(
      s, d, s + d, x),
    ("Substituting into the first equation, y = %d - %d = %d."):format(s, x, y),
    ("Therefore x = %d and y = %d."):format(x, y))
end

kinds[#kinds + 1] = function(r)
  local degree = r:integer(2, 4)
  local c = {}
  for i = 1, degree + 1 do c[i] = r:integer(-6, 9) end
  if c[1] == 0 then c[1] = 2 end
  local d, steps = {}, {}
  for i = 1, degree do
    local power = degree + 1 - i
    d[i] = c[i] * power
    if c[i] ~= 0 then
      local single, result = {}, {}
      for j = 1, degree + 1 do single[j] = j == i and c[i] or 0 end
      for j = 1, degree do result[j] = j == i and d[i] or 0 end
      steps[#steps + 1] =
        ("The derivative of %s is %s."):format(polynomial(single), polynomial(result))
    end
  end
  if c[degree + 1] ~= 0 then
    steps[#steps + 1] = ("The constant %d has derivative 0."):format(c[degree + 1])
  end
  return lines(
    ("Problem: Differentiate f(x) = %s."):format(polynomial(c)),
    "Solution: We use the power rule on each term. " .. table.concat(steps, " "),
    ("Therefore f'(x) = %s."):format(polynomial(d)))
end

kinds[#kinds + 1] = function(r)
  local first, step, n = r:integer(1, 30), r:integer(2, 12), r:integer(8, 25)
  return lines(
    ("Problem: The sequence %d, %d, %d, %d, ... is arithmetic. Find its term number %d."):format(
      first, first + step, first + 2 * step, first + 3 * step, n),
    ("Solution: The common difference is %d - %d = %d."):format(first + step, first, step),
    ("The term number n is %d + (n - 1) * %d."):format(first, step),
    ("For n = %d this is %d + %d * %d = %d + %d = %d."):format(
      n, first, n - 1, step, first, (n - 1) * step, first + (n - 1) * step),
    ("The answer is %d."):format(first + (n - 1) * step))
end

kinds[#kinds + 1] = function(r)
  local first, ratio = r:integer(1, 30), r:integer(2, 5)
  local terms = { first }
  for i = 2, 6 do terms[i] = terms[i - 1] * ratio end
  local sum = 0
  for i = 1, 5 do sum = sum + terms[i] end
  return lines(
    ("Problem: What comes next in the sequence %s?"):format(table.concat(terms, ", ", 1, 5)),
    ("Solution: Each term is %d times the one before it: %d / %d = %d and %d / %d = %d."):format(
      ratio, terms[2], terms[1], ratio, terms[3], terms[2], ratio),
    ("So the next term is %d * %d = %d."):format(terms[5], ratio, terms[6]),
    ("The sum of the first five terms is %s = %d."):format(table.concat(terms, " + ", 1, 5), sum))
end

kinds[#kinds + 1] = function(r)
  local common = r:integer(2, 12)
  local a, b = common * r:integer(5, 20), common * r:integer(3, 12)
  local steps, x, y = {}, math.max(a, b), math.min(a, b)
  local start_x, start_y = x, y
  while y ~= 0 do
    steps[#steps + 1] = ("%d = %d * %d + %d."):format(x, x // y, y, x % y)
    x, y = y, x % y
  end
  return lines(
    ("Problem: Find the greatest common divisor of %d and %d."):format(start_x, start_y),
    "Solution: We apply the Euclidean algorithm. " .. table.concat(steps, " "),
    #steps == 1 and ("The remainder is zero at once, so %d divides %d."):format(x, start_x)
      or ("The last remainder that is not zero is %d."):format(x),
    ("Hence the greatest common divisor is %d."):format(x))
end

kinds[#kinds + 1] = function(r)
  local p, q = r:integer(-15, 15), r:integer(-15, 15)
  if p == 0 then p = 4 end
  if q == 0 then q = -3 end
  if p > q then p, q = q, p end
  local function factor(root)
    return root < 0 and ("(x + %d)"):format(-root) or ("(x - %d)"):format(root)
  end
  local ending = p == q and ("Therefore x = %d is the only solution."):format(p)
    or ("Therefore the solutions are x = %d and x = %d."):format(p, q)
  return lines(
    ("Problem: Solve the equation %s = 0."):format(polynomial { 1, -(p + q), p * q }),
    ("Solution: We look for two numbers with sum %d and product %d. These are %d and %d."):format(
      p + q, p * q, p, q),
    ("So the equation can be written as %s%s = 0."):format(factor(p), factor(q)),
    "A product is zero when one of its factors is zero. " .. ending)
end

kinds[#kinds + 1] = function(r)
  local b, d = r:integer(2, 9), r:integer(2, 9)
  local a, c = r:integer(1, 9), r:integer(1, 9)
  local numerator, denominator = a * d + c * b, b * d
  local common = gcd(numerator, denominator)
  local result = denominator // common == 1 and tostring(numerator // common)
    or ("%d/%d"):format(numerator // common, denominator // common)
  return lines(
    ("Problem: Compute %d/%d + %d/%d."):format(a, b, c, d),
    ("Solution: A common denominator is %d * %d = %d."):format(b, d, denominator),
    ("Then %d/%d = %d/%d and %d/%d = %d/%d."):format(
      a, b, a * d, denominator, c, d, c * b, denominator),
    ("The sum is %d/%d%s."):format(numerator, denominator,
      common > 1 and (", which simplifies to %s"):format(result) or ", already in lowest terms"))
end

kinds[#kinds + 1] = function(r)
  local percent, base = 5 * r:integer(1, 15), 20 * r:integer(2, 30)
  local part = percent * base // 100
  local item = r:choice { "jacket", "book", "bicycle", "lamp", "phone", "ticket", "chair" }
  return lines(
    ("Problem: A %s costs %d dollars. Its price is reduced by %d percent. What is the new price?")
      :format(item, base, percent),
    ("Solution: The reduction is %d/100 * %d = %d dollars."):format(percent, base, part),
    ("The new price is %d - %d = %d dollars."):format(base, part, base - part))
end

kinds[#kinds + 1] = function(r)
  local name = r:choice { "Anna", "Ben", "Clara", "David", "Emma", "Farid", "Grace", "Hugo" }
  local thing = r:choice { "apples", "marbles", "stickers", "pencils", "coins", "cards" }
  local boxes, each, gone = r:integer(3, 12), r:integer(4, 15), r:integer(2, 11)
  local all = boxes * each
  return lines(
    ("Problem: %s has %d boxes with %d %s in each box. %s gives %d %s to a friend."):format(
      name, boxes, each, thing, name, gone, thing) .. " How many are left?",
    ("Solution: At first %s has %d * %d = %d %s."):format(name, boxes, each, all, thing),
    ("After giving away %d there are %d - %d = %d %s left."):format(
      gone, all, gone, all - gone, thing))
end

kinds[#kinds + 1] = function(r)
  local who = r:choice { "A train", "A car", "A cyclist", "A ship", "A bus" }
  local speed, hours, more = r:integer(3, 24) * 5, r:integer(2, 9), r:integer(1, 5)
  return lines(
    ("Problem: %s travels at %d kilometers per hour for %d hours, then for %d more hours "
      .. "at the same speed. How far does it go in total?"):format(who, speed, hours, more),
    ("Solution: The total time is %d + %d = %d hours."):format(hours, more, hours + more),
    ("Distance is speed times time, so the distance is %d * %d = %d kilometers."):format(
      speed, hours + more, speed * (hours + more)))
end

kinds[#kinds + 1] = function(r)
  local a, b = r:integer(3, 80), r:integer(3, 40)
  return lines(
    ("Problem: A rectangle has sides of length %d and %d. Find its area and its perimeter."):format(
      a, b),
    ("Solution: The area is the product of the sides: %d * %d = %d."):format(a, b, a * b),
    ("The perimeter is twice their sum: 2 * (%d + %d) = 2 * %d = %d."):format(
      a, b, a + b, 2 * (a + b)))
end

kinds[#kinds + 1] = function(r)
  local n = r:integer(24, 2000)
  local left, factors, steps = n, {}, {}
  local p = 2
  while p * p <= left do
    while left % p == 0 do
      steps[#steps + 1] = ("%d / %d = %d."):format(left, p, left // p)
      factors[#factors + 1], left = p, left // p
    end
    p = p + 1
  end
  if left > 1 then factors[#factors + 1] = left end
  if #factors == 1 then
    return lines(
      ("Problem: Is %d a prime number?"):format(n),
      ("Solution: It is enough to try the primes whose square is at most %d, those below %d.")
        :format(n, math.floor(math.sqrt(n)) + 1),
      ("None of them divides %d, so it has no divisors but 1 and itself."):format(n),
      ("Therefore %d is prime."):format(n))
  end
  return lines(
    ("Problem: Write %d as a product of primes."):format(n),
    "Solution: We divide by the smallest prime that fits, again and again. "
      .. table.concat(steps, " "),
    ("The number %d is prime, so we stop."):format(left),
    ("Therefore %d = %s."):format(n, table.concat(factors, " * ")))
end

kinds[#kinds + 1] = function(r)
  local a, b, c, x = r:integer(1, 6), r:integer(-8, 8), r:integer(-9, 9), r:integer(-5, 8)
  local square = x * x
  return lines(
    ("Problem: Let f(x) = %s. Find f(%d)."):format(polynomial { a, b, c }, x),
    ("Solution: We substitute x = %d. The square is (%d)^2 = %d."):format(x, x, square),
    ("The first term is %d * %d = %d and the second is (%d) * (%d) = %d."):format(
      a, square, a * square, b, x, b * x),
    ("Adding the constant %d, we get f(%d) = %d."):format(c, x, a * square + b * x + c))
end

local generate_options = {
  seed = { "integer", default = 0 },
  first = { "integer", default = 1, min = 1 },
}

--- Documents 1 … n of a seed, every kind of problem as often as any other.
---@param n integer
---@param given { seed: integer?, first: integer? }? first: number of the first document
---@return string[]
function corpus.generate(n, given)
  local o = options.check("corpus.generate", given, generate_options)
  local documents = {}
  for i = 1, n do
    local number = o.first + i - 1
    -- One round goes through all kinds, in an order of its own.
    local order = {}
    for k = 1, #kinds do order[k] = k end
    random.new(o.seed, (number - 1) // #kinds, "corpus order"):shuffle(order)
    local kind = kinds[order[(number - 1) % #kinds + 1]]
    documents[i] = kind(random.new(o.seed, number, "corpus"))
  end
  return documents
end
options.takes(corpus.generate, generate_options)

--- How many kinds of problem there are.
corpus.kinds = #kinds

return corpus
