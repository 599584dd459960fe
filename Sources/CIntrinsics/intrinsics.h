// What Swift has no word for: cache prefetches, conversions of whole vectors, minima and maxima in one instruction,
// parts of vectors, sums across them, products of bytes, checksums. Swift's own converting initialisers of SIMD types do not
// vectorise. Plain vector extensions of clang, so that every target has code for them; where AVX-512 has an instruction
// that they cannot say, it is used.
#pragma once
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif
#ifdef __AVX512F__
/// Registers that hold a vector of sixteen floats.
#define MT_VECTOR_REGISTERS 32
#else
#define MT_VECTOR_REGISTERS 8
#endif

// Products and sums are rounded one by one unless somebody asks for both at once.
#pragma clang fp contract(off)

typedef float mt_float16 __attribute__((ext_vector_type(16)));
typedef int16_t mt_short16 __attribute__((ext_vector_type(16)));
typedef uint8_t mt_byte16 __attribute__((ext_vector_type(16)));
typedef int8_t mt_char16 __attribute__((ext_vector_type(16)));
typedef int32_t mt_int16 __attribute__((ext_vector_type(16)));
typedef uint32_t mt_word16 __attribute__((ext_vector_type(16)));
typedef uint8_t mt_byte64 __attribute__((ext_vector_type(64)));
typedef _Float16 mt_half16 __attribute__((ext_vector_type(16)));

/// Brings the cache line at `p` into the second-level cache. Never faults.
static inline __attribute__((always_inline)) void mt_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

/// Keeps the compiler from loading now what is needed later: it would run out of registers.
static inline __attribute__((always_inline)) void mt_keep_order(void) { __asm__ volatile("" ::: "memory"); }

/// Sixteen signed bytes as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_bytes(const void *p) {
  mt_char16 bytes;
  __builtin_memcpy(&bytes, p, 16);
  return __builtin_convertvector(bytes, mt_float16);
}

/// A half-precision number in all elements.
static inline __attribute__((always_inline)) mt_float16 mt_load_half(const void *p) {
#ifdef __AVX512F__
  int16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
#elif defined(__F16C__)
  uint16_t half;
  __builtin_memcpy(&half, p, 2);
  uint32_t bits = half;
  // Hides where the bits are from: clang would insert them into a register and wait for what it held before.
  __asm__("" : "+r"(bits));
  return (mt_float16)_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128((int)bits)));
#else
  _Float16 half;
  __builtin_memcpy(&half, p, 2);
  return (mt_float16)(float)half;
#endif
}

/// The first of two half-precision numbers in all elements.
static inline __attribute__((always_inline)) mt_float16 mt_load_first_half(const void *p) {
#ifdef __AVX512F__
  int32_t both;
  __builtin_memcpy(&both, p, 4);
  return _mm512_moveldup_ps(_mm512_cvtph_ps(_mm256_set1_epi32(both)));
#else
  return mt_load_half(p);
#endif
}

/// The second of two half-precision numbers in all elements. With the first, one conversion serves both.
static inline __attribute__((always_inline)) mt_float16 mt_load_second_half(const void *p) {
#ifdef __AVX512F__
  int32_t both;
  __builtin_memcpy(&both, p, 4);
  return _mm512_movehdup_ps(_mm512_cvtph_ps(_mm256_set1_epi32(both)));
#else
  return mt_load_half((const char *)p + 2);
#endif
}

/// 0, 1, … 15: what four bits can say.
static inline __attribute__((always_inline)) mt_float16 mt_four_bits(void) {
  mt_float16 numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#ifdef __AVX512F__
  // Hides the constants: a product with 0, 1 and 2 in it is otherwise taken apart, at twelve instructions for one.
  __asm__("" : "+v"(numbers));
#endif
  return numbers;
}

/// Numbers of four bits as weights: `bias` added, times `scale`, plus `offset`, each rounded by itself. A bias or offset of
/// -0 changes nothing.
static inline __attribute__((always_inline)) mt_float16 mt_weights(mt_float16 numbers, float bias, mt_float16 scale,
                                                                 mt_float16 offset) {
  return (numbers + bias) * scale + offset;
}

/// The weights that the low halves of sixteen bytes stand for.
static inline __attribute__((always_inline)) mt_float16 mt_weights_of_low_halves(const void *p, float bias,
                                                                               mt_float16 scale, mt_float16 offset) {
  mt_byte16 bytes;
  __builtin_memcpy(&bytes, p, 16);
#ifdef __AVX512F__
  // All sixteen are computed once and looked up; the instruction looks at no other bits.
  mt_float16 all = mt_weights(mt_four_bits(), bias, scale, offset);
  return _mm512_permutexvar_ps((__m512i)__builtin_convertvector(bytes, mt_int16), all);
#else
  return mt_weights(__builtin_convertvector(bytes & 15, mt_float16), bias, scale, offset);
#endif
}

/// The weights that the high halves stand for.
static inline __attribute__((always_inline)) mt_float16 mt_weights_of_high_halves(const void *p, float bias,
                                                                                mt_float16 scale, mt_float16 offset) {
  mt_byte16 bytes;
  __builtin_memcpy(&bytes, p, 16);
#ifdef __AVX512F__
  mt_float16 all = mt_weights(mt_four_bits(), bias, scale, offset);
  return _mm512_permutexvar_ps((__m512i)(__builtin_convertvector(bytes, mt_int16) >> 4), all);
#else
  return mt_weights(__builtin_convertvector(bytes >> 4, mt_float16), bias, scale, offset);
#endif
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

/// The larger of each pair; the one of `b` where one of them is NaN, as x86's instruction has it.
static inline __attribute__((always_inline)) mt_float16 mt_larger(mt_float16 a, mt_float16 b) {
  return a > b ? a : b;
}

/// The smaller of each pair; the one of `b` where one of them is NaN.
static inline __attribute__((always_inline)) mt_float16 mt_smaller(mt_float16 a, mt_float16 b) {
  return a < b ? a : b;
}

/// The first `count` floats at `p`, at most 16, and `fill` behind them. Nothing beyond them is read.
static inline __attribute__((always_inline)) mt_float16 mt_load_first(const float *p, long count, mt_float16 fill) {
#ifdef __AVX512F__
  return _mm512_mask_loadu_ps(fill, (__mmask16)((1u << count) - 1), p);
#else
  for (long i = 0; i < count; ++i) fill[i] = p[i];
  return fill;
#endif
}

/// Writes the first `count` floats of a vector, at most 16, to `p`.
static inline __attribute__((always_inline)) void mt_store_first(float *p, long count, mt_float16 vector) {
#ifdef __AVX512F__
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), vector);
#else
  for (long i = 0; i < count; ++i) p[i] = vector[i];
#endif
}

/// Writes the sixteen columns of a matrix of four rows, one after the other, `stride` floats apart.
static inline __attribute__((always_inline)) void mt_store_columns(mt_float16 a, mt_float16 b, mt_float16 c, mt_float16 d,
                                                                  float *p, long stride) {
  typedef float mt_float4 __attribute__((ext_vector_type(4)));
  // Pairs of rows, then both pairs: element 4q + j of each row lies in quarter q of the j-th vector.
  mt_float16 ab = __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  mt_float16 AB = __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  mt_float16 cd = __builtin_shufflevector(c, d, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  mt_float16 CD = __builtin_shufflevector(c, d, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  mt_float16 columns[4] = {
      __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
      __builtin_shufflevector(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31),
      __builtin_shufflevector(AB, CD, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
      __builtin_shufflevector(AB, CD, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31),
  };
  for (int j = 0; j < 4; ++j) {
    mt_float4 quarters[4] = {columns[j].s0123, columns[j].s4567, columns[j].s89ab, columns[j].scdef};
    for (int q = 0; q < 4; ++q) __builtin_memcpy(p + (4 * q + j) * stride, &quarters[q], 16);
  }
}

// Eight rows side by side, for processors with registers of eight floats.

typedef float mt_float8 __attribute__((ext_vector_type(8)));
typedef int32_t mt_int8 __attribute__((ext_vector_type(8)));
typedef uint32_t mt_word8 __attribute__((ext_vector_type(8)));
typedef struct {
  mt_word8 a, b, c, d;
} mt_words;

/// Four words of 32 bits of each of eight rows, `stride` bytes apart: the first words of all rows, the second ones, and so on.
static inline __attribute__((always_inline)) mt_words mt_transpose_words(const void *p, long stride) {
  typedef uint32_t mt_word4 __attribute__((ext_vector_type(4)));
  mt_word4 rows[8];
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&rows[i], (const char *)p + i * stride, 16);
  mt_word8 r0 = __builtin_shufflevector(rows[0], rows[4], 0, 1, 2, 3, 4, 5, 6, 7);
  mt_word8 r1 = __builtin_shufflevector(rows[1], rows[5], 0, 1, 2, 3, 4, 5, 6, 7);
  mt_word8 r2 = __builtin_shufflevector(rows[2], rows[6], 0, 1, 2, 3, 4, 5, 6, 7);
  mt_word8 r3 = __builtin_shufflevector(rows[3], rows[7], 0, 1, 2, 3, 4, 5, 6, 7);
  mt_word8 low01 = __builtin_shufflevector(r0, r1, 0, 8, 1, 9, 4, 12, 5, 13);
  mt_word8 high01 = __builtin_shufflevector(r0, r1, 2, 10, 3, 11, 6, 14, 7, 15);
  mt_word8 low23 = __builtin_shufflevector(r2, r3, 0, 8, 1, 9, 4, 12, 5, 13);
  mt_word8 high23 = __builtin_shufflevector(r2, r3, 2, 10, 3, 11, 6, 14, 7, 15);
  return (mt_words){
      __builtin_shufflevector(low01, low23, 0, 1, 8, 9, 4, 5, 12, 13),
      __builtin_shufflevector(low01, low23, 2, 3, 10, 11, 6, 7, 14, 15),
      __builtin_shufflevector(high01, high23, 0, 1, 8, 9, 4, 5, 12, 13),
      __builtin_shufflevector(high01, high23, 2, 3, 10, 11, 6, 7, 14, 15),
  };
}

/// A half-precision number of each of eight rows, `stride` bytes apart.
static inline __attribute__((always_inline)) mt_float8 mt_transpose_halves(const void *p, long stride) {
  typedef _Float16 mt_half8 __attribute__((ext_vector_type(8)));
  typedef uint16_t mt_short8 __attribute__((ext_vector_type(8)));
  uint16_t h[8];
  for (int i = 0; i < 8; ++i) __builtin_memcpy(&h[i], (const char *)p + i * stride, 2);
  mt_short8 bits = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]};
#ifdef __F16C__
  return (mt_float8)_mm256_cvtph_ps((__m128i)bits);
#else
  return __builtin_convertvector((mt_half8)bits, mt_float8);
#endif
}

/// A block of 32 columns of eight rows: weight = number * scale + offset, numbers four columns to a word.
typedef struct {
  mt_words words;
  mt_float8 scale, offset;
} mt_block;

/// Blocks of eight rows, `stride` bytes apart, of numbers of four bits from 0 on (those of columns j and j + 16 share a
/// byte) behind a scale and, in a header of four bytes, an offset; without one it is -8 times the scale.
static inline __attribute__((always_inline)) mt_block mt_load_four_bits(const char *p, long stride, long header) {
  mt_float8 scale = mt_transpose_halves(p, stride);
  mt_float8 offset = header == 4 ? mt_transpose_halves(p + 2, stride) : scale * -8;
  mt_words words = mt_transpose_words(p + header, stride);
  return (mt_block){words, scale, offset};
}

/// Column `k` of a block of numbers of four bits. The product is exact, so the sum is rounded once either way.
static inline __attribute__((always_inline)) mt_float8 mt_column_of_four_bits(mt_block block, int k) {
  mt_word8 words[4] = {block.words.a, block.words.b, block.words.c, block.words.d};
  mt_word8 shifted = words[k / 4 % 4] >> (k % 4 * 8 + k / 16 * 4);
  mt_float8 numbers = __builtin_convertvector((mt_int8)(shifted & 15), mt_float8);
  return __builtin_elementwise_fma(numbers, block.scale, block.offset);
}

/// Columns of eight rows of blocks of four bits, the next one sixteen floats further.
static inline __attribute__((always_inline)) void mt_columns_of_four_bits(const void *p, long stride, long header,
                                                                        float *columns) {
  mt_block block = mt_load_four_bits((const char *)p, stride, header);
#pragma clang loop unroll(full)
  for (int k = 0; k < 32; ++k) {
    mt_float8 column = mt_column_of_four_bits(block, k);
    __builtin_memcpy(columns + 16 * k, &column, 32);
  }
}

/// The products of 32 rows of blocks of four bits, `stride` bytes apart, with an input row: 32 sums in the order of columns.
/// Asks for as many bytes at `next`.
static inline __attribute__((always_inline)) void mt_sums_of_four_bits(const void *p, long stride, long header, long blocks,
                                                                     const float *x, float *y, const char *next) {
  const char *rows = (const char *)p;
  mt_float8 sums[4] = {0, 0, 0, 0};
  for (long b = 0; b < blocks; ++b, rows += header + 16, x += 32) {
    for (long end = 0; end < 32 * (header + 16); end += 64) mt_prefetch(next + end);
    next += 32 * (header + 16);
    mt_block block[4];
    for (int g = 0; g < 4; ++g) block[g] = mt_load_four_bits(rows + 8 * g * stride, stride, header);
#pragma clang loop unroll(full)
    for (int k = 0; k < 32; ++k) {
      mt_float8 input = x[k];
      for (int g = 0; g < 4; ++g) {
        sums[g] = __builtin_elementwise_fma(mt_column_of_four_bits(block[g], k), input, sums[g]);
      }
    }
  }
  __builtin_memcpy(y, sums, 128);
}

// Sums across vectors, a vector being four quarters of four elements. Three of these in a row add up the elements of
// sixteen vectors; Swift's own shuffles of halves become hundreds of scalar instructions.

/// In each quarter: a0 + a2, b0 + b2, a1 + a3, b1 + b3.
static inline __attribute__((always_inline)) mt_float16 mt_add_within_pair(mt_float16 a, mt_float16 b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
         __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}

/// In each quarter: a0 + a2, a1 + a3, b0 + b2, b1 + b3.
static inline __attribute__((always_inline)) mt_float16 mt_add_halves_of_quarters(mt_float16 a, mt_float16 b) {
  return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
         __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

/// The sums of quarters 0 and 1 of a, 2 and 3 of a, 0 and 1 of b, 2 and 3 of b.
static inline __attribute__((always_inline)) mt_float16 mt_add_quarters(mt_float16 a, mt_float16 b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

// Products of whole numbers of eight bits.

/// Sixty-four bytes.
static inline __attribute__((always_inline)) mt_byte64 mt_load_bytes(const void *p) {
  mt_byte64 bytes;
  __builtin_memcpy(&bytes, p, 64);
  return bytes;
}

/// The low half of each byte.
static inline __attribute__((always_inline)) mt_byte64 mt_low_halves(mt_byte64 bytes) { return bytes & 15; }

/// The high half of each byte.
static inline __attribute__((always_inline)) mt_byte64 mt_high_halves(mt_byte64 bytes) {
  mt_int16 shifted = (mt_int16)bytes >> 4;
  return (mt_byte64)shifted & 15;
}

/// Adds to each of sixteen sums the products of its four bytes of `a`, unsigned, with the four signed bytes at `p`.
static inline __attribute__((always_inline)) mt_int16 mt_add_byte_products(mt_int16 sums, mt_byte64 a, const void *p) {
#ifdef __AVX512VNNI__
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return (mt_int16)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)a, _mm512_set1_epi32(four));
#else
  // One byte of each sum at a time: shifts and products of whole vectors, on every target.
  int8_t four[4];
  __builtin_memcpy(four, p, 4);
  mt_int16 bytes = (mt_int16)a;
  for (int j = 0; j < 4; ++j) sums += (bytes >> (8 * j) & 255) * (int32_t)four[j];
  return sums;
#endif
}

#if defined(__AVX2__) && !defined(__AVX512VNNI__)
/// The halves of eight vectors, 32 bytes each: for each of eight rows the products with 32 signed bytes at `p`, added up.
static inline __attribute__((always_inline)) __m256i mt_half_block(const __m256i w[8], const int8_t *p, int bits) {
  __m256i sums = _mm256_setzero_si256(), low = sums, high = sums;
  for (int v = 0; v < 8; ++v) {
    int32_t four;
    __builtin_memcpy(&four, p + 4 * v, 4);
    __m256i x = _mm256_set1_epi32(four);
    if (bits == 4) {
      // Sixteen products of a number of four bits with one of eight: 16 * 15 * 127 is below 2^15.
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(w[v], x));
    } else {
      // Sixteen bits hold two products with a number of seven bits, so the eighth bit goes a way of its own.
      __m256i seven = _mm256_maddubs_epi16(_mm256_and_si256(w[v], _mm256_set1_epi8(127)), x);
      sums = _mm256_add_epi32(sums, _mm256_madd_epi16(seven, _mm256_set1_epi16(1)));
      __m256i eighth = _mm256_and_si256(_mm256_srli_epi16(w[v], 7), _mm256_set1_epi8(1));
      high = _mm256_add_epi16(high, _mm256_maddubs_epi16(eighth, x));
    }
  }
  if (bits == 4) return _mm256_madd_epi16(low, _mm256_set1_epi16(1));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(high, _mm256_set1_epi16(128)));
}
#endif

/// A block of sixteen rows by 32 columns, four columns of each row in each of `a` … `h`, times the 32 signed bytes at `p`
/// (a's columns first, e's from 16 on), added up in each row onto `start`. Elements have `bits` bits, 4 or 8.
static inline __attribute__((always_inline)) mt_int16 mt_block_products(int32_t start, mt_byte64 a, mt_byte64 b,
                                                                      mt_byte64 c, mt_byte64 d, mt_byte64 e,
                                                                      mt_byte64 f, mt_byte64 g, mt_byte64 h,
                                                                      const int8_t *p, long bits) {
  mt_byte64 w[8] = {a, b, c, d, e, f, g, h};
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
  __m256i halves[2][8], sums[2];
  for (int v = 0; v < 8; ++v) {
    __builtin_memcpy(&halves[0][v], &w[v], 32);
    __builtin_memcpy(&halves[1][v], (const char *)&w[v] + 32, 32);
  }
  for (int i = 0; i < 2; ++i) sums[i] = mt_half_block(halves[i], p, (int)bits);
  mt_int16 result;
  __builtin_memcpy(&result, sums, 64);
  return result + start;
#else
  // Two chains, since each product has to wait for the one before.
  mt_int16 low = start, high = 0;
  for (int v = 0; v < 4; ++v) {
    low = mt_add_byte_products(low, w[v], p + 4 * v);
    high = mt_add_byte_products(high, w[v + 4], p + 16 + 4 * v);
  }
  return low + high;
#endif
}

/// Sixteen whole numbers as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_integers(mt_int16 numbers) {
  return __builtin_convertvector(numbers, mt_float16);
}

/// Sixteen half-precision numbers as floats.
static inline __attribute__((always_inline)) mt_float16 mt_float_from_halves(const void *p) {
  mt_half16 halves;
  __builtin_memcpy(&halves, p, 32);
  return __builtin_convertvector(halves, mt_float16);
}

/// Rounds thirty-two floats, times `inverse` of at most 127, to signed bytes at `p`; returns their sum.
static inline __attribute__((always_inline)) int32_t mt_round_to_bytes(mt_float16 low, mt_float16 high, float inverse,
                                                                        void *p) {
  mt_float16 magic = 12582912;  // 1.5 * 2^23: its sum with a number is rounded to a whole one
  mt_int16 first = __builtin_convertvector((low * inverse + magic) - magic, mt_int16);
  mt_int16 second = __builtin_convertvector((high * inverse + magic) - magic, mt_int16);
  mt_char16 bytes = __builtin_convertvector(first, mt_char16);
  __builtin_memcpy(p, &bytes, 16);
  bytes = __builtin_convertvector(second, mt_char16);
  __builtin_memcpy((char *)p + 16, &bytes, 16);
  return __builtin_reduce_add(first + second);
}

/// The largest absolute value of thirty-two floats.
static inline __attribute__((always_inline)) float mt_largest_magnitude(mt_float16 low, mt_float16 high) {
  return __builtin_reduce_max(mt_larger(__builtin_elementwise_abs(low), __builtin_elementwise_abs(high)));
}

// Matrix registers (AMX): tiles 0 to 3 hold the sums of a product of 32 rows by 32 columns, the others its operands.

/// The bfloat16 numbers nearest to a vector's, as floats. NaN stays NaN.
static inline __attribute__((always_inline)) mt_float16 mt_round_to_bfloat16(mt_float16 x) {
  mt_int16 bits;
  __builtin_memcpy(&bits, &x, 64);
  bits = (bits + 0x8000) & (int32_t)0xffff0000;
  __builtin_memcpy(&x, &bits, 64);
  return x;
}

/// Writes two vectors of bfloat16 numbers to `p`, those of the first one in the low halves of words.
static inline __attribute__((always_inline)) void mt_store_upper_halves(mt_float16 low, mt_float16 high, float *p) {
  mt_word16 words, upper;
  __builtin_memcpy(&words, &low, 64);
  __builtin_memcpy(&upper, &high, 64);
  words = words >> 16 | (upper & 0xffff0000);
  __builtin_memcpy(p, &words, 64);
}

/// Two vectors as three registers' rows of bfloat16 numbers, `stride` floats apart, whose sum they are: the largest parts
/// first. Elements of the first vector are in the low halves of words.
static inline __attribute__((always_inline)) void mt_split(mt_float16 low, mt_float16 high, float *p, long stride) {
  mt_float16 first = mt_round_to_bfloat16(low), second = mt_round_to_bfloat16(high);
  mt_store_upper_halves(first, second, p);
  low -= first, high -= second;
  first = mt_round_to_bfloat16(low), second = mt_round_to_bfloat16(high);
  mt_store_upper_halves(first, second, p + stride);
  // What is left has no more bits.
  mt_store_upper_halves(low - first, high - second, p + 2 * stride);
}

#if defined(__AMX_BF16__)
#define MT_MATRIX_TILES 1

/// Asks the kernel for the registers, for all threads of the process; 0 if it agrees.
static inline long mt_request_tiles(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18); }

/// Gives the calling thread registers of sixteen rows of 64 bytes.
static inline void mt_begin_tiles(void) {
  static const struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
  _tile_loadconfig(&config);
}

/// Gives them back.
static inline void mt_end_tiles(void) { _tile_release(); }

static inline void mt_clear_tiles(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

/// Writes the sums to memory, rows `stride` floats apart.
static inline void mt_store_tiles(float *p, long stride) {
  _tile_stored(0, p, 4 * stride);
  _tile_stored(1, p + 16, 4 * stride);
  _tile_stored(2, p + 16 * stride, 4 * stride);
  _tile_stored(3, p + 16 * stride + 16, 4 * stride);
}

#define MT_LOAD_LEFT(half, part) _tile_loadd(4 + half, a + 256 * (3 * half + part), 64)
#define MT_LOAD_RIGHT(half, part) _tile_loadd(6 + half, b + 256 * (3 * half + part), 64)
#define MT_ADD_PRODUCT(left, right) _tile_dpbf16ps(2 * left + right, 4 + left, 6 + right)

/// Loads what `mt_multiply_tiles` starts with.
static inline void mt_load_tiles(const float *a, const float *b) {
  MT_LOAD_LEFT(0, 0);
  MT_LOAD_RIGHT(0, 2);
  MT_LOAD_LEFT(1, 0);
  MT_LOAD_RIGHT(1, 2);
}

/// Adds the products of 32 rows with 32 columns, 32 elements of each: for both halves of each operand three registers, the
/// parts of `mt_split`. Small products come first, and each needs one new pair of registers, which are loaded as soon as
/// they are free: at the end those that the next step starts with, `ahead` floats further.
static inline void mt_multiply_tiles(const float *a, const float *b, long ahead) {
  // Parts 1 and 3, counted from 1.
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(1, 0);
  MT_LOAD_RIGHT(0, 1);
  MT_ADD_PRODUCT(0, 1);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_RIGHT(1, 1);
  // 1 and 2.
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(1, 0);
  MT_ADD_PRODUCT(0, 1);
  MT_LOAD_LEFT(0, 1);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_LEFT(1, 1);
  // 2 and 2.
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(0, 1);
  MT_ADD_PRODUCT(1, 0);
  MT_LOAD_RIGHT(0, 0);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_RIGHT(1, 0);
  // 2 and 1.
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(1, 0);
  MT_ADD_PRODUCT(0, 1);
  MT_LOAD_LEFT(0, 2);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_LEFT(1, 2);
  // 3 and 1.
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(0, 1);
  MT_LOAD_LEFT(0, 0);
  MT_ADD_PRODUCT(1, 0);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_LEFT(1, 0);
  // 1 and 1.
  a += ahead;
  b += ahead;
  MT_ADD_PRODUCT(0, 0);
  MT_ADD_PRODUCT(0, 1);
  MT_LOAD_LEFT(0, 0);
  MT_ADD_PRODUCT(1, 0);
  MT_LOAD_RIGHT(0, 2);
  MT_ADD_PRODUCT(1, 1);
  MT_LOAD_LEFT(1, 0);
  MT_LOAD_RIGHT(1, 2);
}
#undef MT_LOAD_LEFT
#undef MT_LOAD_RIGHT
#undef MT_ADD_PRODUCT
#else
#define MT_MATRIX_TILES 0
static inline long mt_request_tiles(void) { return -1; }
static inline void mt_begin_tiles(void) {}
static inline void mt_end_tiles(void) {}
static inline void mt_clear_tiles(void) {}
static inline void mt_store_tiles(float *p, long stride) {}
static inline void mt_load_tiles(const float *a, const float *b) {}
static inline void mt_multiply_tiles(const float *a, const float *b, long ahead) {}
#endif

/// CRC-32C (Castagnoli) of `count` bytes after others whose CRC is `crc`, 0 for none: an instruction where there is one.
static inline uint32_t mt_crc32c(uint32_t crc, const void *p, long count) {
  const unsigned char *byte = (const unsigned char *)p;
  uint64_t state = (uint32_t)~crc;
#if defined(__SSE4_2__) && defined(__x86_64__)
  for (; count >= 8; byte += 8, count -= 8) {
    uint64_t word;
    __builtin_memcpy(&word, byte, 8);
    state = __builtin_ia32_crc32di(state, word);
  }
  for (; count > 0; ++byte, --count) state = __builtin_ia32_crc32qi((uint32_t)state, *byte);
#else
  for (; count > 0; ++byte, --count) {
    state ^= *byte;
    for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (state & 1 ? 0x82f63b78u : 0);
  }
#endif
  return ~(uint32_t)state;
}
