/* test_half_x86_64.c: conversions between float and half, against the processor's own; NaNs included.
 */
#include "base/base.h"
#include "check.h"

#include <immintrin.h>

__attribute__((target("f16c"))) static float hardware_f32(uint16_t h) { return _cvtsh_ss(h); }
__attribute__((target("f16c"))) static uint16_t hardware_f16(float f) {
    return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT);
}

static void check_f16(uint32_t bits) {
    float f = f32_of_bits(bits);
    uint16_t got = f16_of_f32(f), want = hardware_f16(f);
    if (got != want) test_fail(__FILE__, __LINE__, "%a (%08x) gives %04x, wanted %04x", f, bits, got, want);
}

TEST(f16_widens_as_the_processor) {
    if (!__builtin_cpu_supports("avx2")) test_skip("no F16C here (it came with AVX2 at the latest)");
    for (uint32_t h = 0; h <= 0xFFFF; h++)
        CHECK_EQ(bits_of_f32(f32_of_f16((uint16_t)h)), bits_of_f32(hardware_f32((uint16_t)h)));
}

TEST(f16_rounds_as_the_processor) {
    if (!__builtin_cpu_supports("avx2")) test_skip("no F16C here (it came with AVX2 at the latest)");
    /* All points halfway between two halves, and their neighbours. */
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        uint32_t bits = bits_of_f32(f32_of_f16((uint16_t)h));
        float next = f32_of_f16((uint16_t)(h + 1));
        uint32_t middle = bits_of_f32((f32_of_bits(bits) + next) / 2);
        for (uint32_t near = 0; near < 3; near++) {
            check_f16(bits + near - 1);
            check_f16(middle + near - 1);
        }
    }
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1021) check_f16((uint32_t)bits);
}
