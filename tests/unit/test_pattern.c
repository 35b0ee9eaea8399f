/* test_pattern.c: the patterns that choose tensor types by name. */
#include "check.h"
#include "tools/pattern.h"

#include <string.h>

static bool finds(const char *text, const char *name) {
    static pattern p;
    err e;
    CHECK_MSG(pattern_compile(&p, str_of(text), &e) == ERR_NONE, "%s: %s", text, e.text);
    return pattern_finds(&p, str_of(name));
}

TEST(pattern_finds) {
    static const struct {
        const char *text, *yes, *no; /* names that it must find and must not, parted by spaces */
    } cases[] = {
        {"attn_v", "blk.0.attn_v.weight attn_v", "blk.0.attn_k.weight attn"},
        {"blk\\.(1|2)\\.ffn_down", "blk.1.ffn_down.weight blk.2.ffn_down.weight",
         "blk.12.ffn_down.weight blk.3.ffn_down.weight"},
        {"\\.([0-9]|1[0-9])\\.", "blk.7.x blk.19.x", "blk.20.x blk.119.x"},
        {"blk\\.[0-9]+\\.ffn_(up|gate)_exps", "blk.31.ffn_up_exps.weight blk.0.ffn_gate_exps.weight",
         "blk.1.ffn_down_exps.weight"},
        {"blk\\.\\d{2}\\.", "blk.10.x blk.99.y", "blk.1.x blk.100.x"},
        {"\\.\\d{1,2}\\.", ".1. .12.", ".123. .."},
        {"a{2,}b", "aab aaaab", "ab"},
        {"^xa{0,2}b", "xb xab xaab", "xaaab"},
        {"a{0}b$", "b ab", "ba"},
        {"^output", "output.weight", "attn_output.weight"},
        {"\\.weight$", "a.weight", "a.weight_scale"},
        {"^$", "", "a"},
        {"a.c", "abc a.c", "ac"},
        {"ATTN_Q", "blk.0.attn_q.weight", "blk.0.attn_k.weight"},
        {"attn_[^qk]\\.", "attn_v.x attn_o.x", "attn_q.x attn_k.x"},
        {"[]a]b", "]b ab", "cb"},
        {"[a\\]]b", "]b ab", "[b"},
        {"x[a-c\\d-]y", "xby x5y x-y", "xdy x.y"},
        {"x[\\w.]*y", "xy xa_9.by", "xa-by"},
        {"\\W", "a-b a.b", "ab_9"},
        {"(ab)+c", "abc xababc", "ac ab"},
        {"^(ab|cd)*e$", "e abe cdabe", "abcd ace"},
        {"^(a*)*b", "b aaab", "ac"},
        {"^(a|b|)c$", "c ac bc", "abc"},
        {"(?:q|k)_norm", "attn_q_norm attn_k_norm", "attn_norm"},
        {"a|b|c", "xbx c", "d"},
        {"^a+?b", "aab", "b"},
        {"((((a))))", "a", "b"},
        {"\\$\\^\\(\\)\\*", "$^()*", "$^()"},
    };
    for (size_t c = 0; c < COUNT_OF(cases); c++)
        for (int side = 0; side < 2; side++) {
            char names[256];
            snprintf(names, sizeof names, "%s", side ? cases[c].no : cases[c].yes);
            for (char *name = names, *end; name; name = end) {
                end = strchr(name, ' ');
                if (end) *end++ = 0;
                CHECK_MSG(finds(cases[c].text, name) == !side, "%s in '%s': wanted %s", cases[c].text, name,
                          side ? "nothing" : "a find");
            }
        }
}

TEST(pattern_refuses) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "0 bytes"},
        {"(a", "( at character 1"},
        {"a)", ") at character 2"},
        {"[a", "[ at character 1"},
        {"*a", "nothing to repeat"},
        {"a|*", "nothing to repeat"},
        {"(+)", "nothing to repeat"},
        {"a\\", "means nothing"},
        {"\\b", "\\b at character 2"},
        {"\\1", "\\1 at character 2"},
        {"(?=a)", "only (?: is known"},
        {"[z-a]", "runs backwards"},
        {"a{3,1}", "runs backwards"},
        {"a{", "wants counts"},
        {"a{101}", "wants counts"},
        {"a{2", "not closed"},
        {"((((((((((((((((((a))))))))))))))))))", "deeper than"},
        {"[\\q]", "\\q"},
        {"a**", "nothing to repeat"},
        {"((a{100}){100}){100}", "more than 512 steps"},
        {"[a][b][c][d][e][f][g][h][i][j][k][l][m][n][o][p][q]", "more than 16 sets"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static pattern p;
        err e = {0};
        CHECK_MSG(pattern_compile(&p, str_of(cases[i].text), &e) == ERR_ARGUMENT, "%s is taken", cases[i].text);
        CHECK_MSG(strstr(e.text, cases[i].says), "%s: '%s', wanted '%s'", cases[i].text, e.text, cases[i].says);
    }
    char large[300];
    memset(large, 'a', sizeof large);
    static pattern p;
    CHECK(pattern_compile(&p, (str){large, sizeof large}, NULL) == ERR_ARGUMENT);
}

/* Any bytes: no crash, no endless loop. */
TEST(pattern_any_bytes) {
    static const char alphabet[] = "ab.*+?{}[]()|^$\\-,0129dwW:";
    rng dice;
    rng_seed(&dice, 7);
    static pattern p;
    int taken = 0;
    for (int i = 0; i < 20000; i++) {
        char text[24], name[12];
        size_t len = 1 + (size_t)(rng_u64(&dice) % (sizeof text - 1)),
               name_len = (size_t)(rng_u64(&dice) % sizeof name);
        for (size_t k = 0; k < len; k++) text[k] = alphabet[rng_u64(&dice) % (sizeof alphabet - 1)];
        for (size_t k = 0; k < name_len; k++) name[k] = (char)rng_u64(&dice);
        if (pattern_compile(&p, (str){text, len}, NULL)) continue;
        taken++;
        pattern_finds(&p, (str){name, name_len});
    }
    CHECK(taken > 500);
}
