#!/usr/bin/env bash
# openai.sh LEAT MODEL WORK: npm's openai as a client of `leat serve`: list, chat, stream, completions, abort, errors. Needs npm; where
# there is none, nothing is tested and the suite passes.
set -u
leat=$(realpath "$1") model=$(realpath "$2") work=$3
mkdir -p "$work"
if ! command -v npm > /dev/null; then
    echo "skip openai: there is no npm"
    echo "0 passed, 0 failed"
    exit 0
fi
cd "$work" || exit 1
[ -d node_modules/openai ] || npm install --silent --no-save --prefix . openai > npm.log 2>&1 || {
    cat npm.log
    echo "0 passed, 1 failed"
    exit 1
}
cat > client.mjs << 'EOF'
import OpenAI from "openai";
let passed = 0, failed = 0;
const check = (ok, what, seen) => { if (ok) passed++; else { failed++; console.log("FAIL", what, JSON.stringify(seen)); } };
const client = new OpenAI({ baseURL: process.argv[2], apiKey: "secret", maxRetries: 0 });
const messages = [{ role: "user", content: "What is 2+2?" }];
const sum = "The sum of 2 and 2 is 4.";

const models = await client.models.list();
check(models.data.length === 1 && models.data[0].id === "sample", "list", models);
const model = models.data[0].id;
check((await client.models.retrieve(model)).id === model, "retrieve");

const chat = await client.chat.completions.create({ model, messages, temperature: 0, max_completion_tokens: 40 });
check(chat.choices[0].message.content === sum && chat.choices[0].finish_reason === "stop", "chat", chat);
check(chat.usage.total_tokens === chat.usage.prompt_tokens + chat.usage.completion_tokens, "usage", chat.usage);

let text = "", usage;
for await (const part of await client.chat.completions.create(
    { model, messages, temperature: 0, stream: true, stream_options: { include_usage: true } })) {
    text += part.choices[0]?.delta?.content ?? "";
    usage = part.usage ?? usage;
}
check(text === sum && usage.completion_tokens > 0, "stream", [text, usage]);

const runner = client.chat.completions.stream({ model, messages, temperature: 0 });
check((await runner.finalContent()) === sum, "the library's own stream");

const probs = await client.chat.completions.create(
    { model, messages, temperature: 0, max_tokens: 3, logprobs: true, top_logprobs: 2, n: 2, stop: ["zzz"] });
check(probs.choices.length === 2 && probs.choices[1].logprobs.content.length === 3 &&
      probs.choices[1].logprobs.content[0].top_logprobs.length === 2, "logprobs", probs);

const plain = await client.completions.create({ model, prompt: "What is 2+2?", temperature: 0, max_tokens: 40, logprobs: 1 });
check(plain.choices[0].text === sum && plain.choices[0].logprobs.tokens.length > 3, "completions", plain);
text = "";
for await (const part of await client.completions.create({ model, prompt: "What is 2+2?", temperature: 0, max_tokens: 40, stream: true }))
    text += part.choices[0].text;
check(text === sum, "completions as a stream", text);

let parts = 0;
const long = await client.completions.create({ model, prompt: "a", max_tokens: 100000, stream: true, ignore_eos: true });
for await (const part of long) if (++parts === 5) break;
long.controller.abort();
const again = await client.chat.completions.create({ model, messages, temperature: 0 }, { timeout: 120000 });
check(parts === 5 && again.choices[0].message.content === sum, "after an abort", again);

const fails = async (what, status, code, call) => {
    try { check(false, what, await call()); } catch (e) { check(e.status === status && (!code || e.code === code), what, e); }
};
await fails("unknown model", 404, "model_not_found", () => client.chat.completions.create({ model: "gpt-5", messages }));
await fails("too long", 400, "context_length_exceeded", () => client.completions.create({ model, prompt: "a b ".repeat(9000) }));
await fails("bad field", 400, null, () => client.completions.create({ model, prompt: "a", temperature: -1 }));
await fails("wrong key", 401, "invalid_api_key", () => new OpenAI({ baseURL: process.argv[2], apiKey: "wrong", maxRetries: 0 }).models.list());
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
EOF
"$leat" serve "$model" --port 0 --api-key secret 2> server.txt &
pid=$!
until grep -q context server.txt || ! kill -0 $pid; do sleep 0.05; done
node client.mjs "$(grep -o 'http://[0-9.:]*' server.txt)/v1"
status=$?
kill $pid
wait $pid || status=1
exit $status
