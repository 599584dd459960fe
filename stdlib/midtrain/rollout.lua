-- How completions are sampled: the options that every method with rollouts has, in TRL's names,
-- and the rollouts of a step.

local documents = require "midtrain.documents"
local guard = require "midtrain.guard"
local random = require "midtrain.random"
local scoring = require "midtrain.scoring"

local rollout = {}

rollout.specification = {
  num_generations = { "integer", default = 8, min = 2, max = 1 << 20, knob = true, doc = "G [D]" },
  max_completion_length = {
    "integer", default = 2048, min = 1, knob = true,
    doc = "[D]; where the model's context ends sooner, completions end there",
  },
  temperature = { "number", default = 0.8, min = 1e-3, knob = true, doc = "[D]" },
  top_k = { "integer", default = 0, min = 0, knob = true, doc = "0 = off" },
  top_p = { "number", default = 1, min = 1e-6, max = 1, knob = true },
  rollout_dtype = {
    "string", default = "f32", choices = { "f32", "bf16", "int8" }, knob = true,
    doc = "of the copy that samples; f32 is the policy itself",
  },
  rollout_activations = {
    "string", default = "f32", choices = { "f32", "int8" }, knob = true,
    doc = "int8 rounds what a copy in int8 is multiplied with, too: faster",
  },
  cache_dtype = { "string", default = "f32", choices = { "f32", "bf16" }, knob = true },
  dynamic_sampling = {
    "integer", default = 0, min = 0, knob = true,
    doc = "most further rounds that replace groups whose answers are all alike (DAPO); 0: off",
  },
  reward_instructions = {
    "integer", default = guard.instructions, min = 0, max = 2000000000, knob = true,
    doc = "Lua instructions that a call of the reward may take; 0: no limit",
  },
  importance_sampling_correction = {
    "boolean", knob = true, doc = "of what sampling in other types distorts; on if there is any",
  },
}

--- Options of model:rollout for a step of a run.
---@param knobs table the run's settings in force
---@param seed integer
---@param t integer step
---@return table
function rollout.options(knobs, seed, t)
  return {
    num_generations = knobs.num_generations, max_completion_length = knobs.max_completion_length,
    temperature = knobs.temperature, top_k = knobs.top_k, top_p = knobs.top_p,
    dtype = knobs.rollout_dtype, activations = knobs.rollout_activations,
    cache_dtype = knobs.cache_dtype, seed = seed, step = t,
  }
end

--- Whether to correct for samples of another policy than the trained one, if only by rounding:
--- as asked for, else where there is anything to correct.
---@param knobs table the run's settings in force
---@return boolean
function rollout.is_corrected(knobs)
  local asked = knobs.importance_sampling_correction
  if asked ~= nil then return asked end
  local is_exact = knobs.rollout_dtype == "f32" and knobs.rollout_activations == "f32"
  return not is_exact or knobs.cache_dtype ~= "f32"
end

--- Rollouts of drawn positions, read and scored: one group for each position, with its `place`.
---@param self table prompt and documents of the method
---@param run midtrain.Run
---@param knobs table
---@param draws midtrain.Draw[]
---@param B integer? budget
---@param given table options of model:rollout
---@return table[][] groups
function rollout.groups(self, run, knobs, draws, B, given)
  local forest = documents.forest(self.prompt, self.documents, draws, { budget = B, score = false })
  local groups = run:rollout(forest.batch, forest.closings, given)
  for i, group in ipairs(groups) do
    group.place = forest.positions[i]
    local target = scoring.target(run.model.tokenizer, group.place, B)
    for _, sample in ipairs(group) do scoring.read(sample, target, run.model) end
  end
  scoring.ask(groups, knobs.reward, knobs.reward_instructions)
  return groups
end

--- Dynamic sampling (DAPO, arXiv:2503.14476 [K], there without a bound): groups that teach nothing
--- are replaced by further ones, in at most so many more rounds; what is then still missing is
--- filled up with the first of them, so that a step always trains on as many groups.
---@param sampled table[][] groups, asked for their rewards; further ones are added at the end
---@param most integer rounds; 0 leaves everything as it is
---@param more fun(missing: integer, round: integer): table[][] further groups; none ends it
---@return table[][] kept groups to train on
---@return table metrics
function rollout.refill(sampled, most, more)
  if most == 0 then return sampled, {} end
  local wanted, live, dead, rounds = #sampled, {}, {}, 0
  local function judge(groups)
    for _, group in ipairs(groups) do
      table.insert(scoring.is_live(group) and live or dead, group)
    end
  end
  judge(sampled)
  while #live < wanted and rounds < most do
    local fresh = more(wanted - #live, rounds + 1)
    if #fresh == 0 then break end
    rounds = rounds + 1
    judge(fresh)
    table.move(fresh, 1, #fresh, #sampled + 1, sampled)
  end
  local kept = table.move(live, 1, math.min(wanted, #live), 1, {})
  table.move(dead, 1, wanted - #kept, #kept + 1, kept)
  return kept, {
    ["dynamic_sampling/rounds"] = rounds, ["dynamic_sampling/sampled_groups"] = #sampled,
    ["dynamic_sampling/live_groups"] = #live,
    ["dynamic_sampling/filled_up"] = math.max(0, wanted - #live),
  }
end

--- Settings of model:rollout in a further round of a step: other random numbers, or the first
--- group of each round would get the same ones.
---@param knobs table
---@param seed integer
---@param t integer step
---@param round integer 1, 2, …; 0 is the step's first
---@return table
function rollout.options_of_round(knobs, seed, t, round)
  local settings = rollout.options(knobs, seed, t)
  if round > 0 then settings.seed = random.new(seed, round, "dynamic_sampling"):bits() end
  return settings
end

--- A step's groups, those that teach nothing replaced by groups of further positions if
--- `dynamic_sampling` allows.
---@param self table sampler, prompt and documents of the method
---@param run midtrain.Run
---@param knobs table
---@param t integer step
---@param given { B: integer?, p: number[], per_position: boolean? } what schedules say
---@return table[][] kept groups to train on
---@return table[][] sampled all of them, for the metrics
---@return table metrics
function rollout.step(self, run, knobs, t, given)
  local function draw(count, round)
    local draws = self.sampler:draw(given.p, t, math.min(count, knobs.documents_per_step),
      knobs.positions_per_document, {
        per_position = given.per_position, revisit = knobs.revisit,
        round = round > 0 and round or nil,
      })
    return rollout.groups(self, run, knobs, draws, given.B,
      rollout.options_of_round(knobs, run.seed, t, round))
  end
  local sampled = draw(knobs.documents_per_step, 0)
  local kept, metrics = rollout.refill(sampled, knobs.dynamic_sampling, function(missing, round)
    return draw(math.ceil(missing / knobs.positions_per_document), round)
  end)
  return kept, sampled, metrics
end

--- Adds the completions of groups to a batch. An unscored one teaches nothing and stays out, as does
--- a truncated one if it is to be masked.
---@param batch table
---@param parents integer[] the segment that each group goes on from
---@param groups table[][] samples with advantages
---@param knobs table
---@return midtrain.Sequence[] sequences
---@return table<integer, number[]> sampled log-probabilities at sampling time, by segment
function rollout.attach(batch, parents, groups, knobs)
  local sequences, sampled = {}, {}
  for i, group in ipairs(groups) do
    for _, sample in ipairs(group) do
      if sample.advantage and not (knobs.mask_truncated_completions and sample.truncated) then
        local segment =
          batch:segment(sample.ids, { parent = parents[i], temperature = knobs.temperature })
        local first, last = batch:range(segment)
        sequences[#sequences + 1] = { first = first, last = last, advantage = sample.advantage }
        sampled[segment] = sample.logprobs
      end
    end
  end
  return sequences, sampled
end

--- Groups as branches of one forest of their documents, to train on.
---@param self table prompt and documents of the method
---@param groups table[][] with advantages
---@param knobs table
---@param given { budget: integer?, score: boolean, raw: boolean? } see documents.forest
---@return midtrain.Forest forest
---@return midtrain.Sequence[] sequences
---@return table<integer, number[]> sampled log-probabilities at sampling time, by segment
---@return boolean is_scored whether any sample has a reward
function rollout.branches(self, groups, knobs, given)
  local places, group_of = {}, {}
  for i, group in ipairs(groups) do places[i], group_of[group.place] = group.place, group end
  local draws, ordered = documents.draws(places)
  local forest = documents.forest(self.prompt, self.documents, draws, given)
  local in_order, is_scored = {}, false
  for i, place in ipairs(ordered) do
    in_order[i] = group_of[place]
    for _, sample in ipairs(in_order[i]) do is_scored = is_scored or sample.advantage ~= nil end
  end
  local sequences, sampled = rollout.attach(forest.batch, forest.closings, in_order, knobs)
  return forest, sequences, sampled, is_scored
end

return rollout
