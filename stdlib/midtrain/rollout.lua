-- How completions are sampled: the options that every method with rollouts has, in TRL's names.

local rollout = {}

rollout.specification = {
  num_generations = { "integer", default = 8, min = 2, knob = true, doc = "G [D]" },
  max_completion_length = { "integer", default = 2048, min = 1, knob = true, doc = "[D]" },
  temperature = { "number", default = 0.8, min = 1e-3, knob = true, doc = "[D]" },
  top_k = { "integer", default = 0, min = 0, knob = true, doc = "0 = off" },
  top_p = { "number", default = 1, min = 0, max = 1, knob = true },
  rollout_dtype = {
    "string", default = "f32", choices = { "f32", "bf16", "int8" }, knob = true,
    doc = "of the copy that samples; f32 is the policy itself",
  },
  rollout_activations = {
    "string", default = "f32", choices = { "f32", "int8" }, knob = true,
    doc = "int8 rounds what a copy in int8 is multiplied with, too: faster",
  },
  cache_dtype = { "string", default = "f32", choices = { "f32", "bf16" }, knob = true },
  importance_sampling_correction = {
    "boolean", knob = true, doc = "of what sampling in other types distorts; on if there is any",
  },
  importance_sampling_cap = { "number", default = 2, min = 0, knob = true, doc = "TRL's default" },
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

return rollout
