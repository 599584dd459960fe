---@meta _
-- Made by scripts/stubs from the registry of native functions; do not edit.

---@class Tensor.attention.options
---@field heads integer of queries
---@field key_value_heads? integer as many if left out

---@class Tensor.token_logprobs.options
---@field temperature? number divides the logits (1.0)
---@field entropy? boolean (false)

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
---@field cache_memory? integer bytes of keys and values at most, by default most of what is free; completions wait where it is too little
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
---@field reference_model? Model which is in memory, too
---@field completions_of? integer[] segments that completions are going to be sampled of: the plan is for the longest ones
---@field num_generations? integer completions of each (1)
---@field max_completion_length? integer most tokens of one (64)
---@field cache_dtype? "f32"|"bf16" of keys and values while sampling ("f32")

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

---@class AdamW.zero_grad.options
---@field keep_memory? boolean keep their memory for the next ones: faster, and more at a time (false)

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

---@class Generator
---@field seed integer What its numbers are made from.
---@field draws integer How many draws it has made; set it to go back, or on after a restart.
local Generator = {}

---@class Rotary
---@field length integer The number of positions.
local Rotary = {}

---@class Tensor
---@field shape integer[] Sizes of the dimensions; empty for a scalar.
---@field dtype string What the elements are: f32, i32, or bool.
---@field rank integer The number of dimensions.
---@field count integer The number of elements.
---@field grad Tensor? The gradient that `backward` added up; nil if there is none. Can be set to nil.
---@field requires_grad boolean Whether `backward` leaves a gradient here. Only for tensors of floats that no operation made.
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator mod(Tensor|number): Tensor
---@operator pow(Tensor|number): Tensor
---@operator unm: Tensor
---@operator len: integer
local Tensor = {}

--- The value of a tensor with one element.
---
---     print(loss:item())
---@return number|boolean
function Tensor:item() end

--- The values as a number or boolean, a list, or lists of lists.
---
---     print(#t:tolist())
---@return number|boolean|table
function Tensor:tolist() end

--- The same values as another type: i32 and i64 want whole numbers (see floor and round), bool says what is not 0. Only f32 has gradients. bf16 (half the memory, rounded) is for keeping: operations read it as f32. Nothing changes bf16, i64 and integers beyond 2^24 in place.
---
---     n = t:round():to "i32"
---@param dtype string f32, i32, bool, bf16 or i64
---@return Tensor
function Tensor:to(dtype) end

--- Whether shapes are equal and values differ by at most `atol + rtol · |other|`. NaN equals NaN.
---
---     assert(t:allclose(t + 1e-9))
---@param other Tensor|number
---@param rtol? number
---@param atol? number
---@return boolean
function Tensor:allclose(other, rtol, atol) end

--- e to the power of each element.
---
---     u = t:exp()
---@return Tensor
function Tensor:exp() end

--- e^x − 1 for each element, exact near 0.
---
---     u = t:expm1()
---@return Tensor
function Tensor:expm1() end

--- The natural logarithm of each element.
---
---     u = t:log()
---@return Tensor
function Tensor:log() end

--- log(1 + x) for each element, exact near 0.
---
---     u = t:log1p()
---@return Tensor
function Tensor:log1p() end

--- The square root of each element.
---
---     u = t:sqrt()
---@return Tensor
function Tensor:sqrt() end

--- 1 / √x for each element.
---
---     u = t:rsqrt()
---@return Tensor
function Tensor:rsqrt() end

--- 1 / x for each element.
---
---     u = t:reciprocal()
---@return Tensor
function Tensor:reciprocal() end

--- Each element times itself.
---
---     u = t:square()
---@return Tensor
function Tensor:square() end

--- The absolute value of each element; its derivative at 0 is 0.
---
---     u = t:abs()
---@return Tensor
function Tensor:abs() end

--- The sine of each element, an angle in radians.
---
---     u = t:sin()
---@return Tensor
function Tensor:sin() end

--- The cosine of each element, an angle in radians.
---
---     u = t:cos()
---@return Tensor
function Tensor:cos() end

--- The hyperbolic tangent of each element.
---
---     u = t:tanh()
---@return Tensor
function Tensor:tanh() end

--- The error function of each element.
---
---     u = t:erf()
---@return Tensor
function Tensor:erf() end

--- 1 / (1 + e^-x) for each element.
---
---     u = t:sigmoid()
---@return Tensor
function Tensor:sigmoid() end

--- The larger of each element and 0; its derivative at 0 is 0.
---
---     u = t:relu()
---@return Tensor
function Tensor:relu() end

--- x · sigmoid(x) for each element.
---
---     u = t:silu()
---@return Tensor
function Tensor:silu() end

--- log(1 + e^x) for each element, without overflow.
---
---     u = t:softplus()
---@return Tensor
function Tensor:softplus() end

--- log sigmoid(x) for each element, without overflow.
---
---     u = t:logsigmoid()
---@return Tensor
function Tensor:logsigmoid() end

--- x · Φ(x) for each element, with the normal distribution's Φ or its approximation by tanh.
---
---     u = t:gelu(true)
---@param approximate? boolean
---@return Tensor
function Tensor:gelu(approximate) end

--- The largest whole number up to each element. Without gradient.
---
---     u = t:floor()
---@return Tensor
function Tensor:floor() end

--- The smallest whole number from each element on. Without gradient.
---
---     u = t:ceil()
---@return Tensor
function Tensor:ceil() end

--- The nearest whole number to each element, the even one of two. Without gradient.
---
---     u = t:round()
---@return Tensor
function Tensor:round() end

--- -1, 0 or 1 for each element; NaN stays NaN. Without gradient.
---
---     u = t:sign()
---@return Tensor
function Tensor:sign() end

--- Each element moved to the nearest number from `low` to `high`, nil for no bound. The gradient passes inside and at the bounds.
---
---     ratio = (logp - old):exp():clamp(0.8, 1.2)
---@param low? number
---@param high? number
---@return Tensor
function Tensor:clamp(low, high) end

--- Each element to the power of the other's, as `^`. Shapes are broadcast.
---
---     u = t:pow(0)
---@param other Tensor|number
---@return Tensor
function Tensor:pow(other) end

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

--- Where it is greater: bools. Shapes are broadcast.
---
---     u = t:gt(0)
---@param other Tensor|number
---@return Tensor
function Tensor:gt(other) end

--- Where it is greater or equal: bools. Shapes are broadcast.
---
---     u = t:ge(0)
---@param other Tensor|number
---@return Tensor
function Tensor:ge(other) end

--- Where it is less: bools. Shapes are broadcast.
---
---     u = t:lt(0)
---@param other Tensor|number
---@return Tensor
function Tensor:lt(other) end

--- Where it is less or equal: bools. Shapes are broadcast.
---
---     u = t:le(0)
---@param other Tensor|number
---@return Tensor
function Tensor:le(other) end

--- Where it is equal: bools. (`==` asks whether both are the same object.) Shapes are broadcast.
---
---     u = t:eq(0)
---@param other Tensor|number
---@return Tensor
function Tensor:eq(other) end

--- Where it is not equal: bools. Shapes are broadcast.
---
---     u = t:ne(0)
---@param other Tensor|number
---@return Tensor
function Tensor:ne(other) end

--- Where an element is NaN: bools.
---
---     mask = t:isnan()
---@return Tensor
function Tensor:isnan() end

--- Where an element is neither infinite nor NaN: bools.
---
---     mask = t:isfinite()
---@return Tensor
function Tensor:isfinite() end

--- Where an element is infinite: bools.
---
---     mask = t:isinf()
---@return Tensor
function Tensor:isinf() end

--- Its own elements where `condition` holds, elsewhere those of `other`. Shapes are broadcast.
---
---     positive = t:where(t:gt(0), 0)
---@param condition Tensor bools, or numbers other than 0
---@param other Tensor|number
---@return Tensor
function Tensor:where(condition, other) end

--- `value` where `mask` holds, elsewhere its own elements. Shapes are broadcast.
---
---     scores = t:masked_fill(t:lt(2), -math.huge)
---@param mask Tensor
---@param value Tensor|number
---@return Tensor
function Tensor:masked_fill(mask, value) end

--- The matrix product (…, N, K) · (…, K, M) → (…, N, M), leading dimensions broadcast. A vector is a row on the left and a column on the right.
---
---     y = t:matmul(t:transpose())
---@param other Tensor
---@return Tensor
function Tensor:matmul(other) end

--- The product of two matrices, (N, K) · (K, M) → (N, M).
---
---     y = t:mm(t)
---@param other Tensor
---@return Tensor
function Tensor:mm(other) end

--- The products of two stacks of matrices, (B, N, K) · (B, K, M) → (B, N, M).
---
---     y = mid.ones { 2, 3, 4 }:bmm(mid.ones { 2, 4, 5 })
---@param other Tensor
---@return Tensor
function Tensor:bmm(other) end

--- The sum of the products of two vectors' elements.
---
---     y = t[1]:dot(t[2])
---@param other Tensor
---@return Tensor
function Tensor:dot(other) end

--- x · weightᵀ + bias over the last dimension: (…, K) with a weight (M, K), perhaps packed, and a bias (M) → (…, M).
---
---     y = t:linear(mid.ones { 3, 2 })
---@param weight Tensor|Packed
---@param bias? Tensor
---@return Tensor
function Tensor:linear(weight, bias) end

--- weight · x / √(mean(x²) + epsilon) over the last dimension (arXiv:1910.07467).
---
---     y = t:rms_norm(mid.ones(2))
---@param weight Tensor (C)
---@param epsilon? number
---@return Tensor
function Tensor:rms_norm(weight, epsilon) end

--- silu(x) · up (arXiv:2002.05202).
---
---     y = t:swiglu(t)
---@param up Tensor
---@return Tensor
function Tensor:swiglu(up) end

--- Rows of this table (V, C) by place: places (…) → (…, C).
---
---     x = t:embedding { 2, 1, 1 }
---@param places table|Tensor lists, or a tensor of integers, from 1 to V
---@return Tensor
function Tensor:embedding(places) end

--- Turns each head by the angle of its position: (T, H·D) or (B, T, H·D), pairs (i, i + D/2) of a head together.
---
---     y = t:rope(mid.rotary(2, 2))
---@param angles Rotary
---@return Tensor
function Tensor:rope(angles) end

--- Causal softmax attention of these queries (T, H·D) or (B, T, H·D) to keys and values (…, T, KV·D), without holding its weights. Query heads share key heads in groups where these are fewer.
---
---     y = t:attention(t, t, { heads = 1 })
---@param keys Tensor
---@param values Tensor
---@param options Tensor.attention.options
---@return Tensor
function Tensor:attention(keys, values, options) end

--- log softmax(x · weightᵀ / temperature) at one place of each row, without holding all logits: (…, C) with a weight (V, C) and places (…) → (…). With `entropy`, those of the distributions in nats as well.
---
---     lp = t:token_logprobs(mid.eye(2), { 1, 2 })
---@param weight Tensor|Packed
---@param places table|Tensor from 1 to V
---@param options? Tensor.token_logprobs.options
---@return Tensor
---@return Tensor?
function Tensor:token_logprobs(weight, places, options) end

--- Sums; how many hold, of bools.
---
---     print(t:sum(), t:sum(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:sum(dim, keepdim) end

--- Means; NaN of nothing.
---
---     print(t:mean(), t:mean(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:mean(dim, keepdim) end

--- Products; 1 of nothing.
---
---     print(t:prod(), t:prod(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:prod(dim, keepdim) end

--- log Σ e^x, without overflow.
---
---     print(t:logsumexp(), t:logsumexp(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:logsumexp(dim, keepdim) end

--- Whether no element is 0 or false.
---
---     print(t:all(), t:all(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:all(dim, keepdim) end

--- Whether an element is not 0 or false.
---
---     print(t:any(), t:any(1))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:any(dim, keepdim) end

--- Variances Σ (x − mean)² / (n − correction); NaN where n ≤ correction.
---
---     print(t:var(2, true, 0))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@param correction? number what is taken off the count: 1 for samples, 0 for all there is
---@return Tensor
function Tensor:var(dim, keepdim, correction) end

--- Standard deviations, the roots of `var`; the derivative at 0 is taken to be 0.
---
---     print(t:std(2, true, 0))
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@param correction? number what is taken off the count: 1 for samples, 0 for all there is
---@return Tensor
function Tensor:std(dim, keepdim, correction) end

--- (Σ |x|^p)^(1/p); the largest |x| for p = math.huge. The derivative at 0 is taken to be 0.
---
---     print(t:norm(), t:norm(1, 2))
---@param p? number
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:norm(p, dim, keepdim) end

--- The largest elements. Along one dimension also their places there, and the first of equal ones has the gradient; of all elements equal ones share it. NaN counts as largest.
---
---     value, place = t:max(1)
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
---@return Tensor?
function Tensor:max(dim, keepdim) end

--- Where the first of the largest elements are, counted from 1.
---
---     print(t:argmax(2))
---@param dim? integer along which; of all in row-major order without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:argmax(dim, keepdim) end

--- The smallest elements. Along one dimension also their places there, and the first of equal ones has the gradient; of all elements equal ones share it. NaN counts as smallest.
---
---     value, place = t:min(1)
---@param dim? integer|integer[] which dimensions go away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
---@return Tensor?
function Tensor:min(dim, keepdim) end

--- Where the first of the smallest elements are, counted from 1.
---
---     print(t:argmin(2))
---@param dim? integer along which; of all in row-major order without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:argmin(dim, keepdim) end

--- e^x / Σ e^x along a dimension, by default the last.
---
---     p = t:softmax(1)
---@param dim? integer
---@return Tensor
function Tensor:softmax(dim) end

--- x - log Σ e^x along a dimension, by default the last.
---
---     p = t:log_softmax(1)
---@param dim? integer
---@return Tensor
function Tensor:log_softmax(dim) end

--- Sums up to each place along a dimension, by default the last.
---
---     p = t:cumsum(1)
---@param dim? integer
---@return Tensor
function Tensor:cumsum(dim) end

--- The elements along a dimension in order, and where they were. Equal ones keep their order, NaN is largest.
---
---     values, places = t:sort(2, true)
---@param dim? integer along which
---@param descending? boolean
---@return Tensor
---@return Tensor
function Tensor:sort(dim, descending) end

--- The k largest elements along a dimension, largest first, and where they were; or the k smallest.
---
---     values, places = t:topk(1)
---@param k integer
---@param dim? integer along which
---@param largest? boolean
---@return Tensor
---@return Tensor
function Tensor:topk(k, dim, largest) end

--- The value below which the share `q` of the elements lies, interpolated linearly: of all elements, or along a dimension. For a list of shares there is one more dimension, the first.
---
---     median = t:quantile(0.5)
---@param q number|number[] from 0 to 1
---@param dim? integer which dimension goes away; all of them without it
---@param keepdim? boolean keep them with size 1
---@return Tensor
function Tensor:quantile(q, dim, keepdim) end

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
---     column = t:reshape(-1, 1)
---@param ... integer|integer[] sizes
---@return Tensor
function Tensor:reshape(...) end

--- Dimensions `first` to `last` merged into one.
---
---     v = t:flatten()
---@param first? integer
---@param last? integer
---@return Tensor
function Tensor:flatten(first, last) end

--- Two dimensions exchanged, by default the last two.
---
---     u = t:transpose()
---@param first? integer
---@param second? integer
---@return Tensor
function Tensor:transpose(first, second) end

--- The dimensions in another order: which of them becomes the first, the second, ….
---
---     u = t:permute(2, 1)
---@param ... integer|integer[] dimensions
---@return Tensor
function Tensor:permute(...) end

--- Without a dimension that has the size 1, or without all of them.
---
---     v = t:unsqueeze(1):squeeze(1)
---@param dim? integer
---@return Tensor
function Tensor:squeeze(dim) end

--- With a new dimension of size 1, which has the number `dim`.
---
---     column = t:unsqueeze(-1)
---@param dim integer
---@return Tensor
function Tensor:unsqueeze(dim) end

--- A view in which dimensions of size 1, or missing ones, repeat; -1 keeps a size.
---
---     u = mid.ones { 2, 1 }:expand(-1, 3)
---@param ... integer|integer[] sizes
---@return Tensor
function Tensor:expand(...) end

--- The same tensor if its elements lie in row-major order, else a copy in which they do.
---
---     u = t:transpose():contiguous()
---@return Tensor
function Tensor:contiguous() end

--- A copy with memory of its own; gradients flow through it.
---
---     u = t:clone()
---@return Tensor
function Tensor:clone() end

--- Matrices with 0 above a diagonal.
---
---     u = t:tril()
---@param diagonal? integer how far the border lies above the main diagonal
---@return Tensor
function Tensor:tril(diagonal) end

--- Matrices with 0 below a diagonal.
---
---     u = t:triu()
---@param diagonal? integer how far the border lies above the main diagonal
---@return Tensor
function Tensor:triu(diagonal) end

--- The elements of the last two dimensions whose places there are equal.
---
---     trace = t:diagonal():sum()
---@return Tensor
function Tensor:diagonal() end

--- Parts of so many elements along a dimension, the last one perhaps smaller, or of the sizes in a list.
---
---     first, rest = table.unpack(t:split({ 1, 1 }, 2))
---@param size integer|integer[]
---@param dim? integer
---@return Tensor[]
function Tensor:split(size, dim) end

--- So many parts along a dimension, as equal as they can be; the first ones are the larger.
---
---     query, key = table.unpack(t:chunk(2, -1))
---@param count integer
---@param dim? integer
---@return Tensor[]
function Tensor:chunk(count, dim) end

--- The parts at each place of a dimension, which goes away.
---
---     for _, row in ipairs(t:unbind()) do print(row) end
---@param dim? integer
---@return Tensor[]
function Tensor:unbind(dim) end

--- The parts at some places of a dimension, in their order.
---
---     u = t:index_select(1, { 2, 1, 2 })
---@param dim integer
---@param places integer[]|Tensor a list, or a tensor of integers
---@return Tensor
function Tensor:index_select(dim, places) end

--- Elements by their places along a dimension: the result has the shape of `places`, which is that of the tensor except along `dim`. Where `places` leaves that dimension out, so does the result: `logp:gather(-1, tokens)` is one number a row.
---
---     picked = t:gather(2, { 2, 1 })
---@param dim integer
---@param places table|Tensor lists, or a tensor of integers
---@return Tensor
function Tensor:gather(dim, places) end

--- This tensor plus the elements of `source` at the places that `gather` would take them from; those for one place add up.
---
---     counts = mid.zeros(3):scatter_add(1, { 1, 3, 3 }, mid.ones(3))
---@param dim integer
---@param places table|Tensor lists, or a tensor of integers, of the shape of `source`
---@param source Tensor
---@return Tensor
function Tensor:scatter_add(dim, places, source) end

--- The places of the elements that are not 0 or false, in row-major order, one row of places for each.
---
---     places = t:gt(1):nonzero()
---@return Tensor
function Tensor:nonzero() end

--- A dimension in reverse order.
---
---     u = t:flip(2)
---@param dim? integer
---@return Tensor
function Tensor:flip(dim) end

--- For each place, `size` zeros with a one there, as a new last dimension.
---
---     u = mid.tensor({ 1, 3 }, "i32"):one_hot(3)
---@param size integer
---@return Tensor
function Tensor:one_hot(size) end

--- `count` places drawn from each row of weights, which need not add up to 1, with replacement: (…, V) → (…, count).
---
---     tokens = t:softmax():multinomial(1, mid.generator(1))
---@param count integer
---@param generator Generator|integer or a seed
---@return Tensor
function Tensor:multinomial(count, generator) end

--- Each element 0 with probability p, else divided by 1 − p.
---
---     u = t:dropout(0.1, mid.generator(1))
---@param p number
---@param generator Generator|integer or a seed
---@return Tensor
function Tensor:dropout(p, generator) end

--- The same values, through which no gradient flows.
---
---     baseline = rewards:mean():detach()
---@return Tensor
function Tensor:detach() end

--- Adds the gradient of this scalar to the `grad` of all that it was computed from. What was recorded for it is used up.
---
---     loss:backward()
function Tensor:backward() end

--- The gradients of this scalar for some tensors that require one, as a list, zeros where it does not depend on them. No `grad` is changed. What was recorded is used up.
---
---     g = (x * x):sum():gradients({ x })[1]
---@param inputs Tensor[]
---@return Tensor[]
function Tensor:gradients(inputs) end

--- Takes over the values of another tensor, broadcast. In place: other views of the memory see it; `backward` refuses what was computed from it before.
---
---     t:copy_(mid.zeros { 2, 2 })
---@param other Tensor|number
---@return Tensor
function Tensor:copy_(other) end

--- Takes one value everywhere. In place: other views of the memory see it; `backward` refuses what was computed from it before.
---
---     t:fill_(0)
---@param value number
---@return Tensor
function Tensor:fill_(value) end

--- Adds `other` times `scale`. In place: other views of the memory see it; `backward` refuses what was computed from it before.
---
---     t:add_(mid.ones { 2, 2 }, 0.1)
---@param other Tensor|number
---@param scale? number
---@return Tensor
function Tensor:add_(other, scale) end

--- Multiplies with another tensor or a number. In place: other views of the memory see it; `backward` refuses what was computed from it before.
---
---     t:mul_(0.5)
---@param other Tensor|number
---@return Tensor
function Tensor:mul_(other) end

--- Writes a .npy file, which NumPy and mid.load_tensors read.
---
---     mid.arange(3):save(scratch .. "/t.npy")
---@param path string
function Tensor:save(path) end

--- A matrix as it is stored to save memory: bf16 takes half, int8 (blocks of 32 with a scale) about a quarter. Frozen; `linear` reads it as it is.
---
---     w = mid.ones({ 4, 32 }):pack "bf16"
---@param dtype string bf16 or int8
---@return Packed
function Tensor:pack(dtype) end

---@class StoredTensor: Tensor
---@field shape integer[] Sizes of its dimensions; empty for one element.
---@field dtype string What the elements are: bf16, i32 or i64.
---@field count integer How many elements there are.
---@field requires_grad boolean False: only f32 has gradients.
---@field bytes integer Memory that the elements take.
local StoredTensor = {}

--- The same values as another type; see Tensor's `to`. f32 rounds integers beyond 2^24.
---
---     h = mid.ones({ 2, 3 }, "bf16"):to "f32"
---@param dtype string f32, i32, bool, bf16 or i64
---@return Tensor|StoredTensor
function StoredTensor:to(dtype) end

--- The value of a tensor with one element.
---
---     n = mid.tensor(1 << 60, "i64"):item()
---@return number
function StoredTensor:item() end

--- The values as a number, a list, or lists of lists.
---
---     ids = mid.tensor({ 1, 2 }, "i64"):tolist()
---@return number|table
function StoredTensor:tolist() end

---@class Packed
---@field shape integer[] Rows and columns.
---@field bytes integer Memory that it takes.
local Packed = {}

--- The values as a tensor of 32-bit floats.
---
---     w = mid.ones({ 4, 32 }):pack("bf16"):unpack()
---@return Tensor
function Packed:unpack() end

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
---@return {summary: string, checkpointing: string, max_rows: integer, total: integer, available: integer, keys_and_values: integer, cache_memory: integer, weights: integer, gradients: integer, optimizer: integer, activations: integer, temporary: integer}
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

--- The segments as tables: `ids`, `parent`, `offset`, `temperature`, `score`.
---
---     for _, segment in ipairs(batch:tolist()) do print(#segment.ids, segment.parent) end
---@return table[]
function Batch:tolist() end

---@class AdamW
---@field learning_rate number Step size.
---@field steps integer Steps taken.
local AdamW = {}

--- Forgets all gradients.
---
---     opt:zero_grad()
---@param options? AdamW.zero_grad.options
function AdamW:zero_grad(options) end

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
