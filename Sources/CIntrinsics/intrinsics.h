// What Swift has no word for: cache prefetches, and conversions of whole vectors. Swift's own converting initialisers
// of SIMD types do not vectorise. Plain vector extensions of clang: every target has code for them.
#pragma once
#include <stdint.h>

typedef float mt_float16 __attribute__((ext_vector_type(16)));
typedef int16_t mt_short16 __attribute__((ext_vector_type(16)));
typedef uint8_t mt_byte16 __attribute__((ext_vector_type(16)));
typedef int8_t mt_char16 __attribute__((ext_vector_type(16)));
typedef int32_t mt_int16 __attribute__((ext_vector_type(16)));

/// Brings the cache line at `p` into the second-level cache. Never faults.
static inline __attribute__((always_inline)) void mt_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

/// Sixteen signed bytes as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_bytes(const void *p) {
  mt_char16 bytes;
  __builtin_memcpy(&bytes, p, 16);
  return __builtin_convertvector(bytes, mt_float16);
}

/// The low halves of sixteen bytes as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_low_halves(const void *p) {
  mt_byte16 bytes;
  __builtin_memcpy(&bytes, p, 16);
  return __builtin_convertvector(bytes & 15, mt_float16);
}

/// The high halves of sixteen bytes as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_high_halves(const void *p) {
  mt_byte16 bytes;
  __builtin_memcpy(&bytes, p, 16);
  return __builtin_convertvector(bytes >> 4, mt_float16);
}

/// Sixteen bfloat16 numbers as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_bfloat16(const void *p) {
  mt_short16 halves;
  __builtin_memcpy(&halves, p, 32);
  mt_int16 bits = __builtin_convertvector(halves, mt_int16) << 16;
  mt_float16 result;
  __builtin_memcpy(&result, &bits, 64);
  return result;
}
