// The list of operations. Errors and the tape name them; the tests walk the list, so that none goes untested.

/// Every differentiable operation, by the name that scripts and error messages use.
public enum Op: String, CaseIterable, Sendable {
  // Elementwise, with broadcasting
  case add, subtract, multiply, divide, power, minimum, maximum, select = "where"
  // Elementwise
  case negate, exp, log, sqrt, square, abs, clamp, sigmoid, silu, tanh
  // Reductions
  case sum, mean, max, min
  // Shape
  case reshape, permute, slice, expand, concatenate, gather
  // Products and rows
  case matmul, softmax, logSoftmax = "log_softmax"
  // Fused: the parts of a transformer
  case linear, embedding, rmsNorm = "rms_norm", rope, swiglu, attention, tokenLogProbs = "token_logprobs"
  // A computation of which only the input is kept
  case checkpoint
}
