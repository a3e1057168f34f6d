// What one thread of WebAssembly can do on this machine: multiply-adds in registers, reads from memory.
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

#ifdef __wasm_relaxed_simd__
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

// As a product of 8 rows and 4 pixels does: 8 sums, 4 factors that stay, 2 loads; with a product that is not yet added
// they fill the 15 registers that V8 has to give. Loads take none of the arithmetic units.
enum { FACTORS = 4, LOADED = 2, LANES = 4, OPERATIONS = 2, LINES = 64, LOADS = 8 };

double EXPORT(operations_per_call)(void) { return LINES * FACTORS * LOADED * LANES * OPERATIONS; }

float EXPORT(multiply_add)(const v128_t *loaded, uint32_t calls) {
    v128_t sum[LOADED][FACTORS], factor[FACTORS];
    for (int f = 0; f < FACTORS; f++) factor[f] = wasm_f32x4_splat((float)(f + 1));
    for (int l = 0; l < LOADED; l++)
        for (int f = 0; f < FACTORS; f++) sum[l][f] = wasm_f32x4_const_splat(0);
    for (uint32_t call = 0; call < calls; call++) {
        for (const v128_t *at = loaded; at != loaded + LINES * LOADED; at += LOADED) {
#pragma clang loop unroll(full)
            for (int l = 0; l < LOADED; l++) {
                v128_t x = wasm_v128_load(at + l);
#pragma clang loop unroll(full)
                for (int f = 0; f < FACTORS; f++) sum[l][f] = MULTIPLY_ADD(x, factor[f], sum[l][f]);
            }
        }
        // Or the compiler reads once for all calls.
        __asm__ volatile("" ::: "memory");
    }
    v128_t all = wasm_f32x4_const_splat(0);
    for (int l = 0; l < LOADED; l++)
        for (int f = 0; f < FACTORS; f++) all = wasm_f32x4_add(all, sum[l][f]);
    return wasm_f32x4_extract_lane(all, 0);
}

// The same without loads, and without an addition that waits for its multiplication: 7 chains of each leave every chain
// the 3 cycles that a result takes, and fit V8's registers. Fused ones are one chain of 14.
enum { CHAINS = 7, UNROLLED = 4 };

double EXPORT(operations_per_chain_call)(void) {
#ifdef __wasm_relaxed_simd__
    return UNROLLED * 2 * CHAINS * LANES * OPERATIONS;
#else
    return UNROLLED * CHAINS * LANES * OPERATIONS;
#endif
}

float EXPORT(multiply_add_chains)(uint32_t calls, float factor) {
    v128_t product[CHAINS], sum[CHAINS], term = wasm_f32x4_splat(factor);
    for (int i = 0; i < CHAINS; i++) product[i] = sum[i] = wasm_f32x4_splat((float)i);
    for (uint32_t call = 0; call < calls; call++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < UNROLLED * CHAINS; i++) {
            const int chain = i % CHAINS;
#ifdef __wasm_relaxed_simd__
            product[chain] = wasm_f32x4_relaxed_madd(product[chain], term, term);
            sum[chain] = wasm_f32x4_relaxed_madd(sum[chain], term, term);
#else
            product[chain] = wasm_f32x4_mul(product[chain], term);
            sum[chain] = wasm_f32x4_add(sum[chain], term);
#endif
            // Or the compiler adds once for all turns.
            __asm__ volatile("" : "+r"(product[chain]), "+r"(sum[chain]));
        }
    }
    for (int i = 0; i < CHAINS; i++) sum[0] = wasm_f32x4_add(sum[0], wasm_f32x4_add(product[i], sum[i]));
    return wasm_f32x4_extract_lane(sum[0], 0);
}

// Reads so many bytes from the page's memory, a multiple of 128, and again.
int32_t EXPORT(read)(const v128_t *memory, uint32_t bytes, uint32_t times) {
    v128_t sum[LOADS];
    for (int i = 0; i < LOADS; i++) sum[i] = wasm_i32x4_const_splat(0);
    const v128_t *end = memory + bytes / sizeof(v128_t);
    for (uint32_t time = 0; time < times; time++) {
        for (const v128_t *at = memory; at != end; at += LOADS) {
#pragma clang loop unroll(full)
            for (int i = 0; i < LOADS; i++) sum[i] = wasm_v128_xor(sum[i], at[i]);
        }
        __asm__ volatile("" ::: "memory");
    }
    for (int i = 1; i < LOADS; i++) sum[0] = wasm_v128_xor(sum[0], sum[i]);
    return wasm_i32x4_extract_lane(sum[0], 0);
}
