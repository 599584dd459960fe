-- `mid`: the engine's native functions, and the method's Lua modules, loaded when first used.
--
-- The method is reinforcement mid-training (RMT, arXiv:2509.24375). Throughout these modules a tag
-- tells where a formula or number is from: [K] known, read in a source (RMT, or RPT and the other
-- papers that it builds on); [D] our default where no source states one, always an option.

local mid = require "midtrain.native"

---@type table<string, string> what each module is for, also shown by help()
local modules = {
  advantage = "group advantages",
  arguments = "the command line of a script",
  audit = "what a reward pays by mistake",
  axes = "axes of plots: ranges, ticks, pixels",
  budget = "token budget schedules B_t",
  chain = "a small world of text in which reasoning helps",
  checkpoint = "what a run saves, and which of it stays",
  chain_tasks = "questions of that world, with their answers",
  coldstart = "supervised stage that teaches a small model the answer format",
  comparison = "methods side by side: the paper's table",
  corpus = "generated mathematical text",
  curriculum = "tier probabilities p_t and the position sampler",
  doctor = "what is wrong with a run",
  documents = "documents as token ids and the trunk of a step's forest",
  entropy = "difficulty tiers from next-token entropies",
  eval = "accuracy of next-token prediction by tier, perplexity",
  grpo = "post-training by GRPO with verifiable rewards",
  guard = "calls of a script's function that may fail or never end",
  health = "numbers that are not what they should be",
  history = "the metrics of a run's steps",
  installation = "whether this installation works",
  journal = "what a run writes down",
  methods = "the rows of the paper's table as options of rmt",
  ntp = "next-token prediction: pre-training, and the baseline",
  objective = "policy losses, next-token loss and their sum",
  options = "checked tables of options",
  picture = "title, legend and axes of SVG plots",
  plot = "terminal plots",
  policy = "from advantages to an update of the policy",
  posttrain = "GRPO after each row of a comparison",
  prompt = "the prompt around a document, arranged to share prefixes",
  pull = "models from the Hugging Face hub",
  questions = "prompts that ask questions, many in one batch",
  random = "counter-based random numbers",
  record = "what a run writes down at each step",
  replay = "a script's runs once more, with every change, and compared",
  report = "a run as one HTML page",
  resume = "a run's way back to a checkpoint, and its forks",
  reward = "match and length rewards",
  rmt = "reinforcement mid-training",
  rollout = "options of sampling",
  run = "what every training run shares",
  scoring = "from rollouts to advantages and metrics",
  svg = "plots as SVG files",
  tasks = "accuracy on questions with known answers",
  tensorboard = "event files that TensorBoard shows",
  views = "how people look at a run",
  watch = "a file that steers a run",
}

setmetatable(mid, {
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("midtrain." .. name)
    rawset(self, name, module)
    return module
  end,
  -- For completion and help, which look without loading.
  __modules = modules,
})

return mid
