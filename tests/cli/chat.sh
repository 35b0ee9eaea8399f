#!/usr/bin/env bash
# chat.sh LEAT PTY MODELS WORK [--keep]: `leat chat` on a terminal and in pipes. A script in chat/ is what is typed (see
# pty.c; its first line: columns, rows, model, options), the .screen beside it what is then on the terminal, without
# figures that differ from run to run; --keep writes those files. Ends with `N passed, N failed`.
set -u
leat=$1 pty=$2 models=$3 work=$4 keep=${5:-}
here=tests/cli/chat sample=sample/sample.gguf
rm -rf "$work" && mkdir -p "$work"
passed=0 failed=0
ok() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2"; fi; }
export XDG_STATE_HOME=$PWD/$work/state TERM=xterm
unset NO_COLOR
echo "What is leat?" > "$work/question"
yes "once upon a time there was a mill" | head -n 6000 > "$work/a long text"

for script in "$here"/*.script; do
    name=$(basename "$script" .script)
    rm -rf "$work/state"
    read -r _ columns rows model options < "$script"
    [ "$model" = sample ] && model=$sample || model=$models/$model.gguf
    # shellcheck disable=SC2086
    sed "s|WORK|$work|g; s|MODELS|$models|g" "$script" > "$work/$name.script"
    timeout 300 "$pty" "$columns" "$rows" "$work/$name.script" "$leat" chat "$model" --temp 0 -t 2 $options 2>&1 |
        sed -E "s/[0-9.]+ (tok\/s|s\b|ms)/N \1/g; s|$work|WORK|g; s|$models|MODELS|g; s/(threads, )[a-z0-9]+/\1ISA/" > "$work/$name.screen"
    [ -n "$keep" ] && cp "$work/$name.screen" "$here/$name.screen"
    difference=$(diff "$here/$name.screen" "$work/$name.screen")
    ok $? "chat/$name: expected (<) and seen (>)
$difference"
done

# Lines typed are kept for the user alone, with line ends written as \n.
printf '%s\n' 'first' 'of two\nlines' 'end\\' > "$work/history"
rm -rf "$work/state" && mkdir -p "$work/state/leat" && cp "$work/history" "$work/state/leat/chat_history"
printf '%s\n' 'wait /help' 'type \e[A\e[A' 'wait lines' 'type \x03' 'wait ^C' 'type /show\r' 'wait model' 'type \x04' \
    end > "$work/history.script"
"$pty" 72 20 "$work/history.script" "$leat" chat $sample > "$work/out"
ok $? "history: $(cat "$work/out")"
{ cat "$work/history"; echo /show; } | cmp -s - "$work/state/leat/chat_history"
ok $? "history holds: $(cat "$work/state/leat/chat_history")"
[ "$(stat -c %a "$work/state/leat/chat_history")" = 600 ]
ok $? "the history can be read by others"
# A line whose end is missing is one.
printf kept > "$work/state/leat/chat_history"
printf '%s\n' 'wait /help' 'type \e[A' 'wait kept' 'type \x03' 'wait ^C' 'type /show\r' 'wait model' 'type \x04' end > "$work/unended.script"
"$pty" 72 20 "$work/unended.script" "$leat" chat $sample > "$work/out"
ok $? "history without its end: $(cat "$work/out")"
printf 'kept\n/show\n' | cmp -s - "$work/state/leat/chat_history"
ok $? "history without its end holds: $(cat "$work/state/leat/chat_history")"

# Two chats at once, the first one's script a pipe: what the other wrote meanwhile stays. So does all after a large paste.
echo /clear >> "$work/history"
cp "$work/history" "$work/state/leat/chat_history"
mkfifo "$work/first.script"
"$pty" 72 20 "$work/first.script" "$leat" chat $sample > "$work/out" &
exec 3> "$work/first.script"
printf '%s\n' 'wait /help' screen >&3
until grep -q /help "$work/out" || ! kill -0 $! 2> /dev/null; do sleep 0.05; done
printf '%s\n' 'wait /help' 'type /show\r' 'wait model' 'type \x04' end > "$work/second.script"
"$pty" 72 20 "$work/second.script" "$leat" chat $sample > /dev/null
{
    printf '%s\n' 'type \e[200~/show x'
    for _ in {1..300}; do printf 'type %02400d\n' 0; done
    printf '%s\n' 'type \e[201~\r' 'wait model' 'type /set temp\r' 'wait temp ' 'type \x04' end
} >&3
exec 3>&-
wait $!
{ cat "$work/history"; echo /show; echo /set temp; } | cmp -s - "$work/state/leat/chat_history"
ok $? "history of two chats: $(cat "$work/out")"
# Another answer that cannot be computed leaves the one that there is.
{
    printf '%s\n' 'wait /help' 'type What is 2+2?\r' 'wait is 4.' 'wait generation' 'type /system '
    for _ in {1..20}; do echo 'type What is 2+2? '; done
    printf '%s\n' 'type \r' 'wait system:' 'type /regen\r' 'wait context holds' 'type /system none\r' 'wait no system' \
        'type /show prompt\r' 'wait is 4.</s>' 'type \x04' end
} > "$work/regen.script"
timeout 60 "$pty" 72 20 "$work/regen.script" "$leat" chat $sample --temp 0 -c 64 --no-history > "$work/out"
ok $? "regen: $(cat "$work/out")"
# NO_COLOR, and what a terminal would obey in the model's name.
printf '%s\n' 'wait /help' screen 'type \x04' end > "$work/plain.script"
NO_COLOR=1 "$pty" 72 4 "$work/plain.script" "$leat" chat $sample --no-history > "$work/out"
grep -q '^leat sample.*/help' "$work/out" && ! grep -q '{' "$work/out"
ok $? "NO_COLOR: $(cat "$work/out")"
# A terminal that only prints edits its lines itself: they are read whole, and nothing is written that it would obey.
printf '%s\n' 'wait >' 'type What is 2+2?\r' 'wait is 4.' 'wait generation' 'wait >' \
    'type What is 3+4?\\\r' 'type Say it.\r' 'wait is 7.' 'wait generation' 'wait >' 'type \x03' 'wait leaves' 'type /show\r' \
    'wait prompt' plain 'type \x04' end > "$work/dumb.script"
for term in dumb ""; do
    TERM=$term "$pty" 72 40 "$work/dumb.script" "$leat" chat $sample --temp 0 --no-history > "$work/out"
    [ "$(cat "$work/out")" = "status 0" ]
    ok $? "TERM='$term': $(cat "$work/out")"
done

# A conversation is saved over no model.
cp "$sample" "$work/own.gguf" && cp "$models/bpe.gguf" "$work/next.gguf"
printf '%s\n' 'wait /help' "type /save $work/own.gguf\r" 'wait is a file that is read' "type /model $work/next.gguf\r" 'wait tiny qwen3' \
    "type /save $work/next.gguf\r" 'wait is a file that is read' 'type \x04' end > "$work/own.script"
"$pty" 160 20 "$work/own.script" "$leat" chat "$work/own.gguf" > "$work/out"
ok $? "saved over a model: $(cat "$work/out")"
cmp "$sample" "$work/own.gguf" && cmp "$models/bpe.gguf" "$work/next.gguf"
ok $? "a model was written over"

# In a pipe: the answer and nothing else.
says() { # says WANTED ARGS...: standard input is the message
    local wanted=$1 got
    shift
    got=$("$leat" chat $sample --temp 0 -t 2 "$@" 2>&1)
    [ "$got" = "$wanted" ]
    ok $? "chat $*: '$got', wanted '$wanted'"
}
says "The sum of 2 and 2 is 4." <<< "What is 2+2?"
says "leat runs large language models from GGUF files." -p "What is leat?" < /dev/null
says "The difference of 4 and 7 is -3." --load "$work/saved" -p "Take 7 from that." < /dev/null
says "leat chat: the answer ended within its reasoning" --template $here/think.jinja -n 5 <<< "What is 2+2?"
says "leat chat: the message is empty" < /dev/null
says "leat chat: README.md is no saved conversation" --load README.md <<< "What is 2+2?"
got=$("$leat" chat $sample --temp 0 --isa scalar --load "$work/saved" -p "Take 7 from that." 2>&1)
[[ $got == *"other kernels than scalar"*"computed again"*"The difference of 4 and 7 is -3." ]] || [[ $("$leat" chat $sample \
    -p "/" -n 1 --isa avx2 2>&1) == *"does not run"* ]]
ok $? "a conversation of other kernels: $got"
# Guesses change nothing.
for seed in 1 2 3; do
    for n in 0 8 64; do
        "$leat" chat $sample --temp 0.7 -s $seed -t 2 -p "What is 2+2? What is 2+2?" --draft-max $n > "$work/guess-$n" 2>&1
    done
    cmp -s "$work/guess-0" "$work/guess-8" && cmp -s "$work/guess-0" "$work/guess-64"
    ok $? "guesses change the answer of seed $seed: $(cat "$work"/guess-*)"
done
[ "$("$leat" chat $sample --temp 0 -p "What is 2+2? Again" --draft $sample --draft-max 4 2>&1)" = \
    "$("$leat" chat $sample --temp 0 -p "What is 2+2? Again")" ]
ok $? "a smaller model's guesses change the answer"
[ "$("$leat" chat $sample --temp 0 -p "What is 2+2?")" = \
    "$("$leat" run $sample --temp 0 -q -p "<|user|>What is 2+2?</s><|assistant|>")" ]
ok $? "chat and run differ"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
