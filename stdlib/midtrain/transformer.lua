-- The decoder-only transformers of this engine (Llama, Qwen2, Qwen3) as modules in Lua: to be
-- trained from scratch, to be changed, and to look inside. Names are the checkpoint's, so what one
-- saves the other loads. Fused operations do the work unless attention weights are wanted. Lines
-- that begin with `--- > ` are examples, which the tests run.

local native = require "midtrain.native"
local options = require "midtrain.options"

---@param nn table the module `mid.nn`, which gets Attention, MLP and Transformer
return function(nn)
  local defaults = {
    hidden_size = { "integer", required = true, min = 1 },
    num_attention_heads = { "integer", required = true, min = 1 },
    num_key_value_heads = { "integer", min = 1, doc = "as many as heads of queries if absent" },
    head_dim = { "integer", min = 2, doc = "hidden_size / num_attention_heads if absent" },
    attention_bias = { "boolean", default = false, doc = "of queries, keys and values" },
    query_key_norm = { "boolean", default = false, doc = "Qwen3's norms of each head" },
    rope_theta = { "number", default = 10000, min = 0 },
    rope_frequencies = { "table", doc = "angle a position of each pair; else from rope_theta" },
    intermediate_size = { "integer", min = 1, doc = "4 × hidden_size if absent" },
    num_hidden_layers = { "integer", default = 1, min = 0 },
    vocab_size = { "integer", default = 2, min = 1 },
    rms_norm_eps = { "number", default = 1e-6, min = 0 },
    tie_word_embeddings = { "boolean", default = true },
    initializer_range = { "number", default = 0.02, min = 0, doc = "deviation of first weights" },
    max_position_embeddings = { "integer", default = 2048, min = 1 },
    model_type = { "string", default = "llama", choices = { "llama", "qwen2", "qwen3" } },
  }

  local function checked(where, config)
    local o = options.check(where, config, defaults)
    o.num_key_value_heads = o.num_key_value_heads or o.num_attention_heads
    o.head_dim = o.head_dim or o.hidden_size // o.num_attention_heads
    o.intermediate_size = o.intermediate_size or 4 * o.hidden_size
    if o.num_attention_heads % o.num_key_value_heads ~= 0 then
      error(("%s: num_key_value_heads must divide num_attention_heads"):format(where), 3)
    end
    return o
  end

  local Attention = nn.kind "Attention"
  nn.Attention = Attention

  --- Causal softmax attention with rotary positions: (T, C) or (B, T, C) → the same.
  ---@param config table sizes by the names of a config.json: hidden_size, num_attention_heads, …
  ---@return midtrain.Module
  --- > y = mid.nn.Attention({ hidden_size = 8, num_attention_heads = 2 })(mid.randn({ 5, 8 }, 1))
  function Attention.new(config)
    local o = checked("mid.nn.Attention", config)
    local function linear(inputs, outputs, bias)
      return nn.Linear(inputs, outputs, { bias = bias, deviation = o.initializer_range })
    end
    local queries, keys = o.num_attention_heads * o.head_dim, o.num_key_value_heads * o.head_dim
    return Attention:make {
      q_proj = linear(o.hidden_size, queries, o.attention_bias),
      k_proj = linear(o.hidden_size, keys, o.attention_bias),
      v_proj = linear(o.hidden_size, keys, o.attention_bias),
      o_proj = linear(queries, o.hidden_size, false),
      q_norm = o.query_key_norm and nn.RMSNorm(o.head_dim, o.rms_norm_eps) or nil,
      k_norm = o.query_key_norm and nn.RMSNorm(o.head_dim, o.rms_norm_eps) or nil,
      _config = o,
    }
  end

  -- Softmax attention step by step, for its weights: (B, H, T, T), and what it gives.
  local function spelled_out(q, k, v, o)
    local batched = #q.shape == 3
    if not batched then q, k, v = q:unsqueeze(1), k:unsqueeze(1), v:unsqueeze(1) end
    local B, T = q.shape[1], q.shape[2]
    local groups = o.num_attention_heads // o.num_key_value_heads
    -- (B, T, KV·D) → (B, KV, G, T, D): the G query heads that share a key head side by side.
    local function heads(x, groups_here)
      return x:reshape(B, T, o.num_key_value_heads, groups_here, o.head_dim):permute(1, 3, 4, 2, 5)
    end
    q, k, v = heads(q, groups), heads(k, 1), heads(v, 1)
    local scores = q:matmul(k:transpose()) / math.sqrt(o.head_dim)
    local future = native.ones({ T, T }):triu(1):to "bool"
    local weights = scores:masked_fill(future, -math.huge):softmax()
    local y = weights:matmul(v):permute(1, 4, 2, 3, 5):reshape(B, T, -1)
    weights = weights:reshape(B, o.num_attention_heads, T, T)
    return batched and y or y[1], batched and weights or weights[1]
  end

  function Attention:forward(x, inside)
    local o = self._config
    local q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
    local function normed(y, norm)
      if not norm then return y end
      local shape = { table.unpack(y.shape) }
      shape[#shape + 1], shape[#shape] = o.head_dim, shape[#shape] // o.head_dim
      return norm(y:reshape(shape)):reshape(y.shape)
    end
    local angles = inside and inside._rotary
    if not angles then
      angles = native.rotary(x.shape[#x.shape - 1], o.head_dim, {
        theta = o.rope_theta, frequencies = o.rope_frequencies,
      })
      if inside then inside._rotary = angles end
    end
    q, k = normed(q, self.q_norm):rope(angles), normed(k, self.k_norm):rope(angles)
    local y
    if inside and inside.attentions then
      local weights
      y, weights = spelled_out(q, k, v, o)
      inside.attentions[#inside.attentions + 1] = weights
    else
      y = q:attention(k, v, {
        heads = o.num_attention_heads, key_value_heads = o.num_key_value_heads,
      })
    end
    return self.o_proj(y)
  end

  local MLP = nn.kind "MLP"
  nn.MLP = MLP

  --- down(silu(gate(x)) · up(x)): (…, C) → (…, C).
  ---@param config table with hidden_size and intermediate_size
  ---@return midtrain.Module
  --- > y = mid.nn.MLP({ hidden_size = 8, num_attention_heads = 1 })(mid.ones { 5, 8 })
  function MLP.new(config)
    local o = checked("mid.nn.MLP", config)
    local function linear(inputs, outputs)
      return nn.Linear(inputs, outputs, { bias = false, deviation = o.initializer_range })
    end
    return MLP:make {
      gate_proj = linear(o.hidden_size, o.intermediate_size),
      up_proj = linear(o.hidden_size, o.intermediate_size),
      down_proj = linear(o.intermediate_size, o.hidden_size),
    }
  end

  function MLP:forward(x) return self.down_proj(self.gate_proj(x):swiglu(self.up_proj(x))) end

  local Block = nn.kind "Block"

  local function new_block(o)
    return Block:make {
      input_layernorm = nn.RMSNorm(o.hidden_size, o.rms_norm_eps), self_attn = nn.Attention(o),
      post_attention_layernorm = nn.RMSNorm(o.hidden_size, o.rms_norm_eps), mlp = nn.MLP(o),
    }
  end

  function Block:forward(x, inside)
    x = x + self.self_attn(self.input_layernorm(x), inside)
    return x + self.mlp(self.post_attention_layernorm(x))
  end

  local Transformer = nn.kind "Transformer"
  nn.Transformer = Transformer

  --- A language model with random weights, from sizes by the names of a config.json.
  ---@param config table vocab_size, hidden_size, num_hidden_layers, num_attention_heads, …
  ---@return midtrain.Module
  --- > tiny = mid.nn.Transformer { vocab_size = 9, hidden_size = 8, num_attention_heads = 2 }
  function Transformer.new(config)
    local o = checked("mid.nn.Transformer", config)
    local layers = {}
    for i = 1, o.num_hidden_layers do layers[i] = new_block(o) end
    return Transformer:make {
      model = {
        embed_tokens = nn.Embedding(o.vocab_size, o.hidden_size, {
          deviation = o.initializer_range,
        }),
        layers = layers, norm = nn.RMSNorm(o.hidden_size, o.rms_norm_eps),
      },
      lm_head = not o.tie_word_embeddings and nn.Linear(o.hidden_size, o.vocab_size, {
        bias = false, deviation = o.initializer_range,
      }) or nil,
      _config = o,
    }
  end

  -- The part of a module that a parameter's name leads to, and the last word of the name.
  local function place(module, name)
    local part, last = module, nil
    for word in name:gmatch "[^.]+" do
      if last then part = part[math.tointeger(last) and math.tointeger(last) + 1 or last] end
      last = word
    end
    return part, last
  end

  --- A model that was loaded, or made by mid.from_config, as modules on the same weights: what one
  --- trains the other has. Its matrices must be stored in f32. To train it call `unfreeze()`.
  ---@param model Model
  ---@return midtrain.Module
  function Transformer.of(model)
    local config, given = {}, model:parameters()
    for name in pairs(defaults) do config[name] = model.config[name] end
    config.attention_bias = given["model.layers.0.self_attn.q_proj.bias"] ~= nil
    config.query_key_norm = given["model.layers.0.self_attn.q_norm.weight"] ~= nil
    local generator = nn.generator
    nn.generator = nil
    local ok, self = pcall(Transformer.new, config)
    nn.generator = generator
    if not ok then error(self, 0) end
    local rest = {}
    for name, tensor in pairs(given) do rest[name] = tensor end
    for _, parameter in ipairs(self:named_parameters()) do
      local tensor = rest[parameter.name]
      if not tensor then
        error(("mid.nn.Transformer.of: %s is not there in f32; load the model with dtype f32 and "
          .. "without adapters"):format(parameter.name), 2)
      end
      local part, last = place(self, parameter.name)
      part[last], rest[parameter.name] = tensor, nil
    end
    local name = next(rest)
    if name then
      error(("mid.nn.Transformer.of: %s has no place in these modules"):format(name), 2)
    end
    return self
  end

  --- The residual stream after the last layer, normalised: ids (T) or (B, T), from 0 as tokenizers
  --- count them → (T, C) or (B, T, C).
  ---@param ids integer[]|Tensor
  ---@param inside { hidden_states: table?, attentions: table?, hooks: table? }? lists that are
  --- filled with the residual
  --- stream before the first and after each layer, and with attention weights (H, T, T) of each
  --- layer; functions by layer (0: the embeddings) that get the residual stream and may return
  --- another
  ---@return Tensor
  --- > inside = { hidden_states = {}, attentions = {} }; h = tiny:hidden({ 1, 2, 3 }, inside)
  function Transformer:hidden(ids, inside)
    if type(ids) == "table" then ids = native.tensor(ids, "i32") end
    local context = inside or {}
    local hooks, states = context.hooks or {}, context.hidden_states
    context._rotary = nil
    local function passed(x, layer)
      if hooks[layer] then x = hooks[layer](x, layer) or x end
      if states then states[#states + 1] = x end
      return x
    end
    local x = passed(self.model.embed_tokens(ids + 1), 0)
    for i, layer in ipairs(self.model.layers) do x = passed(layer(x, context), i) end
    context._rotary = nil
    return self.model.norm(x)
  end

  -- The output matrix (V, C).
  local function head(self) return (self.lm_head or self.model.embed_tokens).weight end

  --- Logits of the next token after each: ids (…, T) → (…, T, V).
  ---@param ids integer[]|Tensor
  ---@param inside table? as for hidden
  ---@return Tensor
  --- > logits = tiny { 1, 2, 3 }
  function Transformer:forward(ids, inside) return self:hidden(ids, inside):linear(head(self)) end

  local generation = {
    max_tokens = { "integer", default = 32, min = 1 },
    temperature = { "number", default = 1, min = 0, doc = "divides the logits; 0 is greedy" },
    seed = { "integer", default = 0 },
    hooks = { "table", doc = "as for hidden, in force for every token" },
    stop_ids = { "table", default = {}, doc = "tokens that end it" },
  }

  --- Continues ids token by token, with hooks that steer and whatever was changed in the modules. All
  --- is computed anew for each token; where nothing was changed, model:generate is many times faster.
  ---@param ids integer[] from 0, as tokenizers count them
  ---@param given table? max_tokens, temperature, seed, hooks, stop_ids
  ---@return integer[] ids those that were added
  --- > added = tiny:generate({ 1, 2 }, { max_tokens = 2, hooks = { [1] = function(h) return h * 2 end } })
  function Transformer:generate(ids, given)
    local o = options.check("generate", given or {}, generation)
    local all, added = table.move(ids, 1, #ids, 1, {}), {}
    local generator, ends = native.generator(o.seed), {}
    for _, id in ipairs(o.stop_ids) do ends[id] = true end
    return native.no_grad(function()
      repeat
        local logits = self:hidden(all, { hooks = o.hooks })[-1]:linear(head(self))
        local id = o.temperature == 0 and logits:argmax():item() - 1
          or (logits / o.temperature):softmax():multinomial(1, generator):item() - 1
        all[#all + 1], added[#added + 1] = id, id
      until ends[id] or #added == o.max_tokens
      return added
    end)
  end

  --- What the head makes of a residual stream in the middle (nostalgebraist, "interpreting GPT: the
  --- logit lens", 2020).
  ---@param state Tensor (…, C), one of hidden_states
  ---@return Tensor logits (…, V)
  --- > lens = tiny:lens(inside.hidden_states[2]):softmax()
  function Transformer:lens(state) return self.model.norm(state):linear(head(self)) end

  --- Log-probabilities of ids[2…T], each given those before it, without ever holding all logits:
  --- (…, T) → (…, T − 1).
  ---@param ids integer[]|Tensor
  ---@param inside table? as for hidden
  ---@return Tensor
  --- > loss = -tiny:logprobs({ 1, 2, 3 }):mean()
  function Transformer:logprobs(ids, inside)
    if type(ids) == "table" then ids = native.tensor(ids, "i32") end
    local last, T = #ids.shape, ids.shape[#ids.shape]
    local h = self:hidden(ids:slice(last, 1, T - 1), inside)
    return h:token_logprobs(head(self), ids:slice(last, 2, T) + 1)
  end
end
