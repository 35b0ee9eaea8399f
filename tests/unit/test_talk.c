/* test_talk.c: the conversation of `leat chat`: what replaces it, and what it leaves behind. The rest is in
 * tests/cli/chat.sh.
 */
#include "check.h"
#include "gen/tiny.h"
#include "tools/chat.h"
#include "tools/tools_int.h"

#include <fcntl.h>
#include <unistd.h>

static chat *open_chat(void) {
    static tools t;
    err e;
    chat *c = calloc(1, sizeof *c);
    CHECK(c && (c->messages = calloc(CHAT_MESSAGES_MAX, sizeof *c->messages)));
    CHECK(!arena_open(&c->words, MEM_TOOLS, (size_t)1 << 30, &e) && !chat_talk_text_open(&c->system, &e));
    t.command = &tools_chat;
    c->t = &t;
    chat_talk_text_set(&c->system, STR("Be brief."));
    CHECK(chat_talk_add(c, false, STR("What is 2+2?"), (str){0}) && chat_talk_add(c, true, STR("4"), STR("2, 2")));
    return c;
}

static void close_chat(chat *c) {
    arena_close(&c->words);
    arena_close(&c->system.memory);
    free(c->messages);
    free(c);
}

static void check_kept(const chat *c, const char *after) {
    CHECK_MSG(c->n_messages == 2 && str_is(c->messages[0].content, "What is 2+2?") &&
                  str_is(c->messages[1].reasoning, "2, 2") && str_is((str){c->system.at, c->system.n}, "Be brief."),
              "%zu messages after %.60s", c->n_messages, after);
}

TEST(talk_is_kept_where_there_is_no_other) {
    static char many[CHAT_MESSAGES_MAX * 16 + 64];
    static const char *const bad[] = {
        "", "hello", "{}", "5", many, "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"b\"}]",
        "[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"b\"}]", "[5]"};
    size_t n = 0;
    err e;
    chat *c = open_chat();
    for (int i = 0; i <= CHAT_MESSAGES_MAX; i++) n += (size_t)sprintf(many + n, "%s{\"role\":\"user\"}", i ? "," : "[");
    strcpy(many + n, "]");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(chat_talk_messages_parse(c, str_of(bad[i]), &e) != ERR_NONE);
        check_kept(c, bad[i]);
    }
    strcpy(many + n - sizeof ",{\"role\":\"user\"}" + 1, "]"); /* as many as there may be */
    CHECK(chat_talk_messages_parse(c, str_of(many), &e) == ERR_NONE && c->n_messages == CHAT_MESSAGES_MAX);
    CHECK(!c->system.n);
    close_chat(c);
}

/* A file that the library wrote, with a note that is no conversation. */
TEST(talk_is_kept_after_another_file) {
    const char *path = test_path(0, "talk.gguf"), *file = test_path(1, "talk.saved");
    leat_error e;
    leat_model *m;
    leat_session *s;
    tiny_spec spec = tiny_default("llama");
    tiny_write(&spec, path);
    CHECK(!leat_model_open(&m, path, NULL, &e) && !leat_session_open(&s, m, NULL, &e));
    CHECK(!leat_session_save(s, file, "[]x", 3, &e));
    chat *c = open_chat();
    int said = open(test_path(2, "talk-stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600), saved = dup(2);
    CHECK(said >= 0 && saved >= 0 && dup2(said, 2) == 2);
    int status = chat_commands_load(c, file);
    CHECK(dup2(saved, 2) == 2 && !close(saved));
    char text[256] = "";
    CHECK(pread(said, text, sizeof text - 1, 0) > 0 && !close(said));
    CHECK_EQ(status, TOOLS_FAILED);
    CHECK_MSG(strstr(text, "holds no conversation"), "%s", text);
    check_kept(c, text);
    close_chat(c);
    leat_session_close(s);
    leat_model_close(m);
}

/* Old turns were dropped, as where the context is full: what is left lies behind their words. */
TEST(talk_gives_back_its_memory) {
    chat *c = open_chat();
    CHECK(chat_talk_add(c, false, STR("And 3+3?"), (str){0}));
    memmove(c->messages, c->messages + 2, sizeof *c->messages);
    c->n_messages = 1;
    chat_talk_clear(c);
    CHECK_EQ(arena_mark(&c->words), 0);
    close_chat(c);
}
