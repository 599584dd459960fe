// The list of operations. Errors and the tape name them; the tests walk the list, so that none goes untested.

/// Every differentiable operation, by the name that scripts and error messages use.
public enum Op: String, CaseIterable, Sendable {
  // Elementwise, with broadcasting
  case add, subtract, multiply, divide, power, minimum, maximum, select = "where"
  // Elementwise
  case negate, exp, log, sqrt, square, abs, clamp, sigmoid, silu, gelu, tanh, relu, sin, cos, erf, expm1,
    log1p
  // Reductions
  case sum, mean, max, min, prod, cumsum
  // Shape
  case reshape, permute, slice, expand, concatenate, gather, scatterAdd = "scatter_add", indexSelect =
    "index_select"
  // Products and rows
  case matmul, softmax, logSoftmax = "log_softmax"
  // Fused: the parts of a transformer
  case linear, embedding, rmsNorm = "rms_norm", rope, swiglu, attention, tokenLogProbs = "token_logprobs"
  // A computation of which only the input is kept
  case checkpoint
  // A function with a gradient that its caller gave
  case custom
}
