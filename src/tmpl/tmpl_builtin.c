/* tmpl_builtin.c: templates by name, for models whose file has none or one that cannot be rendered. A row says what
 * stands around a message of each role; the Jinja text is put together from it. The names are those that llama.cpp's
 * --chat-template takes. They write turns only: no tools, and no BOS, which the tokenizer adds. Content may be a text
 * or a list of parts.
 */
#include "tmpl/tmpl.h"

/* Rows end with a line end, fields with a tab (none holds an apostrophe; \n stands for itself in Jinja's strings):
 *   name, kind, what stands first of all, and then by kind
 *   * turns  before the role, behind it, behind the text, what begins an answer: all roles are alike
 *   + turns  the same, of texts without white space around them
 *   r roles  before and behind system, user, assistant; what begins an answer
 *   t roles  the same, of texts without white space around them
 *   i inst   the same with what opens an exchange in the last place, where nothing begins an answer
 *   j inst   the same, and only what the assistant said loses the white space around it
 *   g        gemma: a system message goes into the first message of the user */
static const char rows[] =
    "chatml\t*\t\t<|im_start|>\t\\n\t<|im_end|>\\n\t<|im_start|>assistant\\n\n"
    "llama2\ti\t\t<<SYS>>\\n\t\\n<</SYS>>\\n\\n\t\t [/INST]\t\t</s>\t[INST] \n"
    "llama3\t+\t\t<|start_header_id|>\t<|end_header_id|>\\n\\n\t<|eot_id|>\t"
    "<|start_header_id|>assistant<|end_header_id|>\\n\\n\n"
    "llama4\t+\t\t<|header_start|>\t<|header_end|>\\n\\n\t<|eot|>\t<|header_start|>assistant<|header_end|>\\n\\n\n"
    "mistral-v1\ti\t\t\t\\n\\n\t\t [/INST]\t \t</s>\t [INST] \n"
    "mistral-v3\tj\t\t\t\\n\\n\t\t[/INST]\t \t</s>\t[INST] \n"
    "mistral-v3-tekken\ti\t\t\t\\n\\n\t\t[/INST]\t\t</s>\t[INST]\n"
    "mistral-v7\tr\t\t[SYSTEM_PROMPT] \t[/SYSTEM_PROMPT]\t[INST] \t[/INST]\t \t</s>\t\n"
    "mistral-v7-tekken\tr\t\t[SYSTEM_PROMPT]\t[/SYSTEM_PROMPT]\t[INST]\t[/INST]\t\t</s>\t\n"
    "phi3\t*\t\t<|\t|>\\n\t<|end|>\\n\t<|assistant|>\\n\n"
    "phi4\t*\t\t<|im_start|>\t<|im_sep|>\t<|im_end|>\t<|im_start|>assistant<|im_sep|>\n"
    "gemma\tg\t\n"
    "zephyr\t*\t\t<|\t|>\\n\t<|endoftext|>\\n\t<|assistant|>\\n\n"
    "falcon3\t*\t\t<|\t|>\\n\t\\n\t<|assistant|>\\n\n"
    "chatglm4\t*\t[gMASK]<sop>\t<|\t|>\\n\t\t<|assistant|>\\n\n"
    "glmedge\t*\t\t<|\t|>\\n\t\t<|assistant|>\n"
    "openchat\tr\t\t\t<|end_of_turn|>\tGPT4 Correct User: \t<|end_of_turn|>\t"
    "GPT4 Correct Assistant: \t<|end_of_turn|>\tGPT4 Correct Assistant:\n"
    "vicuna\tr\t\t\t\\n\\n\tUSER: \t\\n\tASSISTANT: \t</s>\\n\tASSISTANT:\n"
    "vicuna-orca\tr\t\tSYSTEM: \t\\n\tUSER: \t\\n\tASSISTANT: \t</s>\\n\tASSISTANT:\n"
    "deepseek\tr\t\t\t\t### Instruction:\\n\t\\n\t### Response:\\n\t\\n<|EOT|>\\n\t### Response:\\n\n"
    "deepseek2\tr\t\t\t\\n\\n\tUser: \t\\n\\n\tAssistant: \t<｜end▁of▁sentence｜>\tAssistant:\n"
    "deepseek3\tr\t\t\t\\n\\n\t<｜User｜>\t\t<｜Assistant｜>\t<｜end▁of▁sentence｜>\t<｜Assistant｜>\n"
    "command-r\tt\t\t<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>\t<|END_OF_TURN_TOKEN|>\t"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>\t<|END_OF_TURN_TOKEN|>\t"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>\t<|END_OF_TURN_TOKEN|>\t"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>\n"
    "granite\t*\t\t<|start_of_role|>\t<|end_of_role|>\t<|end_of_text|>\\n\t<|start_of_role|>assistant<|end_of_role|>\n"
    "exaone3\tt\t\t[|system|]\t[|endofturn|]\\n\t[|user|]\t\\n\t[|assistant|]\t[|endofturn|]\\n\t[|assistant|]\n"
    "rwkv-world\tt\t\tSystem: \t\\n\\n\tUser: \t\\n\\n\tAssistant: \t\\n\\n\tAssistant:\n"
    "gpt-oss\tr\t\t<|start|>system<|message|>\t<|end|>\t<|start|>user<|message|>\t<|end|>\t"
    "<|start|>assistant<|channel|>final<|message|>\t<|return|>\t<|start|>assistant\n"
    "kimi-k2\tr\t\t<|im_system|>system<|im_middle|>\t<|im_end|>\t<|im_user|>user<|im_middle|>\t<|im_end|>\t"
    "<|im_assistant|>assistant<|im_middle|>\t<|im_end|>\t<|im_assistant|>assistant<|im_middle|>\n"
    "seed_oss\t*\t\t<seed:bos>\t\\n\t<seed:eos>\t<seed:bos>assistant\\n\n";

/* Two texts that are in templates of a kind (the second may be empty), and the row for it; the first line that fits
 * counts. */
static const char marks[] =
    "<|im_start|>\t<|im_sep|>\tphi4\n"
    "<|im_start|>\t\tchatml\n"
    "[INST]\t[SYSTEM_PROMPT]\tmistral-v7\n"
    "[INST]\t[AVAILABLE_TOOLS]\tmistral-v3\n"
    "[INST]\t\tllama2\n"
    "[gMASK]<sop>\t\tchatglm4\n"
    "<|start|>\t<|channel|>\tgpt-oss\n"
    "<|assistant|>\t<|end|>\tphi3\n"
    "<|assistant|>\t<|user|>\tfalcon3\n"
    "<|user|>\t<|endoftext|>\tzephyr\n"
    "<start_of_turn>\t\tgemma\n"
    "GPT4 Correct \t\topenchat\n"
    "USER: \tSYSTEM: \tvicuna-orca\n"
    "USER: \tASSISTANT:\tvicuna\n"
    "### Instruction:\t<|EOT|>\tdeepseek\n"
    "<|START_OF_TURN_TOKEN|>\t<|USER_TOKEN|>\tcommand-r\n"
    "<|start_header_id|>\t\tllama3\n"
    "<|header_start|>\t\tllama4\n"
    "<｜Assistant｜>\t<｜User｜>\tdeepseek3\n"
    "Assistant: \tend▁of▁sentence\tdeepseek2\n"
    "[|system|]\t[|endofturn|]\texaone3\n"
    "<|start_of_role|>\t\tgranite\n"
    "<|im_assistant|>\t\tkimi-k2\n"
    "<seed:bos>\t\tseed_oss\n";

enum { FIELDS_MAX = 10 };

/* The next line of a table, cut into fields (what it has not is empty); false at the end. */
static bool next_row(str *table, str fields[FIELDS_MAX]) {
    for (size_t i = 0; i < FIELDS_MAX; i++) fields[i] = STR("");
    if (!table->len) return false;
    size_t end = str_find(*table, STR("\n"));
    str row = str_cut(*table, 0, end);
    *table = str_cut(*table, end + 1, table->len);
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        size_t tab = MIN(str_find(row, STR("\t")), row.len);
        fields[i] = str_cut(row, 0, tab);
        row = str_cut(row, tab + 1, row.len);
    }
    return true;
}

str tmpl_builtin_name(size_t i) {
    str table = STR(rows), fields[FIELDS_MAX];
    while (next_row(&table, fields))
        if (i-- == 0) break;
    return fields[0];
}

str tmpl_builtin_like(str source) {
    str table = STR(marks), fields[FIELDS_MAX];
    while (next_row(&table, fields))
        if (str_find(source, fields[0]) != SIZE_MAX && str_find(source, fields[1]) != SIZE_MAX) break;
    return fields[2];
}

/* For "%.*s". */
#define S(s) (int)(s).len, (s).ptr

size_t tmpl_builtin(str name, char *to, size_t cap) {
    static const char head[] =
        "%.*s{%%- macro text(m) -%%}{%% if m.content is string %%}{{ m.content }}{%% else %%}"
        "{%% for p in m.content or [] %%}{{ p.text }}{%% endfor %%}{%% endif %%}{%%- endmacro -%%}"
        "{%%- set ns = namespace(inside=false, system='') -%%}{%%- for m in messages -%%}";
    static const char gemma[] =
        "{%- if m.role == 'system' -%}{%- set ns.system = ns.system ~ text(m)|trim -%}{%- else -%}"
        "{{ '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) ~ '\\n' }}"
        "{%- if ns.system and m.role != 'assistant' -%}{{ ns.system ~ '\\n\\n' }}{%- set ns.system = '' -%}"
        "{%- endif -%}{{ text(m)|trim ~ '<end_of_turn>\\n' }}{%- endif -%}";
    str table = STR(rows), f[FIELDS_MAX], begin = STR("<start_of_turn>model\\n");
    bool found = false;
    while (!found && next_row(&table, f)) found = str_eq(f[0], name);
    if (!found) return 0;
    int kind = f[1].ptr[0];
    const char *trim = kind == '+' || kind == 't' ? "|trim" : "", *trim_answer = kind == 'j' ? "|trim" : trim;
    size_t n = fmt(to, cap, head, S(f[2]));
    const str *p = &f[3];
    if (kind == 'i' || kind == 'j')
        n += fmt(to + n, cap - n, "{%%- if not ns.inside and m.role != 'assistant' -%%}{{ '%.*s' }}{%%- endif -%%}"
                                  "{%%- set ns.inside = m.role != 'assistant' -%%}", S(p[6]));
    if (kind == 'g') {
        n += fmt(to + n, cap - n, "%s", gemma);
    } else if (kind == '*' || kind == '+') {
        n += fmt(to + n, cap - n, "{{ '%.*s' ~ m.role ~ '%.*s' ~ text(m)%s ~ '%.*s' }}", S(p[0]), S(p[1]), trim,
                 S(p[2]));
        begin = p[3];
    } else {
        n += fmt(to + n, cap - n,
                 "{%%- if m.role == 'system' -%%}{{ '%.*s' ~ text(m)%s ~ '%.*s' }}{%%- elif m.role == "
                 "'assistant' -%%}{{ '%.*s' ~ text(m)%s ~ '%.*s' }}{%%- else -%%}{{ '%.*s' ~ text(m)%s ~ '%.*s' "
                 "}}{%%- endif -%%}",
                 S(p[0]), trim, S(p[1]), S(p[4]), trim_answer, S(p[5]), S(p[2]), trim, S(p[3]));
        begin = kind == 'i' || kind == 'j' ? STR("") : p[6];
    }
    return n + fmt(to + n, cap - n, "{%%- endfor -%%}{%%- if add_generation_prompt -%%}{{ '%.*s' }}{%%- endif -%%}",
                   S(begin));
}
