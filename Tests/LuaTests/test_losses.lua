-- Policy losses written in plain Lua on tensors, as a researcher would: they give what TRL's
-- formulas give in PyTorch (Goldens/grpo_losses.json), and a small network learns by each of them.

local check = require "support.check"
local mid = require "midtrain"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"

local function goldens()
  local file <close> = assert(io.open(here .. "/../Goldens/grpo_losses.json"))
  return mid.json.decode(file:read "a")
end

-- All losses take log-probabilities lp (B, T) and a table b: old and ref (B, T), mask (B, T) of the
-- tokens that count, advantages (B, 1), low and high (ε), beta; is_sequence for one ratio a completion.

local function per_token(lp, b)
  local log_ratio = lp - b.old
  if b.is_sequence then
    log_ratio = (log_ratio * b.mask):sum(2, true) / b.mask:sum(2, true)
  end
  local ratio = log_ratio:exp()
  local bounded = ratio:clamp(1 - b.low, 1 + b.high)
  local d = b.ref - lp
  return (d:exp() - d - 1) * b.beta - (ratio * b.advantages):minimum(bounded * b.advantages)
end

local losses = {}

-- GRPO (arXiv:2402.03300): mean over completions of their token means.
function losses.grpo(lp, b)
  return ((per_token(lp, b) * b.mask):sum(2) / b.mask:sum(2)):mean()
end

-- DAPO (arXiv:2503.14476): mean over all tokens.
function losses.dapo(lp, b)
  return (per_token(lp, b) * b.mask):sum() / b.mask:sum()
end

-- The same in one batch.
losses.bnpo = losses.dapo

-- Dr. GRPO (arXiv:2503.20783): the sum over tokens is divided by a constant.
function losses.dr_grpo(lp, b)
  return (per_token(lp, b) * b.mask):sum() / (#lp * b.longest)
end

-- GSPO (arXiv:2507.18071): GRPO with one ratio a completion.
function losses.gspo(lp, b)
  b.is_sequence = true
  return losses.grpo(lp, b)
end

-- One of our own in fifteen lines, with nothing shared; it is Dr. GRPO written another way.
function losses.custom(lp, b)
  local log_ratio = lp - b.old
  local ratio = log_ratio:exp()
  local plain = ratio * b.advantages
  local bounded = ratio:clamp(1 - b.low, 1 + b.high) * b.advantages
  local gain = plain:where(plain:lt(bounded), bounded)
  local d = b.ref - lp
  local divergence = d:exp() - d - 1
  local per_token = (divergence * b.beta - gain):masked_fill(b.mask:eq(0), 0)
  return per_token:sum() / (#lp * b.longest)
end

local function inputs(case)
  local width = #case.logp[1]
  local lengths = mid.tensor(case.lengths, "i32"):unsqueeze(2)
  local lp = mid.tensor(case.logp)
  lp.requires_grad = true
  return lp, {
    old = mid.tensor(case.old_logp), ref = mid.tensor(case.ref_logp),
    mask = mid.arange(width):le(lengths):to "f32",
    advantages = mid.tensor(case.advantages):unsqueeze(2),
    low = case.epsilon, high = case.epsilon_high, beta = case.beta,
    longest = case.max_completion_length,
  }
end

-- A policy learns to write the token 3: rewards are how often it does.
local function train(loss_of)
  mid.nn.generator = mid.generator(5)
  local policy = mid.nn.Transformer {
    vocab_size = 6, hidden_size = 16, num_attention_heads = 2, num_hidden_layers = 1,
    intermediate_size = 32,
  }
  local optimizer = mid.adamw(policy:parameters(), { learning_rate = 1e-2, weight_decay = 0 })
  local draws, B, T, means = mid.generator(9), 24, 4, {}
  for step = 1, 25 do
    local ids = mid.no_grad(function()
      local ids = mid.zeros({ B, 1 }, "i32")
      for _ = 1, T do
        local last = policy(ids)[{ {}, -1 }]:softmax()
        ids = mid.cat({ ids, last:multinomial(1, draws) - 1 }, 2)
      end
      return ids
    end)
    local rewards = ids:slice(2, 2):eq(3):sum(2):to "f32"
    means[step] = rewards:mean():item() / T
    local old = mid.no_grad(policy.logprobs, policy, ids)
    local b = {
      old = old, ref = old, mask = mid.ones { B, T }, beta = 0.01, low = 0.2, high = 0.28,
      longest = T,
      advantages = ((rewards - rewards:mean()) / (rewards:std() + 1e-4)):unsqueeze(2),
    }
    for _ = 1, 2 do
      loss_of(policy:logprobs(ids), b):backward()
      optimizer:step { max_grad_norm = 1 }
      optimizer:zero_grad()
    end
  end
  return means
end

local function mean(list, first, last)
  local sum = 0
  for i = first, last do sum = sum + list[i] end
  return sum / (last - first + 1)
end

local tests = {}

function tests.losses_in_plain_lua_match_pytorch()
  local compared = {}
  for _, case in ipairs(goldens()) do
    local is_sequence = case.importance_sampling_level == "sequence"
    local names = { case.loss_type }
    if case.loss_type == "dr_grpo" and not is_sequence then names[2] = "custom" end
    if case.loss_type == "grpo" and is_sequence then names[2] = "gspo" end
    for _, name in ipairs(names) do
      local lp, b = inputs(case)
      b.is_sequence = is_sequence
      local loss = losses[name](lp, b)
      check.near(loss:item(), case.loss, 1e-6, name .. " loss")
      loss:backward()
      local gradient = lp.grad:tolist()
      for i, row in ipairs(case.grad_logp) do
        check.near(gradient[i], row, 1e-6, name .. " gradient")
      end
      compared[name] = (compared[name] or 0) + 1
    end
  end
  check.equal(compared, { grpo = 4, bnpo = 4, dapo = 4, dr_grpo = 4, gspo = 2, custom = 2 })
end

for name, loss in pairs(losses) do
  tests[name .. "_trains_a_policy"] = function()
    local means = train(loss)
    local before, after = mean(means, 1, 3), mean(means, 23, 25)
    if not (before < 0.4 and after > 0.7) then
      error(("%s: reward went from %.2f to %.2f"):format(name, before, after))
    end
  end
end

return tests
