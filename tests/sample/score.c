/* score.c: asks a model the questions of a file, greedily, and counts the exact answers.
 *     sample-score [--isa LEVEL] [--first N] [--answers FILE] MODEL QUESTIONS
 * --first asks that many; --answers writes question and answer, parted by a tab, instead of showing what was wrong.
 * A line of QUESTIONS is how to ask (plain, or chat: in the template), what kind of question it is, the question and
 * the answer, parted by tabs. The last line of the output is `R of N right`, those before it count by kind.
 */
#include "leat.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 512, TOKENS_MAX = 256, ANSWER_TOKENS_MAX = 64, KINDS_MAX = 16 };

typedef struct score {
    leat_model *model;
    leat_session *session;
    leat_sampler *sampler;
    FILE *answers;
    char kinds[KINDS_MAX][32];
    int asked[KINDS_MAX], right[KINDS_MAX], n_kinds;
} score;

static leat_code answer(score *s, const char *prompt, char *text, size_t cap, leat_error *e) {
    int32_t ids[TOKENS_MAX];
    size_t n = 0, bytes = 0;
    leat_code code = leat_rewind(s->session, 0, e);
    if (!code) code = leat_tokenize(s->model, prompt, strlen(prompt), true, true, ids, TOKENS_MAX, &n, e);
    if (!code) code = leat_feed(s->session, ids, n < TOKENS_MAX ? n : TOKENS_MAX, LEAT_PROMPT, e);
    for (int i = 0; !code && i < ANSWER_TOKENS_MAX; i++) {
        int32_t id = leat_sample(s->sampler, leat_logits(s->session));
        if (leat_ends(s->model, id)) break;
        size_t got = leat_piece(s->model, id, false, text + bytes, cap - 1 - bytes);
        bytes = got < cap - 1 - bytes ? bytes + got : cap - 1;
        code = leat_feed(s->session, &id, 1, LEAT_GENERATED, e);
    }
    text[bytes] = 0;
    return code;
}

static void count(score *s, const char *kind, bool right) {
    int k = 0;
    while (k < s->n_kinds && strcmp(s->kinds[k], kind) != 0) k++;
    if (k == KINDS_MAX) k--; /* the rest counts as the last */
    if (k == s->n_kinds) snprintf(s->kinds[s->n_kinds++], sizeof s->kinds[0], "%s", kind);
    s->asked[k]++;
    s->right[k] += right;
}

/* Returns false for a line that is not one of the file's kind. */
static bool ask(score *s, char *line, leat_error *e) {
    char *part[4], prompt[LINE_MAX_BYTES + 64], text[LINE_MAX_BYTES];
    line[strcspn(line, "\r\n")] = 0;
    for (int i = 0; i < 4; i++) {
        part[i] = line;
        line += strcspn(line, "\t");
        if (i < 3 && *line == 0) return false;
        *line++ = 0;
    }
    bool chat = strcmp(part[0], "chat") == 0;
    snprintf(prompt, sizeof prompt, chat ? "<|user|>%s</s><|assistant|>" : "%s", part[2]);
    if (answer(s, prompt, text, sizeof text, e)) return true;
    bool right = strcmp(text, part[3]) == 0;
    count(s, part[1], right);
    if (s->answers) fprintf(s->answers, "%s\t%s\n", part[2], text);
    else if (!right) printf("%s: %s (wanted: %s)\n", part[2], text, part[3]);
    return true;
}

int main(int argc, char **argv) {
    score s = {0};
    leat_error e = {0};
    leat_session_options options = {.n_ctx = TOKENS_MAX + ANSWER_TOKENS_MAX, .n_threads = 1, .no_pin = true};
    leat_sampler_options greedy;
    leat_sampler_defaults(&greedy);
    greedy.temperature = 0;
    const char *path[2] = {NULL, NULL}, *answers = NULL;
    char line[LINE_MAX_BYTES];
    int n_paths = 0, first = -1, asked = 0, right = 0;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--isa") == 0) options.isa = argv[++i];
        else if (more && strcmp(argv[i], "--first") == 0) first = atoi(argv[++i]);
        else if (more && strcmp(argv[i], "--answers") == 0) answers = argv[++i];
        else if (n_paths < 2) path[n_paths++] = argv[i];
    }
    if (n_paths != 2) return fprintf(stderr, "usage: %s [options] MODEL QUESTIONS (see score.c)\n", argv[0]), 2;
    FILE *questions = fopen(path[1], "r");
    if (!questions || (answers && !(s.answers = fopen(answers, "w")))) return perror(questions ? answers : path[1]), 2;
    if (leat_model_open(&s.model, path[0], NULL, &e)) goto done;
    if (leat_session_open(&s.session, s.model, &options, &e)) goto done;
    if (leat_sampler_open(&s.sampler, s.model, &greedy, &e)) goto done;
    while (first-- != 0 && !e.code && fgets(line, sizeof line, questions))
        if (!ask(&s, line, &e)) {
            fprintf(stderr, "%s: not a line of four parts\n", path[1]);
            break;
        }
    for (int k = 0; k < s.n_kinds; k++) {
        printf("%s: %d of %d\n", s.kinds[k], s.right[k], s.asked[k]);
        asked += s.asked[k];
        right += s.right[k];
    }
    if (!e.code) printf("%d of %d right\n", right, asked);
done:
    if (e.code) fprintf(stderr, "%s\n", e.text);
    leat_sampler_close(s.sampler);
    leat_session_close(s.session);
    leat_model_close(s.model);
    if (s.answers) fclose(s.answers);
    fclose(questions);
    return e.code != LEAT_OK;
}
