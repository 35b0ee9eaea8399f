/* tok_pre_tables.c: the pre-tokenizers by name, as data for tok_pre.c.
 *
 * Names and rules are llama.cpp's, as of release v0.5.0. Where it replaced a model's own expression by a simpler one
 * (all letter categories by \p{L}, case by ASCII case), this is the simpler one: tokens must agree.
 * To add one: a row in tok_pres, new rules or sets only where none fit, then take the reference tokens again
 * (tests/data/tok/README.md).
 */
#include "tok/tok_pre_int.h"

/* ---- sets ------------------------------------------------------------------------------------------- */

#define BIT(c) (1ull << ((c) & 63))
#define SPACE_LO (BIT(' ') | BIT('\t') | BIT('\n') | BIT('\v') | BIT('\f') | BIT('\r'))
#define CRLF_LO (BIT('\r') | BIT('\n'))
#define DIGIT_LO 0x03FF000000000000ull
#define LOWER_HI 0x07FFFFFE00000000ull
#define UPPER_HI 0x0000000007FFFFFEull
#define ALPHA_HI (LOWER_HI | UPPER_HI)
#define SYMBOL_LO (BIT('$') | BIT('+') | BIT('<') | BIT('=') | BIT('>'))
#define SYMBOL_HI (BIT('^') | BIT('`') | BIT('|') | BIT('~'))
#define MARKS_LO 0xFC00FFFE00000000ull /* all of !-/ and :-? */
#define MARKS_HI 0x78000001F8000001ull /* @ and [-` and {-~  */
#define ALL (~0ull)

#define L (1u << UNI_LETTER)
#define N (1u << UNI_NUMBER)
#define M (1u << UNI_MARK)
#define P (1u << UNI_PUNCT)
#define S (1u << UNI_SYMBOL)
#define Z (1u << UNI_SPACE)
#define ANY ((1u << UNI_CLASSES) - 1)

#define SET(name, low, high, ...) static const pre_set name = {.ascii = {low, high}, __VA_ARGS__}

const pre_set tok_pre_space = {.ascii = {SPACE_LO, 0}, .classes = Z};   /* \s    */
const pre_set tok_pre_letter = {.ascii = {0, ALPHA_HI}, .classes = L};  /* \p{L} */
const pre_set tok_pre_number = {.ascii = {DIGIT_LO, 0}, .classes = N};  /* \p{N} */
const pre_set tok_pre_mark = {.ascii = {0, 0}, .classes = M};           /* \p{M} */

SET(blank, BIT(' '), 0, .classes = 0);                              /* one space */
SET(crlf, CRLF_LO, 0, .classes = 0);                                /* [\r\n] */
SET(crlf_slash, CRLF_LO | BIT('/'), 0, .classes = 0);               /* [\r\n/] */
SET(newline, BIT('\n'), 0, .classes = 0);                           /* \n */
SET(not_newline, ~BIT('\n'), ALL, .classes = ANY);                  /* [^\n] */
SET(not_space, ~SPACE_LO, ALL, .classes = ANY & ~Z);                /* \S */
SET(digit, DIGIT_LO, 0, .classes = 0);                              /* [0-9] */
SET(alpha, 0, ALPHA_HI, .classes = 0);                              /* [A-Za-z] */
SET(ascii_mark, MARKS_LO, MARKS_HI, .classes = 0);                  /* [!-/:-@\[-`{-~] */
SET(letter_mark, 0, ALPHA_HI, .classes = L | M);                    /* [\p{L}\p{M}] */
SET(punct, MARKS_LO & ~SYMBOL_LO, MARKS_HI & ~SYMBOL_HI, .classes = P);            /* \p{P} */
SET(punct_symbol, MARKS_LO, MARKS_HI, .classes = P | S);                           /* [\p{P}\p{S}] */
SET(punct_ascii_symbol, MARKS_LO, MARKS_HI, .classes = P);                         /* [\p{P}$+<=>^~|`] */
SET(punct_no_tick, MARKS_LO, MARKS_HI & ~BIT('`'), .classes = P);                  /* [\p{P}$+<=>^~|] */
SET(before_word, ~(CRLF_LO | DIGIT_LO), ~ALPHA_HI, .classes = ANY & ~(L | N));     /* [^\r\n\p{L}\p{N}] */
SET(before_word_2, ~(CRLF_LO | MARKS_LO), ~(ALPHA_HI | MARKS_HI), .classes = ANY & ~(L | P | S)); /* [^\r\n\p{L}\p{P}\p{S}] */
SET(other, ~(SPACE_LO | DIGIT_LO), ~ALPHA_HI, .classes = ANY & ~(Z | L | N));      /* [^\s\p{L}\p{N}] */
SET(other_no_mark, ~(SPACE_LO | DIGIT_LO), ~ALPHA_HI, .classes = ANY & ~(Z | L | M | N)); /* [^\s\p{L}\p{M}\p{N}] */

/* Letters that are no ASCII small letter, letters that are no ASCII capital; the same with marks. */
SET(capital, 0, UPPER_HI, .classes = L);
SET(small, 0, LOWER_HI, .classes = L);
SET(capital_mark, 0, UPPER_HI, .classes = L | M);
SET(small_mark, 0, LOWER_HI, .classes = L | M);

static const pre_range han_ranges[] = {
    {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2EBEF}, {0x2F800, 0x2FA1F}, {0, 0}};
SET(han, 0, 0, .ranges = han_ranges);
SET(letter_not_han, 0, ALPHA_HI, .classes = L, .except = true, .ranges = han_ranges);

static const pre_range kana_ranges[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}, {0, 0}};
SET(kana_han, 0, 0, .ranges = kana_ranges);

static const pre_range east_ranges[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}, {0, 0}};
SET(east, 0, 0, .ranges = east_ranges);

/* Scripts that write no spaces: Thai, Lao, Myanmar, Hangul, Khmer, radicals, kana, Han (from U+4E00 without a gap). */
static const pre_range asian_ranges[] = {{0xE40, 0xEFF},   {0x1000, 0x109F}, {0x1100, 0x11FF}, {0x1780, 0x17FF}, {0x2F00, 0x2FDF},
                                         {0x3040, 0x30FF}, {0x3400, 0x4DBF}, {0x4E00, 0xFAFF}, {0xFF65, 0xFF9F}, {0, 0}};
SET(asian, 0, 0, .ranges = asian_ranges);

static const pre_range hangul_ranges[] = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}, {0, 0}};
SET(hangul, 0, 0, .ranges = hangul_ranges);
static const pre_range bopomofo_ranges[] = {{0x3105, 0x312F}, {0, 0}};
SET(bopomofo, 0, 0, .ranges = bopomofo_ranges);
static const pre_range cjk_punct_ranges[] = {{0x2014, 0x2014}, {0x2018, 0x2019}, {0x201C, 0x201D}, {0x2026, 0x2026}, {0x3001, 0x303F},
                                             {0xFE30, 0xFE4F}, {0xFF01, 0xFF01}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}, {0, 0}};
SET(cjk_punct, 0, 0, .ranges = cjk_punct_ranges);
static const pre_range wide_punct_ranges[] = {{0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}, {0, 0}};
SET(wide_punct, 0xFC00FFFE00000000ull, 0x7FFFFFFFFFFFFFFFull, .ranges = wide_punct_ranges); /* !-/ and :-~, letters too */

/* [^(\s|.,!?...)]: what ends no clause. */
static const pre_range stop_ranges[] = {{0x60C, 0x60C},   {0x6D4, 0x6D4},   {0x964, 0x964}, {0x2026, 0x2026},
                                        {0x3001, 0x3002}, {0xFF0C, 0xFF0C}, {0, 0}};
SET(clause, ~(SPACE_LO | BIT('(') | BIT(')') | BIT('.') | BIT(',') | BIT('!') | BIT('?')), ~BIT('|'), .classes = ANY & ~Z,
    .except = true, .ranges = stop_ranges);

/* Cased letters: Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, Deseret, Osage, Old Hungarian, Warang Citi, Adlam. */
static const pre_range cased_ranges[] = {
    {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},
    {0x388, 0x38A},     {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},
    {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},
    {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},   {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},   {0x2145, 0x2149},   {0x214E, 0x214E},
    {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},
    {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}, {0, 0}};
SET(cased, 0, ALPHA_HI, .ranges = cased_ranges);

#undef L
#undef N
#undef M
#undef P
#undef S
#undef Z

/* ---- rules ------------------------------------------------------------------------------------------ */

#define RUN(...) {.kind = RULE_RUN, __VA_ARGS__}
#define END {.kind = RULE_END}
#define SUFFIX_LOW {.kind = RULE_SUFFIX, .suffix = SUFFIX_LOWER}    /* 's|'t|'re|'ve|'m|'ll|'d */
#define SUFFIX_ANY {.kind = RULE_SUFFIX, .suffix = SUFFIX_ANY_CASE} /* (?i:'s|'t|'re|'ve|'m|'ll|'d) */
#define WORD RUN(.lead = &before_word, .body = &tok_pre_letter)         /* [^\r\n\p{L}\p{N}]?\p{L}+ */
#define NUMBER(n) RUN(.body = &tok_pre_number, .max = n)                /* \p{N}{1,n} */
#define OTHER RUN(.lead = &blank, .body = &other, .tail = &crlf)    /*  ?[^\s\p{L}\p{N}]+[\r\n]* */
#define OTHER_SLASH RUN(.lead = &blank, .body = &other, .tail = &crlf_slash) /*  ?[^\s\p{L}\p{N}]+[\r\n/]* */
/* \s*[\r\n]+|\s+(?!\S)|\s+ */
#define SPACES {.kind = RULE_NEWLINES}, {.kind = RULE_TRAILING}, RUN(.body = &tok_pre_space)

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static const pre_rule gpt2_rules[] = {SUFFIX_LOW,
                                      RUN(.lead = &blank, .body = &tok_pre_letter),
                                      RUN(.lead = &blank, .body = &tok_pre_number),
                                      RUN(.lead = &blank, .body = &other),
                                      {.kind = RULE_TRAILING},
                                      RUN(.body = &tok_pre_space),
                                      END};
static const pre_rule llama3_rules[] = {SUFFIX_ANY, WORD, NUMBER(3), OTHER, SPACES, END};
static const pre_rule qwen2_rules[] = {SUFFIX_ANY, WORD, NUMBER(1), OTHER, SPACES, END};
static const pre_rule minicpm5_rules[] = {SUFFIX_ANY, WORD, NUMBER(0), OTHER, SPACES, END};
static const pre_rule ufakzeka_rules[] = {WORD, NUMBER(1), OTHER, SPACES, END};
static const pre_rule seed_coder_rules[] = {SUFFIX_ANY, WORD, NUMBER(1), RUN(.lead = &blank, .body = &other), SPACES, END};
static const pre_rule qwen35_rules[] = {SUFFIX_ANY,
                                        RUN(.lead = &before_word, .body = &letter_mark),
                                        NUMBER(1),
                                        RUN(.lead = &blank, .body = &other_no_mark, .tail = &crlf),
                                        SPACES,
                                        END};
static const pre_rule jais2_rules[] = {
    SUFFIX_ANY, WORD, NUMBER(3), OTHER, {.kind = RULE_NEWLINES}, {.kind = RULE_HALVES}, END};
/* ... [^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ ...  ?[^\s\p{L}\p{N}]+[\r\n/]? ... */
static const pre_rule exaone_moe_rules[] = {SUFFIX_ANY,
                                            {.kind = RULE_PHRASE, .lead = &before_word},
                                            NUMBER(1),
                                            RUN(.lead = &blank, .body = &other, .tail = &crlf_slash, .tail_max = 1),
                                            SPACES,
                                            END};

/* Words cut where small letters end, in ASCII; other letters have no case here. */
#define CASED(upper, lower, after)                                                                                 \
    {.kind = RULE_CASED, .lead = &before_word, .body = &upper, .tail = &lower, .suffix = after},                   \
        RUN(.lead = &before_word, .body = &upper, .tail = &lower, .suffix = after)
static const pre_rule tekken_rules[] = {CASED(capital, small, SUFFIX_NONE), NUMBER(1), OTHER_SLASH, SPACES, END};
static const pre_rule gpt4o_rules[] = {CASED(capital, small, SUFFIX_ANY_CASE), NUMBER(3), OTHER_SLASH, SPACES, END};
static const pre_rule granite_rules[] = {CASED(capital_mark, small_mark, SUFFIX_ANY_CASE), NUMBER(3), OTHER_SLASH, SPACES, END};

/* [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?i:'s|...)? */
#define MARKED_WORD RUN(.lead = &before_word, .body = &letter_mark, .suffix = SUFFIX_ANY_CASE)
static const pre_rule tiny_aya_rules[] = {MARKED_WORD, NUMBER(3), OTHER_SLASH, SPACES, END};
static const pre_rule youtu_rules[] = {MARKED_WORD, NUMBER(1), OTHER_SLASH, SPACES, END};
static const pre_rule youtu_script_rules[] = {
    RUN(.body = &hangul), RUN(.body = &cjk_punct), RUN(.body = &bopomofo), RUN(.body = &kana_han), END};
static const pre_rule kimi_rules[] = {
    RUN(.body = &han),
    RUN(.lead = &before_word, .body = &letter_not_han, .suffix = SUFFIX_ANY_CASE),
    NUMBER(3), OTHER, SPACES, END};

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ */
#define PATH_WORD                                                                                                  \
    RUN(.lead = &ascii_mark, .lead_needed = true, .body = &alpha), RUN(.lead = &before_word_2, .body = &letter_mark)
static const pre_rule deepseek3_rules[] = {PATH_WORD, RUN(.lead = &blank, .body = &punct_symbol, .tail = &crlf), SPACES, END};
static const pre_rule spark_rules[] = {PATH_WORD,
                                       RUN(.lead = &blank, .body = &punct_symbol),
                                       RUN(.body = &crlf, .max = 1),
                                       {.kind = RULE_TRAILING},
                                       RUN(.body = &tok_pre_space),
                                       END};

static const pre_rule digit_rules[] = {NUMBER(1), END};                                 /* \p{N} */
static const pre_rule three_digit_rules[] = {NUMBER(3), END};                           /* \p{N}{1,3} */
static const pre_rule digits_rules[] = {NUMBER(0), END};                                /* \p{N}+ */
static const pre_rule ascii_threes_rules[] = {RUN(.body = &digit, .min = 3, .max = 3), END}; /* [0-9][0-9][0-9] */
static const pre_rule line_rules[] = {RUN(.body = &not_newline), RUN(.body = &newline), END}; /* [^\n]+|[\n]+ */
static const pre_rule line_end_rules[] = {RUN(.body = &crlf, .max = 1), END};           /* [\r\n] */
static const pre_rule kana_han_rules[] = {RUN(.body = &kana_han), END};
static const pre_rule east_rules[] = {RUN(.body = &east), END};
static const pre_rule asian_rules[] = {RUN(.body = &asian), END};
static const pre_rule cased_rules[] = {RUN(.lead = &tok_pre_space, .body = &cased), END};
static const pre_rule wide_punct_rules[] = {RUN(.lead = &tok_pre_space, .body = &wide_punct), END};
static const pre_rule space_letter_rules[] = {RUN(.lead = &tok_pre_space, .body = &tok_pre_letter), END}; /* \s?\p{L}+ */
static const pre_rule space_punct_rules[] = {RUN(.lead = &tok_pre_space, .body = &punct), END};       /* \s?\p{P}+ */
static const pre_rule clause_rules[] = {RUN(.lead = &blank, .body = &clause), END};
static const pre_rule falcon_punct_rules[] = {RUN(.body = &punct_ascii_symbol), END};
static const pre_rule default_punct_rules[] = {RUN(.body = &punct_no_tick), END};
static const pre_rule one_punct_rules[] = {RUN(.body = &punct_ascii_symbol, .max = 1), END}; /* [\p{P}!-/:-@\[-`{-~] */
static const pre_rule sentinel_rules[] = {{.kind = RULE_SENTINEL}, END};
static const pre_rule image_rules[] = {{.kind = RULE_IMAGE}, END};
static const pre_rule indent_rules[] = {{.kind = RULE_INDENT}, END};
static const pre_rule not_space_rules[] = {RUN(.body = &not_space), END}; /* \S+ */

/* ---- passes ----------------------------------------------------------------------------------------- */

#define BY(name) {PASS_RULES, name##_rules}
#define CUT(kind) {kind, NULL}
#define PASSES(name, ...) static const pre_pass name[] = {__VA_ARGS__, {PASS_END, NULL}}

PASSES(afmoe, CUT(PASS_DIGITS), BY(asian), BY(deepseek3));
PASSES(bloom, BY(clause));
PASSES(chameleon, BY(sentinel), BY(image), BY(indent), BY(digit), BY(one_punct), BY(gpt2));
PASSES(deepseek3, BY(three_digit), BY(kana_han), BY(deepseek3));
PASSES(deepseek_coder, BY(line_end), BY(space_letter), BY(space_punct), BY(east), BY(digit));
PASSES(deepseek_llm, BY(line_end), BY(cased), BY(wide_punct), CUT(PASS_END_SPACE), BY(east), BY(digits));
PASSES(default_, BY(default_punct), BY(gpt2), BY(digits), BY(ascii_threes));
PASSES(exaone_moe, BY(exaone_moe));
PASSES(falcon, BY(falcon_punct), BY(gpt2), BY(ascii_threes));
PASSES(gpt2, BY(gpt2));
PASSES(gpt4o, BY(gpt4o));
PASSES(granite, BY(granite));
PASSES(jais2, BY(jais2));
PASSES(kimi, BY(kimi));
PASSES(laguna, BY(line), BY(qwen2));
PASSES(lines, BY(line));
PASSES(llama3, BY(llama3));
PASSES(minicpm5, BY(three_digit), BY(minicpm5));
PASSES(qwen2, BY(qwen2));
PASSES(qwen35, BY(qwen35));
PASSES(seed_coder, BY(seed_coder));
PASSES(spark, BY(three_digit), BY(kana_han), BY(spark), BY(digit));
PASSES(starcoder, BY(digit), BY(gpt2));
PASSES(superbpe, BY(digits), CUT(PASS_THOUSANDS));
PASSES(tekken, BY(tekken));
PASSES(tiny_aya, CUT(PASS_DIGITS), BY(tiny_aya));
PASSES(ufakzeka, BY(ufakzeka));
PASSES(viking, BY(clause), BY(digit));
PASSES(words, BY(not_space));
PASSES(youtu, BY(youtu_script), BY(youtu));

#define KEEP PRE_KEEP_SPACES
#define WHOLE PRE_WHOLE_WORDS
#define LLAMA3_FLAGS (PRE_WHOLE_WORDS | PRE_ADD_BOS)
#define GEMMA4_FLAGS (PRE_UTF8 | PRE_BLANKS | PRE_WHOLE_NEWLINES | PRE_FORCE_BOS)

const struct tok_pre tok_pres[] = {
    {"default", default_, 0},
    {"a.x-4.0", gpt2, 0},
    {"afmoe", afmoe, KEEP},
    {"bailingmoe", qwen2, KEEP},
    {"bailingmoe2", qwen2, KEEP},
    {"bloom", bloom, 0},
    {"chameleon", chameleon, KEEP | PRE_ADD_BOS},
    {"chatglm-bpe", llama3, PRE_NO_BOS},
    {"codeshell", starcoder, 0},
    {"cohere2moe", tiny_aya, KEEP},
    {"command-r", starcoder, KEEP},
    {"dbrx", llama3, 0},
    {"deepseek-coder", deepseek_coder, KEEP},
    {"deepseek-llm", deepseek_llm, KEEP},
    {"deepseek-r1-qwen", qwen2, KEEP},
    {"deepseek-v3", deepseek3, KEEP},
    {"exaone", starcoder, 0},
    {"exaone-moe", exaone_moe, 0},
    {"exaone4", gpt2, 0},
    {"f2llmv2", qwen2, KEEP},
    {"falcon", falcon, 0},
    {"falcon-h1", llama3, LLAMA3_FLAGS},
    {"falcon3", llama3, LLAMA3_FLAGS},
    {"gemma4", lines, GEMMA4_FLAGS},
    {"gigachat", gpt2, 0},
    {"glm4", llama3, PRE_NO_BOS},
    {"gpt-2", gpt2, 0},
    {"gpt-4o", gpt4o, KEEP},
    {"gpt3-finnish", bloom, 0},
    {"granite-docling", gpt2, KEEP},
    {"granite-embed-multi-311m", lines, GEMMA4_FLAGS},
    {"granite-embed-multi-97m", granite, KEEP | WHOLE},
    {"grok-2", qwen2, KEEP},
    {"hunyuan", qwen2, KEEP},
    {"hunyuan-dense", deepseek3, KEEP},
    {"hy_v4", deepseek3, KEEP},
    {"jais", gpt2, 0},
    {"jais-2", jais2, 0},
    {"jina-de", gpt2, 0},
    {"jina-es", gpt2, 0},
    {"jina-v1-en", gpt2, 0},
    {"jina-v2-code", gpt2, 0},
    {"jina-v2-de", gpt2, 0},
    {"jina-v2-es", gpt2, 0},
    {"jina-v5-nano", llama3, LLAMA3_FLAGS},
    {"joyai-llm", deepseek3, KEEP},
    {"kanana2", gpt4o, KEEP},
    {"kimi-k2", kimi, KEEP | PRE_MERGES_OPTIONAL},
    {"kormo", qwen2, KEEP},
    {"laguna", laguna, KEEP},
    {"lfm2", llama3, LLAMA3_FLAGS},
    {"llada-moe", qwen2, KEEP},
    {"llama-bpe", llama3, LLAMA3_FLAGS},
    {"llama-v3", llama3, LLAMA3_FLAGS},
    {"llama3", llama3, LLAMA3_FLAGS},
    {"llama4", gpt4o, KEEP},
    {"megrez", qwen2, 0},
    {"mellum", gpt2, 0},
    {"mellum2", starcoder, 0},
    {"midm-2.0", llama3, LLAMA3_FLAGS},
    {"minerva-7b", starcoder, 0},
    {"minicpm5", minicpm5, WHOLE},
    {"minimax-m2", gpt4o, KEEP},
    {"modern-bert", gpt2, 0},
    {"mpt", gpt2, 0},
    {"olmo", gpt2, 0},
    {"phi-2", gpt2, 0},
    {"pixtral", llama3, LLAMA3_FLAGS},
    {"poro-chat", bloom, KEEP},
    {"qwen2", qwen2, KEEP},
    {"qwen35", qwen35, KEEP},
    {"refact", starcoder, 0},
    {"roberta-bpe", gpt2, 0},
    {"sarvam-moe", lines, PRE_UTF8 | PRE_BLANKS | KEEP},
    {"seed-coder", seed_coder, KEEP},
    {"smaug-bpe", llama3, 0},
    {"smollm", starcoder, KEEP},
    {"solar-open", qwen2, KEEP},
    {"spark2_5", spark, KEEP},
    {"stablelm2", qwen2, 0},
    {"starcoder", starcoder, 0},
    {"superbpe", superbpe, KEEP},
    {"talkie", gpt4o, KEEP},
    {"tekken", tekken, KEEP | LLAMA3_FLAGS},
    {"tiny_aya", tiny_aya, KEEP},
    {"trillion", gpt2, KEEP},
    {"ufakzeka", ufakzeka, KEEP},
    {"viking", viking, KEEP},
    {"whitespace", words, PRE_UTF8 | PRE_DROP_SPACES},
    {"youtu", youtu, KEEP | WHOLE},
};
const size_t tok_pre_count = COUNT_OF(tok_pres);
