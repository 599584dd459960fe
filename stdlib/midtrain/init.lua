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
  attach = "how other programs reach a run",
  audit = "what a reward pays by mistake",
  autograd = "gradients of functions, and functions with gradients of their own",
  axes = "axes of plots: ranges, ticks, pixels",
  blame = "whose line an error is about",
  budget = "token budget schedules B_t",
  chain = "a small world of text in which reasoning helps",
  checkpoint = "what a run saves, and which of it stays",
  chain_tasks = "questions of that world, with their answers",
  coldstart = "supervised stage that teaches a small model the answer format",
  comparison = "methods side by side: the paper's table",
  corpus = "generated mathematical text",
  custom = "a function with a gradient of its own",
  curriculum = "tier probabilities p_t and the position sampler",
  doctor = "what is wrong with a run",
  documents = "documents as token ids and the trunk of a step's forest",
  entropy = "difficulty tiers from next-token entropies",
  errors = "errors as people read them",
  eval = "accuracy of next-token prediction by tier, perplexity",
  formats = "rows of data files",
  functions = "what is known of a function",
  grad = "the gradients of a function",
  gradcheck = "gradients beside differences of a function's values",
  grpo = "post-training by GRPO with verifiable rewards",
  guard = "calls of a script's function that may fail or never end",
  heat = "text coloured by a value for each token",
  health = "numbers that are not what they should be",
  history = "the metrics of a run's steps",
  inspection = "what is in a model's files",
  installation = "whether this installation works",
  journal = "what a run writes down",
  knobs = "settings that change while a run trains",
  lines = "lines of data files, packed ones too",
  methods = "the rows of the paper's table as options of rmt",
  nn = "modules: layers, transformers, networks of one's own",
  ntp = "next-token prediction: pre-training, and the baseline",
  objective = "policy losses, next-token loss and their sum",
  optim = "optimisers beside AdamW, averages of weights, clipping",
  options = "checked tables of options",
  output = "what scripts write, on its way to the terminal",
  picture = "title, legend and axes of SVG plots",
  plot = "terminal plots",
  policy = "from advantages to an update of the policy",
  pool = "the documents that positions are drawn from, all of a list or some of a stream at a time",
  posttrain = "GRPO after each row of a comparison",
  progress = "how far a run is",
  prompt = "the prompt around a document, arranged to share prefixes",
  proxy = "the fields behind a run",
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
  rows = "rows of a table that are made once and kept",
  run = "what every training run shares",
  schedule = "learning rates over a run",
  scoring = "from rollouts to advantages and metrics",
  series = "what plots draw: series and bars",
  stream = "texts of files larger than memory",
  svg = "plots as SVG files",
  tasks = "accuracy on questions with known answers",
  terminal = "colours in the terminal",
  tensorboard = "event files that TensorBoard shows",
  training = "what the step of a policy calls on its run",
  views = "how people look at a run",
  watch = "a file that steers a run",
}

---@type table<string, string> functions that stand in `mid` itself, and the module that each is from
local functions = { custom = "autograd", grad = "autograd", gradcheck = "autograd" }

setmetatable(mid, {
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("midtrain." .. (functions[name] or name))
    local value = functions[name] and module[name] or module
    rawset(self, name, value)
    return value
  end,
  -- For completion and help, which look without loading.
  __modules = modules,
})

if mid.exit then
  -- A thread of the engine may compute, and who types at `midtrain attach` did not start the process.
  function os.exit(status)
    if mid.client() then
      error("os.exit would end the process that trains; Ctrl-D leaves it, run:stop() ends the run", 2)
    end
    local progress = package.loaded["midtrain.progress"]
    if progress then progress.finish() end
    mid.exit(type(status) == "number" and status or status == false and 1 or 0)
  end
end

return mid
