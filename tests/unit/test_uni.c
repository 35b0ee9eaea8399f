/* Unicode tables: some code points by hand, and all of them against the reference's tables. */
#include "check.h"
#include "uni/uni.h"

TEST(uni_classes) {
    static const struct { uint32_t cp; uni_class class; } some[] = {
        {'a', UNI_LETTER}, {'0', UNI_NUMBER}, {' ', UNI_SPACE}, {'\n', UNI_SPACE},
        {0, UNI_CONTROL}, {'!', UNI_PUNCT}, {'$', UNI_SYMBOL}, {'_', UNI_PUNCT},
        {0x85, UNI_SPACE}, {0xA0, UNI_SPACE}, {0x3000, UNI_SPACE}, {0x200B, UNI_CONTROL},
        {0x301, UNI_MARK}, {0x4E2D, UNI_LETTER}, {0xAC00, UNI_LETTER}, {0x2167, UNI_NUMBER},
        {0xBD, UNI_NUMBER}, {0x1F600, UNI_SYMBOL}, {0x378, UNI_UNASSIGNED}, {0xD800, UNI_CONTROL},
        {0xE000, UNI_CONTROL}, {0x20000, UNI_LETTER}, {0xFFFD, UNI_SYMBOL}, {0xFFFF, UNI_UNASSIGNED},
        {0x10FFFD, UNI_CONTROL}, {0x110000, UNI_UNASSIGNED}, {UINT32_MAX, UNI_UNASSIGNED}};
    for (size_t i = 0; i < COUNT_OF(some); i++)
        CHECK_MSG(uni_class_of(some[i].cp) == some[i].class, "U+%04X is %d", some[i].cp, uni_class_of(some[i].cp));
}

TEST(uni_lower_case_and_bases) {
    CHECK_EQ(uni_lower('Z'), 'z');
    CHECK_EQ(uni_lower('z'), 'z');
    CHECK_EQ(uni_lower('['), '[');
    CHECK_EQ(uni_lower(0xC9), 0xE9);
    CHECK_EQ(uni_lower(0x130), 'i');
    CHECK_EQ(uni_lower(0x212A), 'k');
    CHECK_EQ(uni_lower(0x10400), 0x10428);
    CHECK_EQ(uni_lower(0xDF), 0xDF);
    CHECK_EQ(uni_lower(UINT32_MAX), UINT32_MAX);
    CHECK_EQ(uni_base(0xE9), 'e');
    CHECK_EQ(uni_base(0x1EA5), 'a');
    CHECK_EQ(uni_base(0xAC01), 0x1100);
    CHECK_EQ(uni_base(0xF900), 0x8C48);
    CHECK_EQ(uni_base(0xFACF), 0x2284A);
    CHECK_EQ(uni_base(0x2F800), 0x4E3D);
    CHECK_EQ(uni_base('e'), 'e');
    CHECK_EQ(uni_base(UINT32_MAX), UINT32_MAX);
}

/* FNV-1a over class, lower case and base of every code point; the same sum comes from llama.cpp's unicode-data.cpp. */
TEST(uni_agrees_with_reference_everywhere) {
    uint32_t h = 0x811C9DC5u;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        h = (h ^ (uint32_t)uni_class_of(cp)) * 0x01000193u;
        h = (h ^ uni_lower(cp)) * 0x01000193u;
        h = (h ^ uni_base(cp)) * 0x01000193u;
    }
    CHECK_EQ(h, 0xB46228ABu);
}
