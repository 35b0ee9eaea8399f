/* validate_options.h: the command line of `leat validate`, known to leat (which prints the help and runs the helper)
 * and to the helper leat-validate itself. */
#ifndef LEAT_VALIDATE_OPTIONS_H
#define LEAT_VALIDATE_OPTIONS_H

#include "hosted/hosted.h"

typedef struct validate_values {
    const char *model, *lib, *text, *ids, *isa;
    int32_t n_max, n_threads;
    float nmse_max;
    bool no_pin;
} validate_values;

static const tools_option validate_options[] = {
    TOOLS_MODEL(validate_values, model),
    TOOLS_STR(validate_values, lib, 0, "lib", "DIR",
              "the folder of libllama and its libraries (default: " VALIDATE_LIB_DEFAULT ")"),
    TOOLS_STR(validate_values, text, 'f', "file", "FILE", "the text to compare on (default: a paragraph of its own)"),
    TOOLS_STR(validate_values, ids, 0, "ids", "IDS", "a file of token ids instead of text"),
    TOOLS_INT(validate_values, n_max, 'n', "tokens", "N", 1, 65536, "compare the logits of the first N tokens ({})"),
    TOOLS_FLOAT(validate_values, nmse_max, 0, "nmse", "X", 0, 1, "the normalised squared error allowed ({})"),
    TOOLS_THREADS(validate_values, n_threads, no_pin),
    TOOLS_ISA(validate_values, isa),
};

static void validate_defaults(void *values) {
    validate_values *v = values;
    v->n_max = 128;
    v->nmse_max = 0.01f;
}

#define VALIDATE_SUMMARY "Compare a file's tokens and logits with a live libllama"
#define VALIDATE_USAGE "FILE [--lib DIR] [options]"
#define VALIDATE_NOTES                                                                                                 \
    "Runs the same tokens through leat and through libllama, and tells how far apart the logits are: NMSE is the "     \
    "squared error divided by the variance of libllama's logits, KL the mean Kullback-Leibler divergence of the next-" \
    "token distributions. Two programs never agree to the bit: 8-bit activations alone are worth an NMSE of 1e-4. "    \
    "Exit status 0 means equal tokens and an NMSE within the limit, 1 that they differ.\n\n"                           \
    "`npm install @node-llama-cpp/linux-x64` puts a libllama where --lib looks by default. A file without a "         \
    "tokenizer is compared on arbitrary ids."

#define VALIDATE_COMMAND(run_)                                                                                         \
    {.name = "validate", .summary = VALIDATE_SUMMARY, .usage = VALIDATE_USAGE, .notes = VALIDATE_NOTES,                \
     .options = validate_options, .n_options = COUNT_OF(validate_options), .values_bytes = sizeof(validate_values),    \
     .defaults = validate_defaults, .run = run_}

#endif
