---@meta midtrain.native
-- Made by scripts/stubs from the registry of native functions; do not edit.

---@class mid.save_tensors.options
---@field dtype? string how f32 is written: f32 or bf16 ("f32")

---@class mid.load_tensors.options
---@field keep_dtype? boolean (false)

---@class mid.rotary.options
---@field theta? number base of the wavelengths (10000.0)
---@field first? integer the first position (0)
---@field frequencies? number[] angle a position of each pair; else from theta

---@class mid.chat.options
---@field add_generation_prompt? boolean open the assistant's turn (false)

---@class mid.data.jsonl.options
---@field limit? integer read at most so many rows

---@class mid.data.text.options
---@field size? integer bytes of a document, ending with a line; else blank lines divide

---@class mid.grade_gsm8k.options
---@field extract? "strict"|"flexible" which number ("flexible")

---@class mid.load.options
---@field dtype? "f32"|"bf16"|"int8"|"auto" matrices in memory: f32, bf16, int8 (blocks of 32 with a scale), or auto: as the checkpoint has them. All but f32 are frozen; an optimiser makes bf16 trainable with master copies in f32 ("f32")

---@class mid.from_config.options
---@field tokenizer? Tokenizer what the model reads and writes text with
---@field seed? integer what random numbers are made from (0)

---@class mid.adamw.options
---@field learning_rate? number step size (1e-06)
---@field beta1? number decay of the average gradient (0.9)
---@field beta2? number decay of the average squared gradient (0.999)
---@field epsilon? number added to the denominator (1e-08)
---@field weight_decay? number decoupled decay of all weights (0.01)

---@class mid
mid = {}

---@type string
mid.version = ""

--- Seconds of a clock that never jumps; only differences mean something.
---
---     t = mid.clock(); train(); print(mid.clock() - t)
---@return number
function mid.clock() end

--- Whether a file or folder is there.
---
---     if mid.exists "runs/first" then … end
---@param path string
---@return boolean
function mid.exists(path) end

--- The names in a folder, sorted.
---
---     for _, name in ipairs(mid.list "runs") do print(name) end
---@param path string
---@return string[]
function mid.list(path) end

--- Makes a folder and the folders above it; one that exists is fine.
---
---     mid.mkdir "runs/first"
---@param path string
function mid.mkdir(path) end

--- Renames a file or folder in one step, for good; a file that has the new name is replaced.
---
---     mid.rename("runs/first.tmp", "runs/first")
---@param from string
---@param to string
function mid.rename(from, to) end

--- Removes a file, or a folder with everything in it; a link is removed, not what it points to.
---
---     mid.remove "runs/first/checkpoints/step-100"
---@param path string
function mid.remove(path) end

--- Ends the process at once, with what was written brought to its files; os.exit does so, too.
---
---     -- mid.exit(1)
---@param status? integer 0 for success
function mid.exit(status) end

--- Holds SIGTERM, and Ctrl-C where there is no prompt, until `release_termination`: it is noted (`is_terminated`), and whoever holds it ends the process when its work is saved. A second signal ends it at once. Where nobody holds them any more, they interrupt what runs, and runs are saved.
---
---     mid.hold_termination()
function mid.hold_termination() end

--- Holds the signals no longer. Can be a metatable's `__close`, which an interrupt does not keep from its work.
---
---     local held <close> = setmetatable({}, { __close = mid.release_termination })
function mid.release_termination() end

--- The signal that came while it was held, SIGTERM or SIGINT, and how many hold it now.
---
---     if mid.is_terminated() then run:checkpoint() end
---@return string?
---@return integer
function mid.is_terminated() end

--- From now until `release_interrupts` Ctrl-C waits, for what must not be left half done; pressed twice it does not. For code that no job runs: jobs wait for a second press anyway.
---
---     mid.hold_interrupts()
function mid.hold_interrupts() end

--- Lets Ctrl-C stop the evaluation again. Can be a metatable's `__close`.
---
---     local held <close> = setmetatable({}, { __close = mid.release_interrupts })
function mid.release_interrupts() end

--- What the engine runs on: `blas` (library and version), `core` (its kernels), `verified` (whether they compute right products), `amx` (whether large ones use the processor's matrix registers), `threads`, `processor`, `build`, `version`.
---
---     print(mid.info().core)
---@return table
function mid.info() end

--- The terminal that scripts print to: `columns`, `rows`, `is_attended` (there is a prompt); nil if there is none.
---
---     if mid.screen() then … end
---@return table?
function mid.screen() end

--- Bytes that Lua holds itself (`lua`), bytes that its objects keep outside (`native`), what the process holds now (`resident`) and the most that it has held (`peak`). Who holds them: `held`, by type the `count` of objects and their `bytes`; and of all tensors, those of the engine and what is recorded for gradients included, bytes in use (`tensors`), the most of them so far (`tensors_peak`) and bytes kept to be used again (`cached`).
---
---     print(mid.memory().native)
---@return table
function mid.memory() end

--- Writes a file that is there completely or not at all, and on the disk when this returns.
---
---     mid.write("runs/first/notes.txt", text)
---@param path string
---@param bytes string
function mid.write(path, bytes) end

--- Adds to a file, which is made if it is missing: all of the bytes, or after an error none.
---
---     mid.append("notes.jsonl", mid.json.encode { step = 1 } .. "\n")
---@param path string
---@param bytes string
function mid.append(path, bytes) end

--- Claims a file, which is made if it is missing, for this process until it ends, also when it is killed. Gives nothing, or the number of the process that has it.
---
---     if mid.lock(scratch .. "/.lock") then error "another process works there" end
---@param path string
---@return integer?
function mid.lock(path) end

--- Brings what was written to a file, or the names in a folder, to the disk.
---
---     mid.sync "runs/first/metrics.jsonl"
---@param path string
function mid.sync(path) end

--- Writes the checksums of all files in a folder into it, as checksums.json, and brings them to the disk.
---
---     mid.seal "checkpoints/first"
---@param dir string
function mid.seal(dir) end

--- Compares the files of a folder with the checksums that `seal` wrote; an error names what differs.
---
---     mid.verify "checkpoints/first"
---@param dir string
function mid.verify(dir) end

--- The CRC-32C of bytes.
---
---     mid.crc32c "123456789"  --> 0xe3069283
---@param bytes string
---@return integer
function mid.crc32c(bytes) end

--- Runs a function as a job: beside the prompt and other jobs. Native operations inside it run on another thread while other Lua code goes on.
---
---     job = mid.spawn(function() return model:entropy(text) end)
---@param f fun(...) what to run
---@param ... any its arguments
---@return Job
function mid.spawn(f, ...) end

--- Waits; jobs go on meanwhile.
---
---     mid.sleep(0.5)
---@param seconds number
function mid.sleep(seconds) end

--- Whether the script has come to its end, no prompt follows, and only jobs are left: nobody will mend anything.
---
---     if mid.is_unattended() then error(problem, 0) end
---@return boolean
function mid.is_unattended() end

--- Listens at a Unix socket in a folder that only you can enter, and answers every line that a client sends with a call of the function, in a job that gives way to others. A line that is Ctrl-C alone ends the job before it is answered. The socket is there for as long as the server that is returned.
---
---     server = mid.serve("runs/first/.attach", function(client, line) client:send(line) end)
---@param folder string made with mode 700; the socket in it has mode 600
---@param answer fun(client: Client, line: string)
---@return Server
function mid.serve(folder, answer) end

--- The client whose line the present job answers; nil elsewhere.
---
---     if mid.client() then … end
---@return Client?
function mid.client() end

--- Compiles text whose lines are to show in tracebacks: a function, or nil, a message and whether more text is missing.
---
---     f = mid.compile("return 1 + 1", "mine")
---@param code string
---@param name string such as `in[3]`
---@param shown? string the text to show, if not the code
---@return function?
---@return string?
---@return boolean?
function mid.compile(code, name, shown) end

--- A message with the calls that led here, each line with its source text; for xpcall.
---
---     print(select(2, xpcall(f, mid.traceback)))
---@param message any
---@param level? integer where it begins: 1 is the caller
---@return string
function mid.traceback(message, level) end

--- A tensor from a number, a list, or lists of lists of equal lengths: of 32-bit floats, or of bools from booleans.
---
---     t = mid.tensor { { 1, 2 }, { 3, 4 } }
---@param values number|boolean|table
---@param dtype? string f32, i32, bool, bf16 or i64; else what the values are
---@return Tensor
function mid.tensor(values, dtype) end

--- A tensor of zeros.
---
---     z = mid.zeros({ 2, 3 })
---@param shape integer|integer[] sizes; a number for a vector
---@param dtype? string f32, i32, bool, bf16 or i64
---@return Tensor
function mid.zeros(shape, dtype) end

--- A tensor of ones.
---
---     z = mid.ones({ 2, 3 })
---@param shape integer|integer[] sizes; a number for a vector
---@param dtype? string f32, i32, bool, bf16 or i64
---@return Tensor
function mid.ones(shape, dtype) end

--- A tensor of one value; whole numbers make integers only with the dtype i32 or i64.
---
---     z = mid.full({ 2, 3 }, 0.5)
---@param shape integer|integer[] sizes; a number for a vector
---@param value number
---@param dtype? string f32, i32, bool, bf16 or i64
---@return Tensor
function mid.full(shape, value, dtype) end

--- Numbers from `first` to `last` in steps, as `for` counts, both ends included: integers if all three are, else floats. One argument counts from 1.
---
---     mid.arange(5); mid.arange(0, 1, 0.25)
---@param first number
---@param last? number
---@param step? number
---@return Tensor
function mid.arange(first, last, step) end

--- `count` numbers at equal distances, the first and the last included.
---
---     x = mid.linspace(-1, 1, 5)
---@param first number
---@param last number
---@param count integer
---@return Tensor
function mid.linspace(first, last, count) end

--- The unit matrix with so many rows, and columns if that is another number.
---
---     I = mid.eye(3)
---@param rows integer
---@param columns? integer
---@return Tensor
function mid.eye(rows, columns) end

--- What random tensors are drawn with. Equal seeds give equal draws in equal order, whatever else is drawn elsewhere.
---
---     g = mid.generator(1)
---@param seed integer
---@return Generator
function mid.generator(seed) end

--- Numbers from 0 up to but not including 1, all equally likely.
---
---     x = mid.rand({ 2, 3 }, mid.generator(1))
---@param shape integer|integer[] sizes; a number for a vector
---@param generator Generator|integer or a seed
---@return Tensor
function mid.rand(shape, generator) end

--- Numbers of the normal distribution.
---
---     x = mid.randn({ 2, 3 }, mid.generator(1))
---@param shape integer|integer[] sizes; a number for a vector
---@param generator Generator|integer or a seed
---@return Tensor
function mid.randn(shape, generator) end

--- Whole numbers from `low` to `high`, all equally likely.
---
---     dice = mid.randint(1, 6, { 10 }, mid.generator(1))
---@param low integer
---@param high integer
---@param shape integer|integer[] sizes; a number for a vector
---@param generator Generator|integer or a seed
---@return Tensor
function mid.randint(low, high, shape, generator) end

--- The numbers from 1 to `count` in random order.
---
---     order = mid.randperm(5, mid.generator(1))
---@param count integer
---@param generator Generator|integer or a seed
---@return Tensor
function mid.randperm(count, generator) end

--- Tensors one after another along a dimension; their other sizes must agree.
---
---     u = mid.cat({ t, t }, 2)
---@param tensors Tensor[]
---@param dim? integer
---@return Tensor
function mid.cat(tensors, dim) end

--- Tensors of one shape side by side along a new dimension.
---
---     u = mid.stack { t, t }
---@param tensors Tensor[]
---@param dim? integer
---@return Tensor
function mid.stack(tensors, dim) end

--- Writes tensors by name as a safetensors file, f32 as F32 or BF16, others as what they are; the file is there completely or not at all.
---
---     mid.save_tensors(scratch .. "/state.safetensors", { w = t, step = mid.tensor(3) })
---@param path string
---@param tensors table<string, Tensor>
---@param options? mid.save_tensors.options
function mid.save_tensors(path, tensors, options) end

--- The tensors of a safetensors file by name, or the one of a .npy file: floats as f32, integers of 64 bits as i64, shorter ones as i32 if that holds them. With `keep_dtype` BF16 stays what it is.
---
---     mid.save_tensors(scratch .. "/a.safetensors", { w = t }); w = mid.load_tensors(scratch .. "/a.safetensors").w
---@param path string
---@param options? mid.load_tensors.options
---@return table<string, Tensor|StoredTensor>|Tensor|StoredTensor
function mid.load_tensors(path, options) end

--- Calls a function without recording operations for `backward`, and returns what it returns.
---
---     reference = mid.no_grad(function() return model:logprobs(batch) end)
---@param f fun(...): ... what to run
---@param ... any its arguments
---@return any
function mid.no_grad(f, ...) end

--- A tensor with the values of `result` whose gradient goes to `inputs` as a function says: it gets the gradient of the result and returns one for each input, of its shape, or nil for none. See mid.custom.
---
---     y = mid.with_gradient(x:detach():round(), { x }, function(dy) return dy end)
---@param result Tensor
---@param inputs Tensor[]
---@param rule fun(gradient: Tensor): Tensor?, ...
---@return Tensor
function mid.with_gradient(result, inputs, rule) end

--- The angles of rotary position embedding (arXiv:2104.09864) for positions first, first + 1, ….
---
---     angles = mid.rotary(2, 2)
---@param length integer number of positions
---@param head_dim integer
---@param options? mid.rotary.options
---@return Rotary
function mid.rotary(length, head_dim, options) end

--- Calls a function and returns what it returns; everything that it made and that nothing refers to any more is given back at once, also after an error.
---
---     norm = mid.scope(function() return t:mm(t):norm():item() end)
---@param f fun(...): ... what to run
---@param ... any its arguments
---@return any
function mid.scope(f, ...) end

--- Products of tensors, summed over the letters that the result does not have: `"bqd,bkd->bqk"`. A letter twice in one operand is its diagonal, `...` stands for leading dimensions.
---
---     outer = mid.einsum("i,j->ij", mid.ones(2), mid.ones(3))
---@param equation string
---@param ... Tensor
---@return Tensor
function mid.einsum(equation, ...) end

--- Loads a tokenizer alone.
---
---     tok = mid.tokenizer "SmolLM2-135M-Instruct"
---@param path string a folder, a tokenizer.json, a GGUF file, or a name in the model cache
---@return Tokenizer
function mid.tokenizer(path) end

--- Renders a chat template, the Jinja text that a checkpoint carries.
---
---     mid.chat(template, {{ role = "user", content = "Hi" }}, { add_generation_prompt = true })
---@param template string
---@param messages {role: string, content: string}[] the conversation
---@param options? mid.chat.options
---@return string
function mid.chat(template, messages, options) end

mid.json = {}

--- JSON text of a value. A table with elements 1 to n is an array, any other an object with sorted keys; numbers that JSON does not have (nan, inf) become null.
---
---     mid.json.encode { step = 1, loss = 0.5 }
---@param value any
---@return string
function mid.json.encode(value) end

--- The value of a JSON text; null becomes nil.
---
---     row = mid.json.decode(line)
---@param text string
---@return any
function mid.json.decode(text) end

mid.data = {}

--- The texts of a field of a JSON Lines file. Rows that are malformed are left out and described by the second result.
---
---     docs = mid.data.jsonl("omni-math.jsonl", "solution")
---@param path string
---@param field string the field that holds the text
---@param options? mid.data.jsonl.options
---@return string[]
---@return string
function mid.data.jsonl(path, field, options) end

--- The documents of a text file.
---
---     docs = mid.data.text("notes.txt", { size = 2000 })
---@param path string
---@param options? mid.data.text.options
---@return string[]
function mid.data.text(path, options) end

--- Whether an answer equals the gold answer in mathematics: numbers, fractions, percentages, units, LaTeX expressions, equations, inequalities, sets, intervals, matrices, tuples, lists of solutions, choices, words. The answer is taken from a longer text: the last \boxed{…}, what follows "the final answer is" or "####", else the last formula or number. Rational values are compared exactly; 28% equals both 28 and 0.28.
---
---     mid.grade([[So \boxed{\frac{2}{4}}]], "1/2")  --> true
---@param answer string what the model wrote, an answer alone or a solution
---@param gold string the right answer
---@return boolean
function mid.grade(answer, gold) end

--- Whether an answer matches the gold answer as text, by lm-evaluation-harness's rules for GSM8K. "strict" takes the number after "#### ", "flexible" the last number.
---
---     mid.grade_gsm8k("so 6 * 7 = 42.", "#### 42", { extract = "flexible" })
---@param answer string what the model wrote, an answer alone or a solution
---@param gold string the right answer
---@param options? mid.grade_gsm8k.options
---@return boolean
function mid.grade_gsm8k(answer, gold, options) end

--- Loads a model: a Hugging Face folder, a GGUF file, or a name in the model cache.
---
---     model = mid.load "SmolLM2-135M-Instruct"
---@param path string folder, file, or a name under $MIDTRAIN_MODELS or ~/.cache/midtrain/models
---@param options? mid.load.options
---@return Model
function mid.load(path, options) end

--- What is in a model's files, read from their headers: the sizes of its config by their names there (`model_type`, `hidden_size`, …), `num_parameters`, `format` ("safetensors" or "gguf"), `elements` by how they are stored, their `bytes`, and `tokenizer`: its `vocab_size`, `bos_token_id`, `eos_token_id`, `has_chat_template`, or the `problem` with it.
---
---     mid.model_info("SmolLM2-135M-Instruct").num_parameters
---@param path string a Hugging Face folder, a GGUF file, or a name in the model cache
---@return table
function mid.model_info(path) end

--- A model with random weights, to be trained from scratch: matrices from a normal distribution with standard deviation initializer_range (0.02), norms 1.
---
---     model = mid.from_config({ model_type = "llama", … }, { tokenizer = tokenizer, seed = 1 })
---@param config table sizes by the names of a config.json: model_type, hidden_size, …
---@param options? mid.from_config.options
---@return Model
function mid.from_config(config, options) end

--- An empty batch: segments of tokens that may hang off each other, computed as one.
---
---     batch = mid.batch()
---@return Batch
function mid.batch() end

--- AdamW over all weights of a model, or over its adapters, which then collect gradients; or over those tensors of a table that require a gradient.
---
---     opt = mid.adamw(model, { learning_rate = 1e-5 })
---@param parameters Model|table<string, Tensor>
---@param options? mid.adamw.options
---@return AdamW
function mid.adamw(parameters, options) end

--- Every native function, method and property as a list of tables: `name`, `kind`, `parameters`, `returns`, `doc`, `example`.
---
---     for _, entry in ipairs(mid.registry()) do print(entry.name) end
---@return table[]
function mid.registry() end

--- The text of code that is not in a file, such as what was typed at the prompt.
---
---     print(mid.source(debug.getinfo(f).source))
---@param chunk string a name as in debug.getinfo(f).source
---@return string?
function mid.source(chunk) end

--- GRPO after each row of a comparison
mid.posttrain = require "midtrain.posttrain"

--- a file that steers a run
mid.watch = require "midtrain.watch"

--- a function with a gradient of its own
mid.custom = require "midtrain.custom"

--- a run as one HTML page
mid.report = require "midtrain.report"

--- a run's way back to a checkpoint, and its forks
mid.resume = require "midtrain.resume"

--- a script's runs once more, with every change, and compared
mid.replay = require "midtrain.replay"

--- a small world of text in which reasoning helps
mid.chain = require "midtrain.chain"

--- accuracy of next-token prediction by tier, perplexity
mid.eval = require "midtrain.eval"

--- accuracy on questions with known answers
mid.tasks = require "midtrain.tasks"

--- axes of plots: ranges, ticks, pixels
mid.axes = require "midtrain.axes"

--- calls of a script's function that may fail or never end
mid.guard = require "midtrain.guard"

--- checked tables of options
mid.options = require "midtrain.options"

--- colours in the terminal
mid.terminal = require "midtrain.terminal"

--- counter-based random numbers
mid.random = require "midtrain.random"

--- difficulty tiers from next-token entropies
mid.entropy = require "midtrain.entropy"

--- documents as token ids and the trunk of a step's forest
mid.documents = require "midtrain.documents"

--- errors as people read them
mid.errors = require "midtrain.errors"

--- event files that TensorBoard shows
mid.tensorboard = require "midtrain.tensorboard"

--- from advantages to an update of the policy
mid.policy = require "midtrain.policy"

--- from rollouts to advantages and metrics
mid.scoring = require "midtrain.scoring"

--- generated mathematical text
mid.corpus = require "midtrain.corpus"

--- gradients beside differences of a function's values
mid.gradcheck = require "midtrain.gradcheck"

--- gradients of functions, and functions with gradients of their own
mid.autograd = require "midtrain.autograd"

--- group advantages
mid.advantage = require "midtrain.advantage"

--- how far a run is
mid.progress = require "midtrain.progress"

--- how other programs reach a run
mid.attach = require "midtrain.attach"

--- how people look at a run
mid.views = require "midtrain.views"

--- learning rates over a run
mid.schedule = require "midtrain.schedule"

--- lines of data files, packed ones too
mid.lines = require "midtrain.lines"

--- match and length rewards
mid.reward = require "midtrain.reward"

--- methods side by side: the paper's table
mid.comparison = require "midtrain.comparison"

--- models from the Hugging Face hub
mid.pull = require "midtrain.pull"

--- modules: layers, transformers, networks of one's own
mid.nn = require "midtrain.nn"

--- next-token prediction: pre-training, and the baseline
mid.ntp = require "midtrain.ntp"

--- numbers that are not what they should be
mid.health = require "midtrain.health"

--- optimisers beside AdamW, averages of weights, clipping
mid.optim = require "midtrain.optim"

--- options of sampling
mid.rollout = require "midtrain.rollout"

--- plots as SVG files
mid.svg = require "midtrain.svg"

--- policy losses, next-token loss and their sum
mid.objective = require "midtrain.objective"

--- post-training by GRPO with verifiable rewards
mid.grpo = require "midtrain.grpo"

--- prompts that ask questions, many in one batch
mid.questions = require "midtrain.questions"

--- questions of that world, with their answers
mid.chain_tasks = require "midtrain.chain_tasks"

--- reinforcement mid-training
mid.rmt = require "midtrain.rmt"

--- rows of a table that are made once and kept
mid.rows = require "midtrain.rows"

--- rows of data files
mid.formats = require "midtrain.formats"

--- settings that change while a run trains
mid.knobs = require "midtrain.knobs"

--- supervised stage that teaches a small model the answer format
mid.coldstart = require "midtrain.coldstart"

--- terminal plots
mid.plot = require "midtrain.plot"

--- text coloured by a value for each token
mid.heat = require "midtrain.heat"

--- texts of files larger than memory
mid.stream = require "midtrain.stream"

--- the command line of a script
mid.arguments = require "midtrain.arguments"

--- the documents that positions are drawn from, all of a list or some of a stream at a time
mid.pool = require "midtrain.pool"

--- the fields behind a run
mid.proxy = require "midtrain.proxy"

--- the gradients of a function
mid.grad = require "midtrain.grad"

--- the metrics of a run's steps
mid.history = require "midtrain.history"

--- the prompt around a document, arranged to share prefixes
mid.prompt = require "midtrain.prompt"

--- the rows of the paper's table as options of rmt
mid.methods = require "midtrain.methods"

--- tier probabilities p_t and the position sampler
mid.curriculum = require "midtrain.curriculum"

--- title, legend and axes of SVG plots
mid.picture = require "midtrain.picture"

--- token budget schedules B_t
mid.budget = require "midtrain.budget"

--- what a reward pays by mistake
mid.audit = require "midtrain.audit"

--- what a run saves, and which of it stays
mid.checkpoint = require "midtrain.checkpoint"

--- what a run writes down
mid.journal = require "midtrain.journal"

--- what a run writes down at each step
mid.record = require "midtrain.record"

--- what every training run shares
mid.run = require "midtrain.run"

--- what is in a model's files
mid.inspection = require "midtrain.inspection"

--- what is known of a function
mid.functions = require "midtrain.functions"

--- what is wrong with a run
mid.doctor = require "midtrain.doctor"

--- what plots draw: series and bars
mid.series = require "midtrain.series"

--- what scripts write, on its way to the terminal
mid.output = require "midtrain.output"

--- what the step of a policy calls on its run
mid.training = require "midtrain.training"

--- whether this installation works
mid.installation = require "midtrain.installation"

--- whose line an error is about
mid.blame = require "midtrain.blame"

--- Prints help: the overview, or that for a name, a function or an object.
---@param topic any
function help(topic) end

--- At the prompt: calls f, or runs code, and prints how long it took and what it left in memory.
---@param f function|string
---@param ... any
---@return any ...
function time(f, ...) end

return mid
