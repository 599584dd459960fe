---@meta _
-- Made by scripts/stubs from the registry of native functions; do not edit.

---@class Tokenizer.chat.options
---@field add_generation_prompt? boolean open the assistant's turn (false)

---@class Model.entropy.options
---@field top_k? integer of the renormalised k most probable tokens only

---@class Model.generate.options
---@field max_tokens? integer most tokens to write (64)
---@field n? integer number of samples (1)
---@field temperature? number divides the logits; 0 is greedy (1.0)
---@field top_k? integer keep the k most probable tokens; 0 keeps all (0)
---@field top_p? number keep the fewest tokens whose probabilities reach this sum (1.0)
---@field min_p? number keep tokens at least this share as probable as the first (0.0)
---@field seed? integer what random numbers are made from (0)
---@field step? integer mixed into the seed, so that steps differ (0)
---@field stop? string[] texts that end a completion
---@field dtype? "f32"|"bf16"|"int8"|"auto" sample with a copy of the matrices in bf16 or int8, made anew after training; f32: exact ("f32")
---@field activations? "f32"|"int8" inputs of products in f32, or rounded to int8 as llama.cpp does: faster, for matrices in integer blocks ("f32")
---@field cache_dtype? "f32"|"bf16" keys and values in f32, or in bf16 to halve their memory ("f32")

---@class Model.rollout.options
---@field num_generations? integer completions of each segment (1)
---@field max_completion_length? integer most tokens of one (64)
---@field temperature? number divides the logits; 0 is greedy (1.0)
---@field top_k? integer keep the k most probable tokens; 0 keeps all (0)
---@field top_p? number keep the fewest tokens whose probabilities reach this sum (1.0)
---@field min_p? number keep tokens at least this share as probable as the first (0.0)
---@field seed? integer what random numbers are made from (0)
---@field step? integer mixed into the seed, so that steps differ (0)
---@field stop? string[] texts that end a completion
---@field dtype? "f32"|"bf16"|"int8"|"auto" sample with a copy of the matrices in bf16 or int8, made anew after training; f32: exact ("f32")
---@field activations? "f32"|"int8" inputs of products in f32, or rounded to int8 as llama.cpp does: faster, for matrices in integer blocks ("f32")
---@field cache_dtype? "f32"|"bf16" keys and values in f32, or in bf16 to halve their memory ("f32")

---@class Model.logprobs.options
---@field entropy? boolean also give the entropies in nats (false)
---@field checkpointing? "off"|"mlp"|"block" what the backward pass computes again to save memory: off, mlp, or block (all but each layer's input) ("off")
---@field max_rows? integer compute a larger batch in parts, whose gradients add up to those of the whole
---@field step? integer mixed into the seed of adapters' dropout (0)

---@class Model.copy.options
---@field dtype? "f32"|"bf16"|"int8"|"auto" matrices in memory: f32, bf16, int8 (blocks of 32 with a scale), or auto: as the checkpoint has them. All but f32 are frozen; an optimiser makes bf16 trainable with master copies in f32 ("f32")

---@class Model.memory_plan.options
---@field optimizer? AdamW whose state may be in memory already
---@field checkpointing? "auto"|"off"|"mlp"|"block" see logprobs; auto is the cheapest that fits ("auto")
---@field memory_limit? number GB for everything; by default what the machine has

---@class Model.add_adapter.options
---@field rank? integer r: width of an adapter (8)
---@field alpha? number adapters are scaled by alpha / rank (16.0)
---@field dropout? number share of inputs dropped in training (0.0)
---@field target_modules? string[] last parts of module names; all linear layers by default
---@field use_rslora? boolean scale by alpha / √rank (false)
---@field seed? integer of initial values and dropout (0)

---@class Batch.segment.options
---@field parent? integer number of the segment before
---@field offset? integer how many of the parent's tokens come before; all by default
---@field temperature? number divides the logits that predict these tokens (1.0)
---@field score? boolean whether these tokens get log-probabilities (true)

---@class AdamW.step.options
---@field learning_rate? number from now on
---@field max_grad_norm? number larger gradients are scaled down to this norm

---@class Job
---@field status string `running`, `done`, `failed` or `cancelled`.
---@field error string? Why the job failed.
---@field id integer The job's number.
local Job = {}

--- Waits until the job is over and returns what its function returned, or raises its error.
---
---     H = job:wait()
---@return any
function Job:wait() end

--- Stops the job at the next call of its that waits, or inside a native operation.
---
---     job:cancel()
function Job:cancel() end

---@class Server
local Server = {}

--- Drops the clients and removes the socket.
---
---     server:close()
function Server:close() end

---@class Client
---@field is_open boolean Whether it is still there.
---@field session any Whatever the answering function keeps for this client, nil at first.
local Client = {}

--- Sends a line; one that does not read what it is sent is dropped.
---
---     client:send "done"
---@param line string
function Client:send(line) end

---@class Tensor
---@field shape integer[] Sizes of the dimensions; empty for a scalar.
---@field grad Tensor? The gradient that `backward` added up; nil if there is none.
---@field requires_grad boolean Whether `backward` leaves a gradient here. Only for what no operation made.
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator pow(Tensor|number): Tensor
---@operator unm: Tensor
local Tensor = {}

--- The value of a tensor with one element.
---
---     print(loss:item())
---@return number
function Tensor:item() end

--- The values as a number, a list, or lists of lists.
---
---     print(#t:tolist())
---@return number|table
function Tensor:tolist() end

--- e to the power of each element.
---
---     u = t:exp()
---@return Tensor
function Tensor:exp() end

--- The natural logarithm of each element.
---
---     u = t:log()
---@return Tensor
function Tensor:log() end

--- The square root of each element.
---
---     u = t:sqrt()
---@return Tensor
function Tensor:sqrt() end

--- The absolute value of each element; its derivative at 0 is 0.
---
---     u = t:abs()
---@return Tensor
function Tensor:abs() end

--- 1 / (1 + e^-x) for each element.
---
---     u = t:sigmoid()
---@return Tensor
function Tensor:sigmoid() end

--- The hyperbolic tangent of each element.
---
---     u = t:tanh()
---@return Tensor
function Tensor:tanh() end

--- Each element moved to the nearest number from `low` to `high`. The gradient passes inside and at the bounds.
---
---     ratio = (logp - old):exp():clamp(0.8, 1.2)
---@param low number
---@param high number
---@return Tensor
function Tensor:clamp(low, high) end

--- The smaller of each pair; a tie splits the gradient. Shapes are broadcast.
---
---     u = t:minimum(0)
---@param other Tensor|number
---@return Tensor
function Tensor:minimum(other) end

--- The larger of each pair; a tie splits the gradient. Shapes are broadcast.
---
---     u = t:maximum(0)
---@param other Tensor|number
---@return Tensor
function Tensor:maximum(other) end

--- 1 where it is greater, else 0; without gradient. Shapes are broadcast.
---
---     u = t:gt(0)
---@param other Tensor|number
---@return Tensor
function Tensor:gt(other) end

--- 1 where it is greater or equal, else 0; without gradient. Shapes are broadcast.
---
---     u = t:ge(0)
---@param other Tensor|number
---@return Tensor
function Tensor:ge(other) end

--- 1 where it is less, else 0; without gradient. Shapes are broadcast.
---
---     u = t:lt(0)
---@param other Tensor|number
---@return Tensor
function Tensor:lt(other) end

--- 1 where it is less or equal, else 0; without gradient. Shapes are broadcast.
---
---     u = t:le(0)
---@param other Tensor|number
---@return Tensor
function Tensor:le(other) end

--- 1 where it is equal, else 0; without gradient. Shapes are broadcast.
---
---     u = t:eq(0)
---@param other Tensor|number
---@return Tensor
function Tensor:eq(other) end

--- Its own elements where `condition` is not 0, elsewhere those of `other`. Shapes are broadcast.
---
---     positive = t:where(t:gt(0), 0)
---@param condition Tensor
---@param other Tensor|number
---@return Tensor
function Tensor:where(condition, other) end

--- The sum of all elements, or sums along a dimension.
---
---     print(t:sum():item())
---@param dim? integer which dimension goes away; all of them without it
---@return Tensor
function Tensor:sum(dim) end

--- The mean of all elements, or means along a dimension.
---
---     print(t:mean():item())
---@param dim? integer which dimension goes away; all of them without it
---@return Tensor
function Tensor:mean(dim) end

--- The largest element, or those along a dimension. Equal ones share the gradient; the first has it there.
---
---     print(t:max():item())
---@param dim? integer which dimension goes away; all of them without it
---@return Tensor
function Tensor:max(dim) end

--- The smallest element, or those along a dimension. Equal ones share the gradient; the first has it there.
---
---     print(t:min():item())
---@param dim? integer which dimension goes away; all of them without it
---@return Tensor
function Tensor:min(dim) end

--- e^x / Σ e^x along a dimension, by default the last.
---
---     p = t:softmax()
---@param dim? integer
---@return Tensor
function Tensor:softmax(dim) end

--- x - log Σ e^x along a dimension, by default the last.
---
---     p = t:log_softmax()
---@param dim? integer
---@return Tensor
function Tensor:log_softmax(dim) end

--- Elements `first` to `last` of a dimension, as `string.sub` counts them.
---
---     tail = t:slice(1, -2)
---@param dim integer
---@param first integer
---@param last? integer
---@return Tensor
function Tensor:slice(dim, first, last) end

--- The same elements in another shape; one size may be -1, to be inferred.
---
---     column = t:reshape { -1, 1 }
---@param shape integer[]
---@return Tensor
function Tensor:reshape(shape) end

--- The last two dimensions exchanged.
---
---     u = t:transpose()
---@return Tensor
function Tensor:transpose() end

--- The same values, through which no gradient flows.
---
---     baseline = rewards:mean():detach()
---@return Tensor
function Tensor:detach() end

--- Adds the gradient of this scalar to the `grad` of all that it was computed from. What was recorded for it is used up.
---
---     loss:backward()
function Tensor:backward() end

---@class Tokenizer
---@field vocab_size integer Number of token ids.
---@field bos_id integer? The token that begins a text.
---@field eos_id integer? The token that ends a text.
---@field chat_template string? The checkpoint's own chat template.
local Tokenizer = {}

--- Token ids of a text. Special tokens in it are recognised; none are added.
---
---     ids = tok:encode "Hello"
---@param text string
---@return integer[]
function Tokenizer:encode(text) end

--- The text of token ids, as bytes: ids may end inside a character.
---
---     print(tok:decode(ids))
---@param ids integer[]
---@return string
function Tokenizer:decode(ids) end

--- The bytes that one token stands for.
---
---     print(tok:token(100))
---@param id integer
---@return string
function Tokenizer:token(id) end

--- The id of a token's text, nil if there is none.
---
---     tok:id "<|im_end|>"
---@param text string
---@return integer?
function Tokenizer:id(text) end

--- Renders a conversation with the checkpoint's own chat template.
---
---     tok:chat({{ role = "user", content = "Hi" }}, { add_generation_prompt = true })
---@param messages {role: string, content: string}[] the conversation
---@param options? Tokenizer.chat.options
---@return string
function Tokenizer:chat(messages, options) end

---@class Model
---@field tokenizer Tokenizer The model's tokenizer.
---@field path string Where it was loaded from.
---@field config table Sizes and constants of the network, by Hugging Face's names.
---@field eos_ids integer[] Tokens that end a completion.
---@field adapter_rank integer? Rank of the model's adapters; nil if it has none.
local Model = {}

--- Number of weights.
---
---     print(model:num_parameters())
---@return integer
function Model:num_parameters() end

--- What can be trained, by the checkpoint's names: the adapters where there are any, else all weights in f32.
---
---     w = model:parameters()["model.norm.weight"]
---@return table<string, Tensor>
function Model:parameters() end

--- Log-probabilities of ids[2..n], each given all ids before it. Of a text the list has a field `tokens` besides, the texts of all n.
---
---     mid.heat(model:score "2 + 2 = 4")
---@param ids integer[]|string
---@return number[]
function Model:score(ids) end

--- Entropy in nats of the next-token distribution after each token. Of a text the list has a field `tokens` besides, their texts.
---
---     H = model:entropy("1 + 1 = 2", { top_k = 16 })
---@param text string|integer[]
---@param options? Model.entropy.options
---@return number[]
function Model:entropy(text, options) end

--- Continues a text. A sample depends on the seed and its number alone.
---
---     model:generate("2 + 3 =", { n = 4, max_tokens = 8 })[1].text
---@param text string|integer[]
---@param options? Model.generate.options
---@return table[]
function Model:generate(text, options) end

--- Samples completions of segments of a batch. What they share is computed once.
---
---     groups = model:rollout(batch, { s }, { num_generations = 8, temperature = 0.8 })
---@param batch Batch
---@param segments integer[] numbers of the segments to go on from
---@param options? Model.rollout.options
---@return table[][]
function Model:rollout(batch, segments, options) end

--- Log-probability of every token of a batch given all before it in its branch, as a tensor with gradient: one number per token in packed order, 0 where there is nothing before or a segment is not scored.
---
---     lp = model:logprobs(batch); (-lp:mean()):backward()
---@param batch Batch
---@param options? Model.logprobs.options
---@return Tensor
---@return Tensor?
function Model:logprobs(batch, options) end

--- A model of its own with the same values, adapters merged: to compare with, or as a reference in half the memory.
---
---     reference = model:copy { dtype = "bf16" }
---@param options? Model.copy.options
---@return Model
function Model:copy(options) end

--- Gives the model the values that `save` wrote, or those of `save_adapter` where it has adapters. It must be the same kind of model.
---
---     model:restore "runs/first/checkpoints/step-100"
---@param dir string
function Model:restore(dir) end

--- What a training step on a batch will take, and the cheapest way to take it that fits into this machine's memory: `checkpointing` and `max_rows` are options of logprobs, the rest is in bytes. An error if nothing fits.
---
---     plan = model:memory_plan(batch); lp = model:logprobs(batch, { checkpointing = plan.checkpointing })
---@param batch Batch
---@param options? Model.memory_plan.options
---@return {summary: string, checkpointing: string, max_rows: integer, total: integer, available: integer, weights: integer, gradients: integer, optimizer: integer, activations: integer, temporary: integer}
function Model:memory_plan(batch, options) end

--- Adds low-rank adapters (LoRA) that change nothing yet, and freezes everything else: an optimiser made from now on trains them alone. Base weights may be packed (see dtype of mid.load), which is how a large model fits.
---
---     model:add_adapter { rank = 8, target_modules = { "q_proj", "v_proj" } }
---@param options? Model.add_adapter.options
---@return Model
function Model:add_adapter(options) end

--- Writes the adapters alone, as PEFT does.
---
---     model:save_adapter "adapters/first"
---@param dir string
function Model:save_adapter(dir) end

--- Adds the adapters of a PEFT folder.
---
---     model:load_adapter "adapters/first"
---@param dir string
---@return Model
function Model:load_adapter(dir) end

--- Adds the adapters' products to the weights, which must be f32, and removes the adapters.
---
---     model:merge_adapter()
---@return Model
function Model:merge_adapter() end

--- Takes the adapters away; the weights are as they were before.
---
---     model:remove_adapter()
---@return Model
function Model:remove_adapter() end

--- Writes a Hugging Face folder: weights in f32 with adapters merged, configuration, tokenizer.
---
---     model:save "checkpoints/first"
---@param dir string
function Model:save(dir) end

---@class Batch
---@operator len: integer
local Batch = {}

--- Adds tokens, after those of another segment if a parent is given.
---
---     s = batch:segment({ 1, 2, 3 }, { parent = trunk, offset = 10 })
---@param ids integer[]
---@param options? Batch.segment.options
---@return integer
function Batch:segment(ids, options) end

--- The first and last place of a segment in packed order, counted from 1.
---
---     first, last = batch:range(s)
---@param segment integer
---@return integer
---@return integer
function Batch:range(segment) end

--- A tensor with one number per token: for each segment a value for all its tokens or a list with one for each; 0 for segments that are not named.
---
---     weights = batch:spread { [s] = 0.5 }
---@param values table<integer, number|number[]>
---@return Tensor
function Batch:spread(values) end

---@class AdamW
---@field learning_rate number Step size.
---@field steps integer Steps taken.
local AdamW = {}

--- Forgets all gradients.
---
---     opt:zero_grad()
function AdamW:zero_grad() end

--- Takes a step along the gradients collected since zero_grad. One that is not finite is skipped: nothing changes.
---
---     opt:step { max_grad_norm = 1 }
---@param options? AdamW.step.options
---@return {grad_norm: number, skipped: boolean}
function AdamW:step(options) end

--- Writes the optimiser's state into a folder, beside a model.
---
---     opt:save "checkpoints/first"
---@param dir string
function AdamW:save(dir) end

--- Reads the state that `save` wrote.
---
---     opt:load "checkpoints/first"
---@param dir string
function AdamW:load(dir) end
