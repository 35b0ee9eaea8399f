#!/usr/bin/env bash
# cli.sh LEAT MODELS WORK: the commands as they are typed. LEAT is the program, MODELS the folder that tiny-models wrote, WORK
# a folder that may be overwritten. Ends with `N passed, N failed`.
set -u
export LC_ALL=C # patterns are matched with bytes
leat=$1 models=$2 work=$3
mkdir -p "$work"
out=$work/out err=$work/err
export XDG_STATE_HOME # what is kept between runs
XDG_STATE_HOME=$(cd "$work" && pwd)/state
rm -rf "$XDG_STATE_HOME"
. "$(dirname "$0")/check.sh"

demo=$models/demo.gguf bpe=$models/bpe.gguf bare=$models/ids.gguf parts=$models/parts-00001-of-00003.gguf
text="Once upon a time"

# ---- the program ------------------------------------------------------------------------------------

check version 0 '^leat [0-9]+\.[0-9]+\.[0-9]+ \([0-9a-f]+\)$' '' "$leat" --version
check help 0 '^usage: leat COMMAND' '' "$leat" --help
check no-command 2 '^usage: leat COMMAND' '' "$leat"
check unknown-command 2 '' "unknown command 'rnu'; did you mean 'run'" "$leat" rnu
check unknown-flag 2 '' "unknown command '--hepl'; did you mean '--help'" "$leat" --hepl
check nonsense 2 '' "unknown command 'xyzzyq'$" "$leat" xyzzyq
commands=$("$leat" --help | sed -n 's/^  \([a-z-]*\) .*/\1/p')
for c in $commands; do
    check "help-$c" 0 "^usage: leat $c " '' "$leat" "$c" --help
    check "help-of-$c" 0 "^usage: leat $c " '' "$leat" help "$c"
    check "no-file-$c" 2 '' 'is missing' "$leat" "$c"
    [ "$c" = cache-sim ] && continue # takes no model
    check "unknown-option-$c" 2 '' 'unknown option --mdoel; did you mean --model' "$leat" "$c" --mdoel x
    check "no-value-$c" 2 '' '-m wants a value: FILE' "$leat" "$c" -m
done
check help-full-disk 1 '*' 'standard output: no space left' sh -c '"$1" run --help > /dev/full' sh "$leat"
for c in run eval perplexity imatrix bench; do
    check "isa-$c" 2 '' "'mmx' is none of scalar" "$leat" $c --isa=mmx x
    check "threads-$c" 2 '' "-t: '0' is not a whole number from 1 to 256" "$leat" $c -t 0 x
done
for c in run chat serve eval perplexity imatrix quantize bench fingerprint validate; do
    check "no-pin-$c" 0 '^      --no-pin  ' '' "$leat" $c --help
done
check glued 2 '' "-c: '1x' is not a whole number" "$leat" run -c1x x
check flag-value 2 '' '--quiet takes no value' "$leat" run --quiet=1 x
check dashes 2 '' 'unknown option -temp; did you mean --temp' "$leat" run -temp 0 x
check extra 2 '' "what is 'b'" "$leat" run a b

check no-control-characters 1 '' '^leat run: \?\[31mred: no such file$' "$leat" run $'\e[31mred'

# ---- files that are none ------------------------------------------------------------------------------

: > "$work/empty.gguf"
head -c 2000 "$demo" > "$work/cut.gguf"
echo "no model" > "$work/text.gguf"
for c in "run -p x" "eval --ids $work/i --logits $work/l" "perplexity -f $work/text.gguf" "imatrix -f $work/text.gguf" bench; do
    for f in missing.gguf empty.gguf cut.gguf text.gguf; do
        check "$f-${c%% *}" 1 '' "^leat ${c%% *}: .*$f" "$leat" $c -m "$work/$f"
    done
    check "folder-${c%% *}" 1 '' "^leat ${c%% *}: .*${work##*/}/: not a regular file" "$leat" $c -m "$work/"
done

# ---- run ----------------------------------------------------------------------------------------------

# A seed, since two tokens drawn by chance can be no text at all; the tests that want another one say so after it.
run=("$leat" run -m "$demo" -s 3)
check run 0 . 'prompt [0-9.]+ tok/s, generation [0-9.]+ tok/s' "${run[@]}" -p "$text" -n 8
check run-loaded 0 . 'M parameters.*loaded in.*threads?.*context 512' "${run[@]}" -p "$text" -n 8
check run-quiet 0 . '' "${run[@]}" -p "$text" -n 8 -q
check run-verbose 0 "*" 'seed [0-9]+' "$leat" run -m "$demo" -p "$text" -n 8 -v
check run-none 0 '' 'generation 0.0 tok/s' "${run[@]}" -p "$text" -n 0
check run-bare 0 . '' "$leat" run -s 3 -q -n 2 -p "$text" "$demo"
check run-parts 0 . '' "$leat" run -s 3 -q -n 2 -p "$text" "$parts"
check run-template 0 . 'to talk with the model: leat chat' "$leat" run -s 3 -n 2 -p "$text" "$bpe"
check run-empty-bos 0 . '' "${run[@]}" -p "" -n 2 -q
check run-two-prompts 2 '' 'choose one' "${run[@]}" -p a -f b
check run-stop-empty 2 '' 'the string is empty' "${run[@]}" -p a --stop ""
check run-no-file 1 '' 'no-such-prompt: no such file' "${run[@]}" -q -f "$work/no-such-prompt"
check run-no-tokenizer 1 '' 'has no tokenizer: give the prompt as token ids' "$leat" run -q -p x "$bare"
check run-context 0 . 'stopped: the context of 16 tokens is full' "${run[@]}" -p "ab" -c 16 --ignore-eos
check run-long 1 '' 'the prompt has [0-9]+ tokens, the context holds 4' "${run[@]}" -q -p "$text" -c 4
check run-large-context 0 . 'warning: a context of 1000 is above the 512' "${run[@]}" -p a -c 1000 -n 2
check run-full-disk 1 '*' 'no space left' sh -c '"$@" > /dev/full' sh "${run[@]}" -q -p a -n 4
# The standard streams closed: a model or an output file must not take their numbers.
check run-stdin-closed 1 '' 'standard input: ' sh -c '"$@" <&-' sh "${run[@]}" -q
check run-stdout-closed 1 '' 'standard output: ' sh -c '"$@" >&-' sh "${run[@]}" -q -p a -n 4
check run-all-closed 1 '' '' sh -c '"$@" <&- >&- 2>&-' sh "${run[@]}" -p a -n 4
check eval-closed 0 '' '' sh -c 'echo 1 2 > "$3.ids"; "$1" eval -m "$2" --ids "$3.ids" --logits "$3.f32" >&- 2>&-' sh "$leat" "$bare" "$work/closed"
bytes_are eval-closed-bytes "$work/closed.f32" $((2 * 128 * 4))
check run-closed 0 . '' sh -c '"$@" | head -c 3' sh "${run[@]}" -q -p a --ignore-eos

for t in 1 2 5; do
    "${run[@]}" -q -p "$text" -n 48 --temp 0 -t $t > "$work/greedy-$t" 2> "$err"
    "${run[@]}" -q -p "$text" -n 48 -s 11 -t $t > "$work/seed-$t" 2> "$err"
done
same run-greedy-threads "$work"/greedy-[125]
same run-seed-threads "$work"/seed-[125]
"${run[@]}" -q -p "$text" -n 48 -s 12 > "$work/seed-other" 2> "$err"
if cmp -s "$work/seed-1" "$work/seed-other"; then fail run-seed-matters "two seeds, one text"; else pass; fi
printf '%s\n' "$text" > "$work/prompt"
"${run[@]}" -q -f "$work/prompt" -n 48 --temp 0 > "$work/greedy-file" 2> "$err"
"${run[@]}" -q -n 48 --temp 0 < "$work/prompt" > "$work/greedy-stdin" 2> "$err"
"${run[@]}" -q -n 48 --temp 0 -f - < "$work/prompt" > "$work/greedy-dash" 2> "$err"
"${run[@]}" -q -n 48 --temp 0 -p "$text" --no-mmap > "$work/greedy-resident" 2> "$err"
same run-sources "$work"/greedy-{1,file,stdin,dash,resident}
# A stop string from the middle of the text, so that it spans tokens: nothing of it may show.
stop=$(tail -c +12 "$work/greedy-1" | grep -aoE '[!-~]{3}' | head -n 1)
if [ ${#stop} = 3 ]; then
    "${run[@]}" -q -p "$text" -n 48 --temp 0 --stop "never so" --stop "$stop" > "$work/stopped" 2> "$err"
    if grep -aqF -- "$stop" "$work/stopped"; then fail run-stop "'$stop' shows"; else pass; fi
    if cmp -s -n "$(wc -c < "$work/stopped")" "$work/stopped" "$work/greedy-1"; then pass; else fail run-stop-prefix "not the text's beginning"; fi
fi
echo "1 5 9, 12" > "$work/ids"
check run-ids 0 '^([0-9]+ ){9}[0-9]+$' '' "$leat" run -q -n 10 --ids "$work/ids" "$bare"
check run-ids-text 0 . '' "${run[@]}" -q -n 4 --ids "$work/ids"
check run-ids-outside 1 '' 'line 1: token id 99999 is outside the vocabulary of' sh -c 'echo 1 99999 | "$@"' sh "${run[@]}" -q --ids -
# Ctrl-C for a command once it has said something; its status is in $status.
interrupt() { # what it says, command...
    local says=$1 pid
    shift
    : > "$err"
    "$@" > "$out" 2> "$err" &
    pid=$!
    until like "$err" "$says" || ! kill -0 $pid; do sleep 0.02; done
    kill -INT $pid 2> /dev/null
    wait $pid
    status=$?
}
# Ctrl-C, once there is text: none of the command before, which would still be there when this one has not begun.
: > "$out"
"${run[@]}" -p "$text" --ignore-eos -c 100000 -n 90000 > "$out" 2> "$err" &
pid=$!
until [ -s "$out" ] || ! kill -0 $pid; do sleep 0.02; done
kill -INT $pid
wait $pid
status=$?
if [ $status = 130 ]; then pass; else fail run-interrupt "exit status $status"; fi
if like "$err" 'generation [0-9.]+ tok/s'; then pass; else fail run-interrupt-says "no closing line"; fi
# While the prompt is read: there are no figures of a generation yet.
yes "$text" | head -c 300000 > "$work/long"
interrupt 'loaded in' "${run[@]}" --stats -f "$work/long" --ignore-eos -c 400000
if [ $status = 130 ]; then pass; else fail run-interrupt-prompt "exit status $status"; fi

# A fingerprint is whole or none: a prompt that is too long, or Ctrl-C, which may also come too late.
check fingerprint-long 1 '' 'the prompt has [0-9]+ tokens, wanted at most 2048' "$leat" fingerprint "$demo" -p "$(head -c 20000 "$work/long")"
check fingerprint-other 1 'logits' 'ids: other tokens or logits were written down$' "$leat" fingerprint "$demo" -n 2 --check "$work/ids"
interrupt 'a context of' "$leat" fingerprint "$demo" -n 1024
case $status.$(head -n 1 "$out" | wc -w) in
    130.0 | 0.1025) pass ;;
    *) fail fingerprint-interrupt "exit status $status: $(head -c 60 "$out")" ;;
esac

# A plan measures disk and memory for a second or two after its warning.
interrupt 'a context of' "$leat" plan "$demo" -c 100000
if [ $status = 130 ] && [ ! -s "$out" ]; then pass; else fail plan-interrupt "exit status $status: $(head -c 60 "$out")"; fi

# What eval cannot write as a whole leaves what was there: on a full disk, after a signal. A pipe is written at once.
printf old > "$work/logits"
"$leat" tokenize "$demo" -f "$work/long" > "$work/long.ids" 2> "$err"
check eval-full-disk 1 '' 'logits: no space left' sh -c 'ulimit -f 8; "$@"' sh "$leat" eval "$demo" --ids "$work/long.ids" --logits "$work/logits"
"$leat" eval "$demo" --ids "$work/long.ids" --logits "$work/logits" 2> "$err" &
pid=$!
until [ -s "$work/logits.part" ] || ! kill -0 $pid; do sleep 0.02; done
kill -TERM $pid
wait $pid
status=$?
if [ $status = 130 ]; then pass; else fail eval-interrupt "exit status $status"; fi
check eval-leaves 0 '^old$' '' cat "$work/logits"
check eval-leaves-nothing 1 '' '' test -e "$work/logits.part"
"$leat" eval "$demo" --ids "$work/ids" --logits /dev/stdout 2> "$err" | cat > "$work/piped"
ln -sf logits "$work/linked"
check eval-link 0 '' '*' "$leat" eval "$demo" --ids "$work/ids" --logits "$work/linked"
same eval-pipe "$work/piped" "$work/logits"
check eval-link-stays 0 '^logits$' '' readlink "$work/linked"
check eval-aside-link 2 '' 'logits.part is a file that is read' sh -c 'cp "$4" "$5/logits.part"; "$1" eval "$2" --ids "$5/logits.part" --logits "$3"' \
    sh "$leat" "$demo" "$work/linked" "$work/ids" "$work"
rm "$work/logits.part"

# ---- tokenize, inspect ----------------------------------------------------------------------------------

for m in "$demo" "$bpe"; do
    "$leat" tokenize "$m" -f "$work/prompt" > "$work/tokens" 2> "$err"
    "$leat" tokenize "$m" --detokenize -f "$work/tokens" > "$work/text" 2> "$err"
    same "tokenize-back-$(basename "$m")" "$work/prompt" "$work/text"
done
check tokenize 0 '^[0-9]+( [0-9]+)*$' '' "$leat" tokenize "$demo" -p "$text"
check tokenize-bare 1 '' 'tokenizer' "$leat" tokenize "$bare" -p "$text"
# What tokenize gives is what run feeds.
"$leat" tokenize "$demo" -p "$text" > "$work/tokens" 2> "$err"
"${run[@]}" -q -n 48 --temp 0 --ids "$work/tokens" > "$work/greedy-ids" 2> "$err"
same tokenize-is-run "$work"/greedy-{1,ids}
for m in "$demo" "$bpe" "$bare" "$parts"; do
    check "inspect-$(basename "$m")" 0 'architecture' '' "$leat" inspect "$m"
    check "inspect-json-$(basename "$m")" 0 '^\{' '' "$leat" inspect --json "$m"
done
check inspect-missing 1 '' 'none.gguf' "$leat" inspect "$work/none.gguf"

# ---- eval ---------------------------------------------------------------------------------------------

seq 3 41 > "$work/ids39"
n_vocab=128
for t in 1 2 5; do "$leat" eval -m "$bare" --ids "$work/ids39" --logits "$work/prompt-$t.f32" -t $t 2> "$err"; done
for b in 1 7 39; do "$leat" eval -m "$bare" --ids "$work/ids39" --logits "$work/batch-$b.f32" -b $b 2> "$err"; done
for t in 1 5; do "$leat" eval -m "$bare" --ids "$work/ids39" --logits "$work/batch-t$t.f32" -b 3 -t $t 2> "$err"; done
same eval-threads "$work"/prompt-[125].f32
same eval-batches "$work"/batch-{1,7,39,t1,t5}.f32
bytes_are eval-bytes "$work/prompt-1.f32" $((39 * n_vocab * 4))
check eval-npy 0 '' '*' "$leat" eval "$bare" --ids "$work/ids39" --logits "$work/logits.npy"
bytes_are eval-npy-bytes "$work/logits.npy" $((39 * n_vocab * 4 + 128))
tail -c +129 "$work/logits.npy" > "$work/npy.f32"
same eval-npy-data "$work/npy.f32" "$work/prompt-1.f32"
check eval-npy-header 0 "^.NUMPY.*'descr': '<f4', 'fortran_order': False, 'shape': \(39, 128\), }" '' head -n 1 "$work/logits.npy"
check cache-type-choice 2 '' "-ctk: 'q9' is none of f16" "$leat" eval "$bare" --ids "$work/ids39" --logits "$work/x.f32" -ctk q9
check eval-scalar 0 '' '*' "$leat" eval "$bare" --ids "$work/ids39" --logits "$work/scalar.f32" --isa scalar
ids_error() { check "$1" 1 '' "$2" sh -c 'printf "%b" "$1" | "$2" eval "$3" --ids - --logits "$4"' sh "$3" "$leat" "$bare" "$work/x"; }
ids_error eval-outside 'line 2: token id 128 is outside the vocabulary of 128' '1 2\n128'
ids_error eval-negative 'token id -1 is outside' '1 -1'
ids_error eval-word "line 1: 'x2' is not a token id" '1 x2'
ids_error eval-float "'1.5' is not a token id" '1.5'
ids_error eval-huge "'99999999999999999999' is not a token id" '99999999999999999999'
ids_error eval-empty 'has no token ids' ' \n'
check eval-no-folder 1 '' 'no such file' "$leat" eval "$bare" --ids "$work/ids39" --logits "$work/no/such"
check eval-full-disk 1 '' 'no space left' "$leat" eval "$bare" --ids "$work/ids39" --logits /dev/full

# ---- memory ---------------------------------------------------------------------------------------------

printf '1 2 3' > "$work/ids3"
small=("$leat" run "$bare" --ids "$work/ids3" -n 8 --temp 0 -c 64 -t 2)
check ram-mapped 0 '.' '*' "${small[@]}"
mv "$out" "$work/ram-mapped"
for ram in 15M 18M; do
    check "ram-$ram" 0 '.' 'streaming: [0-9.]+ MiB of 10.6 MiB of weights in memory, .* of 8 experts' "${small[@]}" --ram $ram
    mv "$out" "$work/ram-$ram"
done
same ram-text "$work/ram-mapped" "$work/ram-15M" "$work/ram-18M"
check ram-stats 0 '.' 'stats: generation .* experts in memory .* MB a token' "${small[@]}" --ram 17M --stats
rm -rf "$XDG_STATE_HOME/leat"
check ram-no-usage 0 '.' 'streaming' "${small[@]}" --ram 17M --no-usage
ls "$XDG_STATE_HOME/leat/"experts-* > /dev/null 2>&1 && fail ram-no-usage "statistics were kept"
check ram-usage-kept 0 '.' 'streaming' "${small[@]}" --ram 17M
check bench-cold-prompt 0 'pp8' 'stats: prompt in [0-9.]+ s; read [1-9][0-9.]* MB' "$leat" bench "$bare" -p 8 -n 0 -r 1 --ram 17M
# Too little for a probe of the memory, but the disk bounds streamed weights; and no more is held than said.
check bench-little 0 '"tok_s_stddev": [^,]+, "bound_tok_s"' 'stats: .* memory ([0-9]|1[0-7])\.[0-9] MiB at its peak' \
    "$leat" bench "$bare" -p 0 -n 8 -r 1 -t 2 --ram 17M -o json
# One bound, in JSON and in the line: no more than the disk brings, and both shares are of it.
tr ',{}' '\n' < "$out" | sed -n 's/^ *"\([a-z_]*\)": \([0-9.e+-]*\)$/\1 \2/p' > "$work/bounded"
sed -n 's|^stats: generation \([0-9.]*\) .*; \([0-9]*\) % of the bound, \([0-9.]*\) tok/s; .*|said \1\nsaid_share \2\nsaid_bound \3|p' "$err" >> "$work/bounded"
check bench-bound 0 '' '' awk '{ is[$1] = $2 } function near(a, b) { return a > b * 0.999 - 0.01 && a < b * 1.001 + 0.01 }
    END {
        disk = is["disk_bytes_s"]; probe = is["disk_share"] > 0 ? disk / is["disk_share"] : 0
        if (probe > disk) disk = probe
        exit !(near(is["bound_tok_s"], is["said_bound"]) && near(is["said"] / is["said_bound"], is["said_share"] / 100) && near(is["tok_s"], is["share"] * is["bound_tok_s"]) &&
            is["disk_token_bytes"] > 1e5 && is["bound_tok_s"] <= disk / is["disk_token_bytes"] * 1.001 && is["hit_rate"] > 0 && is["hit_rate"] < 1 &&
            "stalled" in is && "major_faults" in is)
    }' "$work/bounded"
check bench-bound-table 0 'tg8 .* \| +[0-9.]+ \| +[0-9.]+ \| ' 'of the bound' "$leat" bench "$bare" -p 0 -n 8 -r 1 -t 2 --ram 17M
check bench-bound-csv 0 ',share,hit_rate,disk_token_bytes,disk_bytes_s,disk_share,stalled,major_faults,growth' 'stats' "$leat" bench "$bare" -p 0 -n 8 -r 1 -t 2 --ram 17M -o csv
sed 's/"[^"]*"/x/g' "$out" > "$work/bounded"
check bench-bound-csv-columns 0 '' '' awk -F, 'NR == 1 { n = NF; for (i = 1; i <= NF; i++) at[$i] = i } NR == 2 { ok = NF == n && $at["disk_token_bytes"] > 1e5 && $at["bound_tok_s"] > 0 } END { exit !ok }' "$work/bounded"
for kept in "$XDG_STATE_HOME/leat/"experts-*; do echo broken > "$kept"; done
check ram-usage-broken 0 '.' 'warning: .*experts-[0-9a-f]+ is damaged: experts are counted anew' "${small[@]}" --ram 17M
same ram-usage-text "$work/ram-mapped" "$out"
check ram-verbose 0 '.' 'mapped: the system pages 10.6 MiB' "${small[@]}" --ram 1G -v
check ram-says-mapped 0 '.' '^leat run: mapped: the system pages 10.6 MiB of weights$' "${small[@]}"
check ram-says-resident 0 '.' '^leat run: resident: 10.6 MiB of weights' "${small[@]}" --no-mmap
check ram-says-bench 0 'tg2' '^leat bench: mapped: ' "$leat" bench "$bare" -p 0 -n 2 -r 1 -t 1
check ram-quiet 0 '.' '' "${small[@]}" -q
check ram-little 1 '' '^leat run: 1.0 MiB of memory are too little: [0-9.]+ MiB for context \(64 tokens\), .* then [0-9.]+ [KM]iB for weights at least' "${small[@]}" --ram 1M
# A draft is counted whole before the weights get the rest, and what is said to do does.
cp "$bare" "$work/draft.gguf"
check draft-little 1 '' '^leat run: 20.0 MiB of memory, of which the draft model .*/draft.gguf takes 10.6 MiB and leaves 9.4 MiB, are too little: ' \
    "${small[@]}" --ram 20M --draft "$work/draft.gguf"
would=$(sed -n 's/.*at least; \([0-9]*\) MiB would do$/\1/p' "$err")
check draft-enough 0 '.' 'streaming' "${small[@]}" --ram "${would}M" --draft "$work/draft.gguf"
same draft-text "$work/ram-mapped" "$out"
check draft-less 1 '' 'are too little' "${small[@]}" --ram "$((would - 2))M" --draft "$work/draft.gguf"
check draft-peak 0 '.' ' weights [12][0-9]\.[0-9] MiB .*; in all (1[0-9]|2[0-7])\.[0-9] MiB' \
    "${small[@]}" --ram 28M --draft "$work/draft.gguf" -v
accents=$work/$(printf 'é%.0s' {1..30}) # of so long a path only the end is shown
mkdir "$accents"
mv "$work/draft.gguf" "$accents/d.gguf"
check draft-whole-characters 1 '' 'the draft model (é)+/d\.gguf takes' "${small[@]}" --ram 20M --draft "$accents/d.gguf"
rm -r "$accents"
for c in run chat serve; do
    check "draft-other-$c" 1 '' '^leat '$c': the draft model has 128 tokens, wanted 567' \
        "$leat" $c "$demo" --draft "$bare" $([ $c = serve ] && echo -q --port 0 || echo -p x)
done
check ram-none 2 '' "'x' is not a size" "${small[@]}" --ram x
check ram-zero 2 '' "'0' is not a size" "${small[@]}" --ram 0
check ram-contradiction 2 '' 'contradict each other' "${small[@]}" --mmap --no-mmap
check ram-mmap-ram 2 '' '^leat run: --mmap and --ram contradict each other' "${small[@]}" --ram 15M --mmap
check ram-mmap-ram-serve 2 '' '--mmap and --ram contradict each other' "$leat" serve "$bare" --port 0 -q --ram 15M --mmap
check ram-mmap-ram-first 0 '^leat serve: --mmap and --ram' '' bash -c '"$@" 2>&1 | head -n 1' - "$leat" serve "$bare" --port 0 --ram 15M --mmap
# Of mapped weights nothing is said that nobody knows: the line has nothing but these.
mapped='^stats: generation [0-9.]+ tok/s; [0-9.]+ major faults a token(; read [0-9.]+ MB a token by the system)?; memory beside the mapped weights [0-9.]+ MiB at its peak$'
check ram-mmap-stats 0 '.' "$mapped" "${small[@]}" --mmap --stats
check ram-mmap-bench 0 'tg2' "$mapped" "$leat" bench "$bare" -p 0 -n 2 -r 1 -t 1 --mmap

# A mapped model that is cut behind its embedding, which is read, while leat waits for the prompt.
cp "$demo" "$work/mapped.gguf"
rm -f "$work/keys" "$work/mapped.err" # of a run before
mkfifo "$work/keys"
"$leat" run "$work/mapped.gguf" < "$work/keys" > "$out" 2> "$work/mapped.err" &
exec 9> "$work/keys"
until grep -q 'loaded in' "$work/mapped.err" 2> "$err" || ! kill -0 $! 2> "$err"; do sleep 0.05; done
truncate -s 800000 "$work/mapped.gguf"
echo "$text" >&9
exec 9>&-
wait $!
check mapped-cut-status 0 '^1$' '' echo $?
check mapped-cut 0 '^leat run: tensor [a-z0-9._]*: .*mapped.gguf ends early: 0 of [0-9]+ bytes at offset [0-9]+$' '' \
    cat "$work/mapped.err"

# ---- perplexity ---------------------------------------------------------------------------------------

for i in $(seq 40); do echo "Once upon a time there was a little test, number $i."; done > "$work/story"
ppl=("$leat" perplexity -m "$demo" -f "$work/story" -c 64)
check perplexity 0 '^Final estimate: PPL = [0-9.]+ \+/- [0-9.]+$' 'chunks of 64' "${ppl[@]}" --chunks 3
check perplexity-memory 0 '*' '^leat perplexity: mapped: ' "${ppl[@]}" --chunks 1
check perplexity-short 1 '' 'tokens; a context of 100000 wants' "$leat" perplexity "$demo" -f "$work/story" -c 100000
check perplexity-bare 1 '' 'has no tokenizer' "$leat" perplexity "$bare" -f "$work/story"
for t in 1 2; do "${ppl[@]}" -t $t --chunks 3 > "$work/ppl-$t" 2> "$err"; done
same perplexity-threads "$work"/ppl-[12]
check perplexity-base 0 '^Mean    KLD:   0\.000000 ±   0\.000000$' 'chunks of 64' "${ppl[@]}" --chunks 3 --kl-base "$demo"
mv "$out" "$work/ppl-base"
check perplexity-base-same-top 0 '^Same top p: 100\.000 ± +0\.000 %$' '' cat "$work/ppl-base"
mean=$(sed -n 's/^Mean PPL(Q) *: *\([0-9.]*\) .*/\1/p' "$work/ppl-base") alone=$(sed -n 's/.*PPL = \([0-9.]*\) .*/\1/p' "$work/ppl-1")
if awk "BEGIN { d = $mean - $alone; exit d > 1e-4 || d < -1e-4 }"; then pass; else fail perplexity-base-ppl "$mean, alone $alone"; fi
check perplexity-base-other 1 '' 'has a vocabulary of [0-9]+ tokens' "${ppl[@]}" --kl-base "$bpe"
check perplexity-base-missing 1 '' 'none.gguf: no such file' "${ppl[@]}" --kl-base "$work/none.gguf"
"$leat" quantize -q "$parts" "$work/coarse.gguf" q4_0 2> "$err"
check perplexity-base-coarse 0 '^Mean    KLD: +[0-9]*[1-9][0-9]*\.|^Mean    KLD: +0\.[0-9]*[1-9]' '*' \
    "$leat" perplexity -m "$work/coarse.gguf" -f "$work/story" -c 64 --chunks 2 --kl-base "$parts"

# Both models are streamed: neither takes the other's half of --ram.
check perplexity-base-ram 0 '^Mean    KLD:   0\.000000 ±   0\.000000$' '^leat perplexity: streaming: ' \
    "$leat" perplexity -m "$parts" -f "$work/story" -c 64 --chunks 2 -t 2 --kl-base "$parts" --ram 26M

# No command writes over what it reads: the model, a part of it, another file.
cp "$demo" "$work/own.gguf" && ln -sf own.gguf "$work/own-too" && echo 1 2 3 > "$work/own.ids"
cp "$work/story" "$work/own.txt" && cp "$work/own.ids" "$work/own.trace.part"
for n in 1 2 3; do cp "$models/parts-0000$n-of-00003.gguf" "$work/own-0000$n-of-00003.gguf"; done
mkdir -p "$work/owned" && cp "$work"/own[.-]* "$work/owned"
own() { # NAME OUT COMMAND...
    check "$1" 2 '' "$2(.part)? is a file that is read: write to another" "${@:3}" "$work/$2"
}
for out_file in own.gguf own-too; do
    own "eval-over-$out_file" "$out_file" "$leat" eval "$work/own.gguf" --ids "$work/own.ids" --logits
    own "imatrix-over-$out_file" "$out_file" "$leat" imatrix "$work/own.gguf" -f "$work/own.txt" -c 64 -o
    own "bench-over-$out_file" "$out_file" "$leat" bench "$work/own.gguf" -p 4 -n 0 -r 1 --record
done
split=$work/own-00001-of-00003.gguf part=own-00002-of-00003.gguf
own eval-over-part $part "$leat" eval "$split" --ids "$work/own.ids" --logits
own imatrix-over-part $part "$leat" imatrix "$split" -f "$work/own.txt" -c 64 -o
own bench-over-part $part "$leat" bench "$split" -p 4 -n 0 -r 1 --record
own eval-over-ids own.ids "$leat" eval "$split" --ids "$work/own.ids" --logits
own imatrix-over-text own.txt "$leat" imatrix "$split" -f "$work/own.txt" -c 64 -o
own bench-over-routing own.ids "$leat" bench "$split" -p 4 -n 0 -r 1 --routing "$work/own.ids" --record
own bench-aside-routing own.trace "$leat" bench "$split" -p 4 -n 0 -r 1 --routing "$work/own.trace.part" --record
# Nor where a copy will come to be, or the output until it is whole.
copy=own.matrix.at_2
cp "$work/story" "$work/$copy" && cp "$work/$copy" "$work/owned"
check imatrix-copy-over-text 2 '' 'own.matrix.at_2 is a file that is read: write to another' \
    "$leat" imatrix "$split" -f "$work/$copy" -c 64 -o "$work/own.matrix" --save-frequency 2
"$leat" imatrix "$split" -f "$work/own.txt" -c 64 --chunks 1 -o "$work/own.sums.part" > "$out" 2> "$err"
cp "$work/own.sums.part" "$work/owned"
check imatrix-through-sums 2 '' 'own.sums.part is a file that is read' \
    "$leat" imatrix -c 64 --in-file "$work/own.sums.part" -o "$work/own.sums"
for f in "$work"/owned/*; do same "not-written-${f##*/}" "$f" "$work/${f##*/}"; done

# ---- imatrix ------------------------------------------------------------------------------------------

imatrix=("$leat" imatrix -m "$demo" -f "$work/story" -c 64)
check imatrix 0 '^Final estimate: PPL = [0-9.]+ \+/- [0-9.]+$' '14 entries of 4 chunks in ' "${imatrix[@]}" --chunks 4 -o "$work/i4"
mv "$out" "$work/imatrix-ppl"
"${ppl[@]}" --chunks 4 > "$work/ppl-4" 2> "$err"
same imatrix-ppl "$work/imatrix-ppl" "$work/ppl-4"
check imatrix-no-ppl 0 '' '14 entries' "${imatrix[@]}" --chunks 4 --no-ppl -t 3 -b 7 -o "$work/i4-no-ppl"
same imatrix-threads "$work/i4" "$work/i4-no-ppl"
check imatrix-output 0 . '15 entries' "${imatrix[@]}" --chunks 2 --process-output -o "$work/i2-output"
# Two runs added up are one, to the rounding of floats: the counts and names are the same, the bytes as many.
check imatrix-first 0 . '2 chunks' "${imatrix[@]}" --chunks 2 -o "$work/i-first"
check imatrix-rest 0 . '4 chunks' "${imatrix[@]}" --chunks 2 --from-chunk 2 --in-file "$work/i-first" -o "$work/i-sum"
check imatrix-second 0 . '2 chunks' "${imatrix[@]}" --chunks 2 --from-chunk 2 -o "$work/i-second"
check imatrix-add 0 '' '4 chunks' "$leat" imatrix -c 64 --in-file "$work/i-first" --in-file "$work/i-second" -o "$work/i-added"
bytes_are imatrix-sum "$work/i-added" "$(wc -c < "$work/i-sum")"
check imatrix-copies 0 . '3 chunks' "${imatrix[@]}" --chunks 3 --save-frequency 2 --output-frequency 1 -o "$work/ic"
bytes_are imatrix-copy "$work/ic.at_2" "$(wc -c < "$work/i-first")"
check imatrix-no-text 2 '' 'the text is missing: -f TEXT' "$leat" imatrix -m "$demo"
check imatrix-no-model 2 '' 'the model \(-m FILE\) is missing' "$leat" imatrix -f "$work/story"
check imatrix-no-matrix 1 '' 'no importance matrix' "$leat" imatrix --in-file "$demo"
check imatrix-short 1 '' 'a context of 100000 wants 100000 at least' "${imatrix[@]}" -c 100000
check imatrix-bare 1 '' 'has no tokenizer' "$leat" imatrix -m "$bare" -f "$work/story"
check imatrix-no-folder 1 '' '^leat imatrix: [^:]*no/such: no such file$' "${imatrix[@]}" --chunks 2 -o "$work/no/such"
rm -rf "$work/im-folder"*
mkdir "$work/im-folder" # told before the work: no copy of the first chunk
check imatrix-onto-folder 1 '' 'im-folder: not a regular file' "${imatrix[@]}" --chunks 2 -o "$work/im-folder" --save-frequency 1
check imatrix-trial 1 '' '' test -e "$work/im-folder.at_1"
# A copy that cannot be written is told; the sums are not lost by it.
mkdir -p "$work/ic2.at_1"
check imatrix-copy-fails 1 . '^leat imatrix: [^:]*ic2.at_1: not a regular file' "${imatrix[@]}" --chunks 2 --save-frequency 1 -o "$work/ic2"
same imatrix-copy-fails-only "$work/i-first" "$work/ic2"
rmdir "$work/ic2.at_1"
check imatrix-quantize 0 '*' '*' "$leat" quantize -q "$parts" "$work/x.gguf" q4_k_s --imatrix "$work/i4"

# ---- bench --------------------------------------------------------------------------------------------

bench=("$leat" bench "$bare" -r 2)
check bench 0 '^\| +2 \| pp8 +\| +[0-9.]+ ± [0-9.]+ \| +[0-9.]+ \|' '*' "${bench[@]}" -p 8 -n 2 -d 0,4 -t 2
mv "$out" "$work/bench.md"
check bench-heading 0 '^machine  2 threads: reads [0-9.]+ GB/s' '' cat "$work/bench.md"
check bench-json 0 '^  \{"n_prompt": 0, "n_gen": 3, "n_depth": 0, "threads": 1, "tok_s": [0-9.e+]+, "tok_s_stddev"' '*' \
    "${bench[@]}" -p 0 -n 3 -t 1 -o json
check bench-sustained 0 '^   "sustained": [0-9.e+-]+, "model"' '*' "${bench[@]}" -p 0 -n 3 -t 1 -o json
check bench-csv 0 '^"[^"]*"(,[^,]*)*,4,0,0,1(,[0-9.e+-]+){11},"one",5(,[0-9.e+-]+){3},[0-9.e+-]*[1-9][0-9.e+-]*$' '*' \
    "${bench[@]}" -p 4 -n 0 -t 1 --vs 'one: echo 5 t/s' -o csv
# The cores that each thread may use, as a peer sees them while all pools are open.
allowed() { awk '$1 == "Cpus_allowed_list:" { print $2 }' "$@" | sort -u; }
allowed /proc/self/status > "$work/cores"
check bench-no-pin 0 '*' '*' "${bench[@]}" -p 0 -n 2 --no-pin --vs "x: p=\$(awk '/^PPid/ { print \$2 }' /proc/\$PPID/status); cat /proc/\$p/task/*/status > $work/tasks; echo 5 t/s"
allowed "$work/tasks" > "$out"
same bench-no-pin-cores "$work/cores" "$out"
"$leat" serve "$demo" --port 0 --no-pin 2> "$work/serve.err" &
until grep -qs 'loaded in' "$work/serve.err" || ! kill -0 $! 2> "$err"; do sleep 0.05; done
allowed /proc/$!/task/*/status > "$out"
kill $!
wait $!
same serve-no-pin-cores "$work/cores" "$out"
check bench-list 2 '' 'is not a whole number from 1 to 256 nor a range' "${bench[@]}" -t 1,x
check bench-depth 0 '^\| +1 \| tg2 @ d8 +\| +[0-9.]+ ± [0-9.]+ \| +[0-9.]+ \| +[0-9.]+ \| +[0-9.]+ \| +[0-9.]+ \|$' '*' "${bench[@]}" -p 0 -n 2 -d 8 -t 1
check bench-vs 0 '^\| +1 \| tg2 .*\| +2.10 \| +[0-9.]+x \([0-9.]+ to [0-9.]+\) \| +7.00 \| +[0-9.]+x' '*' \
    "${bench[@]}" -p 0 -n 2 -t 1 --vs 'one: echo {n_gen}.{threads} tok/s' --vs 'two: [ {file} = "'"$bare"'" ] && echo 7 t/s'
check bench-vs-name 0 ' a\\\|b +\| +leat is \|$' '*' "${bench[@]}" -p 4 -n 0 -t 1 --vs 'a|b: echo 5 t/s'
check bench-vs-json 0 '"peers": \[\{"name": "one", "peer_tok_s": 5, "ratio": ' '*' "${bench[@]}" -p 4 -n 0 -t 1 --vs 'one: echo 5 t/s' -o json
# Of two repetitions the median is the middle: 1 and 1000000 tok/s, which the medians of speeds would hide.
check bench-vs-ratio 0 '"ratio"' '*' "${bench[@]}" -p 4 -n 0 -t 1 -o json \
    --vs "x: cat $work/speed 2> /dev/null || echo 1 t/s; echo 1000000 t/s > $work/speed"
sed -n 's/.*"ratio": \(.*\), "ratio_min": \(.*\), "ratio_max": \([^}]*\)}.*/\1 \2 \3/p' "$out" > "$work/ratios"
check bench-vs-ratio-median 0 '' '' awk '{ m = ($2 + $3) / 2; exit !($1 > m * 0.999 && $1 < m * 1.001) }' "$work/ratios"
check bench-vs-fails 1 '*' 'one: the command ended with status 3: oh' "${bench[@]}" -p 4 -n 0 -t 1 --vs 'one: echo oh >&2; exit 3'
check bench-vs-silent 1 '*' 'true: the command printed nothing' "${bench[@]}" -p 4 -n 0 -t 1 --vs true
check bench-vs-hangs 1 '*' 'sleep: the command took longer' "${bench[@]}" -p 4 -n 0 -t 1 --vs 'sleep 100' --vs-limit 1
check bench-vs-empty 2 '' "'one: ' has no command" "${bench[@]}" --vs 'one: '
check bench-vs-name-only 2 '' "'a:' has no command" "${bench[@]}" --vs 'a:'
check bench-vs-separators 1 '*' "one: the command printed '1,234.5' for tokens a second, wanted one plain number" \
    "${bench[@]}" -p 4 -n 0 -t 1 --vs 'one: echo 1,234.5 tok/s'
check bench-deep 2 '' '16777217 tokens are more than the 16777216 that a context may hold' "${bench[@]}" -p 0 -n 1 -d 16777216
# Whatever ends bench, what its peer started ends as well.
runs() { grep -qs '^State:.[^ZX]' "/proc/$1/status" || return 1; }
rm -f "$work/peer.pid"
"${bench[@]}" -p 4 -n 0 -t 1 --vs "x: (sh -c 'echo \$\$ > $work/peer.new; mv $work/peer.new $work/peer.pid; exec sleep 600'); echo 5 t/s" > "$out" 2> "$err" &
until [ -s "$work/peer.pid" ] || ! runs $!; do sleep 0.05; done
kill -9 $!
wait $! 2> "$err"
for i in {1..600}; do runs "$(cat "$work/peer.pid")" || break; sleep 0.1; done
check bench-killed 1 '' '' runs "$(cat "$work/peer.pid")"
# Also a process that is in another group, as `timeout` makes one.
for signal in KILL TERM; do
    rm -f "$work/peer.pid"
    "${bench[@]}" -p 4 -n 0 -t 1 --vs "x: timeout 900 sh -c 'echo \$\$ > $work/peer.new; mv $work/peer.new $work/peer.pid; exec sleep 600'" > "$out" 2> "$err" &
    until [ -s "$work/peer.pid" ] || ! runs $!; do sleep 0.05; done
    kill -s $signal $!
    wait $! 2> "$err"
    for i in {1..600}; do runs "$(cat "$work/peer.pid")" || break; sleep 0.1; done
    check bench-other-group-$signal 1 '' '' runs "$(cat "$work/peer.pid")"
done
check bench-nothing 2 '' 'leaves nothing to measure' "${bench[@]}" -p 0 -n 0

# The page of `make bench`, of made-up rows: nothing is rounded in leat's favour, and no share above 1 counts.
pages=$work/rows
mkdir -p "$pages"
row() { # name, tok/s, bound, share, growth, sustained; then name, tok/s, ratio, least and largest of a peer each
    local name=$1 peers=${*:7}
    {
        echo "cpu,isa,commit,tok_s,bound_tok_s,share,growth,peer,peer_tok_s,ratio,ratio_min,ratio_max,sustained"
        echo "\"C, U\",i,c,$2,$3,$4,$5,${peers:+${peers// /,},}$6"
    } > "$pages/$name.csv"
    echo "$name 1.1b ${name#*-} - ${want:-0.90} 1.5 1.15" >> "$pages/list.txt"
}
row tg-q4_k_m 60 70 0.8999 0 0.8996 ik_llama.cpp 6 10.1 10 11 llama.cpp 6 9.5 9 10
row tg-q8_0 42 38.5 1.074 0 0.844
row tg-f16 24.7 30.3 0.946 0 0.918
row tg-q6_k 10 10 1.1 0 1.01
row pp-q8_0 437 810 1.2 0 0
row pp-q4_0 440 758.6 0.58 0 0.62
row depth-4096 52 60 0.9 1.1504 0.9
echo q8_0,1000,1051,60,20,10,1090,1000,20,10 > "$pages/rss-q8_0.txt"
echo q6_k,1000,1030,60,20,10,2030,2000,20,10 > "$pages/rss-q6_k.txt"
check bench-page 0 '^# C, family 7$' '' awk -f scripts/bench-report.awk -v machine='C, family 7' -v rows="$pages" -v svg="$pages/p.svg" -v notes=/nowhere "$pages/list.txt"
mv "$out" "$pages/page"
check bench-page-rounding 0 '^\| 1.1b Q4_K_M \| 60.0 \| 66.7 \| 0.8999 \| 0.8996 \| 0.90 \| \*\*no\*\* \| .* \| 9.500x \(9.00 to 10.00\) \| 1.5x \| yes \|$' '' cat "$pages/page"
check bench-page-above 0 '^\| 1.1b Q8_0 \| 42.0 \| 39.1 \| 1.074 \| 0.844 \| 0.90 \| \*\*no\*\*, in turns \|' '' cat "$pages/page"
check bench-page-kind 0 '^\| 1.1b F16 \| 24.7 \| 26.1 \| 0.946 \| 0.918 \| 0.90 \| yes \|' '' cat "$pages/page"
check bench-page-void 0 '^\| 1.1b Q6_K \| .*\| 0.90 \| void \|' '' cat "$pages/page"
check bench-page-void-prompt 0 '^\| 1.1b Q8_0 \| 437.0 \| .*\| 0.90 \| void \|' '' cat "$pages/page"
check bench-page-prompt 0 '^\| 1.1b Q4_0 \| 440.0 \| 758.6 \| 0.580 \| 0.620 \| 0.90 \| \*\*no\*\* \|' '' cat "$pages/page"
check bench-page-growth 0 '^\| 1.1b 4096, depth-4096 \| 52.0 \| 1.1504 \| 1.15 \| \*\*no\*\* \|$' '' cat "$pages/page"
check bench-page-memory 0 '^\| 1.1b Q8_0 .* \| 1.0204 \| 1.02 \| \*\*no\*\* \| .*\| yes \|$' '' cat "$pages/page"
check bench-page-copy 0 '^\| 1.1b Q6_K .* \| 1.000 \| 1.02 \| yes \| .*\| \*\*no\*\* \|$' '' cat "$pages/page"
check bench-picture 0 'width="473.0"' '' cat "$pages/p.svg"
# What the pages of a machine are called: two of the same name are two machines where their families differ.
printf 'processor\t: %s\nvendor_id\t: V\ncpu family\t: 26\nmodel\t\t: 17\nmodel name\t: AMD EPYC (tm) 9: x\n\n' 0 1 > "$work/cpuinfo"
printf 'AMD EPYC (tm) 9: x, family 26\nAMD-EPYC-tm-9-x-family-26\n' > "$work/machine"
check bench-machine 0 . '' scripts/machine.sh "$work/cpuinfo"
same bench-machine-name "$work/machine" "$out"
printf 'model name\t: EPYC\ncpu family\t: 25\nflags\t\t: fma avx2 avx512f\n' > "$work/cpuinfo"
printf 'EPYC, family 25\nEPYC-family-25\n' > "$work/machine"
check bench-machine-avx512 0 . '' scripts/machine.sh "$work/cpuinfo"
same bench-machine-avx512-name "$work/machine" "$out"
printf 'model name\t: EPYC\ncpu family\t: 25\nflags\t\t: fma avx2 bmi2\n' > "$work/cpuinfo"
printf 'EPYC, family 25, AVX2\nEPYC-family-25-AVX2\n' > "$work/machine"
check bench-machine-avx2 0 . '' scripts/machine.sh "$work/cpuinfo"
same bench-machine-avx2-name "$work/machine" "$out"
printf 'processor\t: 0\nmodel name\t: Neoverse\nCPU part\t: 0xd0c\n' > "$work/cpuinfo"
printf 'Neoverse\nNeoverse\n' > "$work/machine"
check bench-machine-no-family 0 . '' scripts/machine.sh "$work/cpuinfo"
same bench-machine-no-family-name "$work/machine" "$out"
printf 'processor\t: 0\nCPU part\t: 0xd0c\n' > "$work/cpuinfo"
check bench-machine-no-name 0 "^$(uname -m)\$" '' scripts/machine.sh "$work/cpuinfo"

# All of bench.sh, with a program that only says what leat would: the page of a machine bears its name, and has no time to the
# first token where none was seen.
mkdir -p "$work/pages/b/bench/models"
rm -f "$work/pages/scripts"
ln -s "$PWD/scripts" "$work/pages/scripts"
cat > "$work/pages/b/leat" << 'END'
#!/bin/sh
case "$1 $*" in
bench*csv*) printf 'cpu,isa,commit,threads,tok_s,bound_tok_s,share,growth,sustained\n"C",i,c,2,50,60,0.9,0,0.9\n' ;;
run*) [ ! -e say-nothing ] && echo 'prompt 9.0 tok/s, generation 8.0 tok/s' >&2 || echo 'leat run: no' >&2 ;;
esac
END
chmod +x "$work/pages/b/leat"
{ read -r machine && read -r name; } < <(scripts/machine.sh)
for said in '^Exec to the first token .*: [0-9.]+ ms; wanted' '^Start: not measured.$'; do
    rm -rf "$work/pages/b/bench/rows" "$work/pages/docs"
    echo model > "$work/pages/b/bench/models/1.1b-q4_k_m.gguf"
    check bench-script 0 "^docs/bench/$name.md\$" '*' sh -c 'cd "$1" && scripts/bench.sh b "^tg-q4_k_m "' sh "$work/pages"
    check bench-script-name 0 "^# $machine\$" '' cat "$work/pages/docs/bench/$name.md"
    check bench-script-start 0 "$said" '' cat "$work/pages/docs/bench/$name.md"
    touch "$work/pages/say-nothing"
done
rm "$work/pages/say-nothing"

# The page of `make bench-streaming`, of made-up runs: nothing is rounded in leat's favour, and tokens are told.
streamed=$work/streamed
rm -rf "$streamed"
mkdir -p "$streamed"
runs_of() { # row, model, percent, kind, words of a run each
    echo "$1 $2 $3 $4" >> "$streamed/list.txt"
    printf '%s\n' "${@:5}" > "$streamed/$1.runs"
}
page() { awk -f scripts/bench-streaming-report.awk -v machine=M -v rows="$streamed" -v svg="$streamed/p.svg" -v notes=/nowhere -v peer_seconds=60 "$streamed/list.txt"; }
printf 'moe 4000000000 400 500000000\ndense 1000000000 300 900000000\n' > "$streamed/models.txt"
echo '| 1 G | 25.0 | 1 | 1 | 1 | 1 | 80.0 | 1604.9 | 85.0 | 1000.0 | 1.60 |' > "$streamed/belady.txt"
runs_of moe-100 moe 100 leat 'tok_s=1000 tokens=200'
runs_of moe-50 moe 50 leat 'tok_s=17.98 sim_mb=100 probe=2 gb_s=1.898 tokens=200 ram=1000 peak=900' 'tok_s=17.98 sim_mb=100 probe=2 gb_s=1.898 tokens=200 ram=1000 peak=1001' \
    'tok_s=17.98 sim_mb=100 probe=2 gb_s=1.898 tokens=200 ram=1000 peak=900'
runs_of moe-40 moe 40 leat 'tok_s=18.4 sim_mb=100 probe=2 gb_s=2 tokens=200 ram=1000'
runs_of moe-25 moe 25 leat 'tok_s=18 sim_mb=100 probe=2 gb_s=1.9 tokens=200'
runs_of moe-50-llama moe 50 llama 'tok_s=2.256 tokens=14' 'tok_s=2.256 tokens=19' 'tok_s=2.256 tokens=16'
runs_of moe-50-ik moe 50 ik 'tok_s=9 tokens=200'
runs_of moe-50-moe moe 50 moe 'tok_s=0 tokens=2'
runs_of dense-75 dense 75 leat 'tok_s=5 held_mb=500 probe=2 gb_s=1.898 tokens=40'
runs_of dense-accept dense 50 accept 'tok_s=2.496 plain=1'
check streaming-page 0 'random ids \(or recorded routing\). Medians of 1 to 3 runs a row;$' '' page
mv "$out" "$streamed/page"
on_page() { check "streaming-page-$1" 0 "$2" '' cat "$streamed/page"; }
on_page share '^\| generation over the bound, moe, 50 % of the file in memory \| >= 0.90 \| 0.899 \| \*\*no\*\* \|$'
on_page share-met '^\| generation over the bound, moe, 25 % of the file in memory \| >= 0.90 \| 0.90 \| yes \|$'
on_page unmeasured '^\| generation over the bound, dense, 25 % of the file in memory \| >= 0.90 \| \| not measured \|$'
on_page disk '^\| disk throughput while reading over the probe.s, moe, 50 % \| >= 0.95 \| 0.949 \| \*\*no\*\* \|$'
on_page disk-75 '^\| disk throughput while reading over the probe.s, dense, 75 % \| >= 0.95 \| 0.949 \| \*\*no\*\* \|$'
on_page step '^\| each 10 % more memory: .*, moe \| >= 0.98 \| 0.977 \| \*\*no\*\* \|$'
on_page peer '^\| generation over llama.cpp .* \| >= 8x \| 7.97x \| \*\*no\*\* \|$'
on_page peer-unit '^\| generation over ik_llama.cpp .* \| >= 2x \| 1.998x \| \*\*no\*\* \|$'
on_page belady '^\| bytes read over Belady.s, .* \| <= 1.6 \| 1.605 \| \*\*no\*\* \|$'
on_page accept '^\| dense with guesses, .* \| >= 2.5x \| 2.496x \| \*\*no\*\* \|$'
on_page peak '^\| peak memory of the control group .* \| <= 1.00 \| 1.001 \| \*\*no\*\* \|$'
on_page tokens '^\| 50 \| 200 \| 17.98 \| 20.00 \| 0.90 \|'
on_page peer-tokens '^\| llama.cpp \| 50 \| 14 to 19 \| 2.26 \| 200 \| 17.98 \| 8.0x \|$'
on_page killed '^\| BigMoeOnEdge \| 50 \| 2 \| 0.00 \| 200 \| 17.98 \| it was killed \|$'

# All of bench-streaming.sh, with a program that only says what leat would, and peers: one that is quick, one that is slow, one that is
# killed, one that does not know what is asked of it.
streaming=$work/pages/b/streaming
rm -rf "$streaming" "$work/pages/b/bench/streaming" "$work/pages/b/llama" "$work/pages/b/ik"
mkdir -p "$streaming"
for file in moe64x8-q4_k 1.1b-q8_0 48x128-q4_k; do truncate -s 128M "$streaming/$file.gguf"; done
"$leat" bench "$bare" -p 0 -n 2 -r 1 -t 1 --ram 1M > "$work/pages/b/little" 2>&1
cat > "$work/pages/b/leat" << 'END'
#!/bin/sh
case "$1 $*" in
bench*'-o csv'*) printf 'cpu,isa,token_bytes,tok_s\n"C",i,1000000,50\n' ;;
bench*'--ram 16M'*) cat b/little >&2 ;;
bench*) echo 'stats: generation 10.00 tok/s; read 100.00 MB a token in 9 reads, 2.00 GB/s while reading, 100 % of the probe'"'"'s 2.00; 0.00 major faults a token' >&2 ;;
esac
END
LEAT_BENCH_DIR=b/streaming LEAT_TRACES=nowhere LEAT_BENCH_ROUNDS=2 LEAT_PEER_SECONDS=1000 \
    LEAT_PEER_LLAMA='echo {n_gen} >> b/llama; echo 0.03 tok/s' LEAT_PEER_IK='echo {n_gen} >> b/ik; echo 900000 tok/s' LEAT_PEER_MOE='kill -9 $$' \
    check streaming-script 0 "^docs/bench/streaming-$name.md\$" '*' sh -c 'cd "$1" && scripts/bench-streaming.sh b "^moe-50"' sh "$work/pages"
mv "$work/pages/docs/bench/streaming-$name.md" "$streamed/page"
printf '%s\n' 2 29 29 > "$streaming/llama"
same streaming-slow "$work/pages/b/llama" "$streaming/llama"
printf '%s\n' 2 200 200 > "$streaming/ik"
same streaming-quick "$work/pages/b/ik" "$streaming/ik"
on_page slow '^\| llama.cpp \| 50 \| 29 \| 0.03 \| 200 \| 10.00 \| 333.3x \|$'
on_page quick '^\| ik_llama.cpp \| 50 \| 200 \| 900000.00 \| 200 \| 10.00 \| 0.0x \|$'
on_page killed '^\| BigMoeOnEdge \| 50 \| 2 \| 0.00 \| 200 \| 10.00 \| it was killed \|$'
on_page limit 'as many as it does in 1000 seconds'
LEAT_BENCH_DIR=b/streaming LEAT_TRACES=nowhere LEAT_BENCH_ROUNDS=1 LEAT_PEER_LLAMA='echo "what is {n_gen}"; exit 3' \
    check streaming-wrong 0 . 'no speed, status 3: what is 2' sh -c 'cd "$1" && scripts/bench-streaming.sh b "^moe-25"' sh "$work/pages"
mv "$work/pages/docs/bench/streaming-$name.md" "$streamed/page"
check streaming-wrong-row 1 '' '' grep '^| llama.cpp | 25 ' "$streamed/page"
rm -r "$streaming"

# ---- cache-sim ----------------------------------------------------------------------------------------

# Two layers of four experts, one used: the prompt has two tokens, then six are generated.
trace=$work/routing.csv
{
    echo '# model=tiny n_layer=2 n_expert=4 n_expert_used=1'
    echo '# layer=0 expert_bytes=65536 dense_bytes=100'
    echo '# layer=1 expert_bytes=65536 dense_bytes=100'
    echo 'turn,phase,step,layer,slot,expert,weight'
    printf '%s\n' 0,0,0,0,0,0,1 0,0,1,0,0,1,1 0,0,0,1,0,0,1 0,0,1,1,0,1,1
    step=1
    for i in 0 1 0 2 0 1; do printf '0,1,%s,0,0,%s,1\n0,1,%s,1,0,%s,1\n' $((++step)) $i $step $i; done
} > "$trace"
check cache-sim-all 0 '^\| +512.0 KiB \| 100.0 \|   50.0 \|      0.1 .*\|        1.00 \|$' '' "$leat" cache-sim "$trace" --ram 512K
check cache-sim-prompt 0 '^\| +512.0 KiB \| 100.0 \|   83.3 ' '' "$leat" cache-sim "$trace" --ram 512K --prompt
check cache-sim-lru 0 '^\| +128.0 KiB \|  25.0 \|    0.0 ' '' "$leat" cache-sim "$trace" --ram 128K --policy lru
check cache-sim-belady 0 '^\| +256.0 KiB \|  50.0 \|   41.7 ' '' "$leat" cache-sim "$trace" --ram 256K --policy belady
check cache-sim-size 2 '' "--ram: '5X' is not a size" "$leat" cache-sim "$trace" --ram 5X
check cache-sim-policy 0 '^\| +1.0 KiB \|   0.2 \|    0.0 ' '' "$leat" cache-sim "$trace" --ram 1K --policy lru
check cache-sim-shares 0 '^\| +384.0 KiB \|  75.0 ' '' "$leat" cache-sim "$trace"
check cache-sim-much 0 '^\| +9.5 EiB \| 100.0 \|   50.0 ' '' "$leat" cache-sim "$trace" --ram 9999999T
check cache-sim-tiny 1 '' 'are too few, wanted 65536 at least' "$leat" cache-sim "$trace" --ram 1K
bad_trace() { check "$1" 1 '' "$2" sh -c 'printf "%b" "$1" | "$2" cache-sim -' sh "$3" "$leat"; }
bad_trace trace-empty 'has no choices' ''
bad_trace trace-order 'line 1: a choice before the shape' '0,1,0,0,0,0\n'
bad_trace trace-layers 'n_layer is 4096, wanted 1 to 1024' '# n_layer=4096 n_expert=8 n_expert_used=1\n'
bad_trace trace-used 'n_expert_used is 0, wanted 1 to 8' '# n_layer=1 n_expert=8 n_expert_used=0\n'
bad_trace trace-bytes 'line 2: expert_bytes is 0, wanted 1 to 1099511627776' '# n_layer=1 n_expert=8 n_expert_used=1\n# layer=0 expert_bytes=0\n'
shape='# n_layer=1 n_expert=8 n_expert_used=1\n# layer=0 expert_bytes=100\n'
bad_trace trace-expert 'line 3: the expert is 8, wanted 0 to 7' "${shape}0,1,0,0,0,8\n"
bad_trace trace-word "line 3: 'x' in column 3" "${shape}0,1,x,0,0,1\n"
bad_trace trace-many 'line 4: more than the 1 choices' "${shape}0,1,0,0,0,1\n0,1,0,0,1,2\n"
# A prompt between generated tokens, which is left out, is no use to come: of two experts the one leaves that no token wants.
{
    printf '# n_layer=1 n_expert=3 n_expert_used=1\n# layer=0 expert_bytes=4096\n'
    printf '%s\n' 0,1,0,0,0,0 0,1,1,0,0,1 1,0,0,0,0,0 1,1,0,0,0,2 1,1,1,0,0,1
} > "$work/turns.csv"
check cache-sim-turns 0 '^\| +8.0 KiB \|  66.7 \|   25.0 ' '' "$leat" cache-sim "$work/turns.csv" --ram 8K --policy belady
# Damage: of the trace above, and of one with two of eight experts chosen by a prompt of three and two generated tokens.
shape='# n_layer=2 n_expert=8 n_expert_used=2\n# layer=0 expert_bytes=100\n# layer=1 expert_bytes=100\n'
{
    printf "$shape"
    printf '0,0,%s\n' 0,0,0,1 0,0,1,2 1,0,0,3 1,0,1,2 2,0,0,5 2,0,1,4 2,1,0,7 2,1,1,0
    printf '0,1,%s\n' 3,0,0,1 3,0,1,2 3,1,0,3 3,1,1,2 4,0,0,5 4,0,1,4 4,1,0,7 4,1,1,0
} > "$work/two.csv"
check trace-two 0 ' 2 tokens generated' '' "$leat" cache-sim "$work/two.csv" --ram 8K
damaged() { # NAME ERR SED-SCRIPT: both commands say so, and name the file and the line
    sed -e "$3" "$work/two.csv" > "$work/damaged.csv"
    check "trace-$1" 1 '' "^leat cache-sim: $work/damaged.csv $2" "$leat" cache-sim "$work/damaged.csv" --ram 8K
    check "trace-$1-bench" 1 '' "^leat bench: $work/damaged.csv $2" "$leat" bench "$bare" -t 1 --routing "$work/damaged.csv"
}
damaged twice 'line 13: expert 1 comes twice in a token, wanted once' '13s/2$/1/'
damaged slots 'line 12: the slot is 1, wanted 0' '12{h;d};13G'
damaged tokens 'line 12: the layer is 1, wanted 0' '12,13{H;d};15G'
damaged passes 'line 17: the step is 3, wanted 5' '12,15{H;d};$G'
damaged missing-row 'line 13: the number of choices before is 1, wanted 2' '13d'
damaged missing-token 'line 6: the step is 2, wanted 1' '6,7d'
damaged missing-layer 'line 10: the layer is 0, wanted 1' '10,11d'
damaged other-tokens 'line 10: the step is 3, wanted 0' '10,11s/^0,0,2/0,0,3/'
damaged other-end 'line 12: the last step of the layer before is 1, wanted 2' '10,11s/^0,0,2/0,0,1/'
damaged other-turn 'line 14: the turn is 1, wanted 0' '14,$s/^0/1/'
damaged cut 'line 17: the file ends in layer 0 with 2 choices of a token, wanted layer 1 and 2: it was cut off' '18,$d'
damaged cut-token 'line 18: the file ends in layer 1 with 1 choices' '19d'

# ---- plan -----------------------------------------------------------------------------------------------

plan=("$leat" plan "$bare" -c 64 -t 2 --disk-gbps 1 --mem-gbps 10)
check plan-streams 0 '^\| +17.0 MiB \* \| streaming \| +[0-9]+ / [0-9]+ +\| +[0-9.]+ % \| +[0-9.]+ \| +[0-9.]+ \|$' '' "${plan[@]}" --ram 17M
mv "$out" "$work/plan"
check plan-cached 0 '^  cached   [0-9.]+ MiB: [0-9]+ of 8 experts$' '' cat "$work/plan"
check plan-more 0 '\| mapped    \| +[0-9]+ / [0-9]+ +\|   100.0 % \|           0.0 \|' '' cat "$work/plan"
check plan-fits 0 '^  weights  all of them: mapped$' '' "${plan[@]}" --ram 1G
check plan-dense 0 '^  ring     .*: the others in turn, [0-9.]+ MB read for every token$' '' "${plan[@]}" --ram 15M
# What other memory would bring does not depend on what was asked; what has no use is not taken for page tables.
rows() { "${plan[@]}" --ram "$1" | sed -n '/^Expected/,$ { /\*/! p }'; }
rows 1G > "$work/plan-1G"
check plan-steps 0 '^\| +[0-9.]+ MiB   \| streaming' '' cat "$work/plan-1G"
for ram in 64T 18446744073709551615; do
    rows $ram > "$out"
    same "plan-steps-$ram" "$work/plan-1G" "$out"
done
check plan-huge-ram 0 '^  other    [0-9.]+ MiB: ' '' "${plan[@]}" --ram 64T
check plan-disk 0 '^machine    (disk [0-9.]+ GB/s, [0-9]+ reads at a time, )?memory 10.0 GB/s$' '*' \
    "$leat" plan "$bare" -c 64 -t 2 --mem-gbps 10 --ram 17M
# Of a header alone nothing is known of the disk; a speed that is none is not taken for "measure".
head -c 64K "$bare" > "$work/holes.gguf"
truncate -s "$(stat -c %s "$bare")" "$work/holes.gguf"
check plan-holes 0 '^machine    memory 10.0 GB/s$' "the disk's speed is unknown" "$leat" plan "$work/holes.gguf" -c 64 -t 2 --mem-gbps 10 --ram 17M
check plan-no-speed 2 '' "--disk-gbps: '1e-300' is not a number from 0.0001 to 100000" "$leat" plan "$bare" --disk-gbps 1e-300
# It binds nobody, at any moment of its run.
"$leat" plan "$bare" -c 64 --disk-gbps 1 --ram 17M > "$work/plan.out" 2> "$err" &
while runs $!; do cat /proc/$!/task/*/status; done > "$work/tasks" 2> "$err"
wait $!
allowed "$work/tasks" > "$out"
same plan-no-pin-cores "$work/cores" "$out"
for kept in "$XDG_STATE_HOME/leat/"experts-*; do echo broken > "$kept"; done
check plan-usage-broken 0 '^Expected' 'warning: .*experts-[0-9a-f]+ is damaged: experts are counted anew' "${plan[@]}" --ram 17M
check plan-little 1 '' '^leat plan: 1.0 MiB of memory are too little' "${plan[@]}" --ram 1M

# A bench that follows it, on a model with more experts used; and one on a model of another shape.
check bench-routing 0 'tg8' 'stats: .*experts in memory [0-9.]+ %; read' "${bench[@]}" -p 0 -n 8 -t 1 --ram 17M --routing "$trace"
# What occurred may be recorded, and replayed: eight tokens of the trace, the first ones uncounted.
check bench-record 0 'tg8' 'stats' "${bench[@]}" -p 0 -n 8 -r 1 -t 1 --ram 17M --routing "$trace" --record "$work/recorded.csv"
printf old > "$work/old.csv"
check bench-record-full-disk 1 '*' 'old.csv: no space left' sh -c 'ulimit -f 2; "$@"' sh "${bench[@]}" -p 0 -n 64 -r 1 -t 1 --ram 17M \
    --record "$work/old.csv"
check bench-record-leaves 0 '^old$' '' cat "$work/old.csv"
check bench-record-replay 0 ' 8 tokens generated' '' "$leat" cache-sim "$work/recorded.csv" --prompt --ram 4M
# A mixture of types: experts of layer 0 are Q8_0, those of layer 1 Q4_0.
check bench-mixture 0 '*' '*' "$leat" quantize "$bare" "$work/mixture.gguf" q8_0 --tensor-type 'blk.1.ffn_.*_exps=q4_0'
check bench-record-mixture 0 'tg4' '*' "$leat" bench "$work/mixture.gguf" -p 0 -n 4 -r 1 -t 1 --record "$work/mixture.csv"
check bench-record-size-0 0 '^# layer=0 expert_bytes=208896$' '' cat "$work/mixture.csv"
check bench-record-size-1 0 '^# layer=1 expert_bytes=110592$' '' cat "$work/mixture.csv"
check bench-record-sizes 0 '2 layers of 4 experts, 2 used: 1.2 MiB in all, 624.0 KiB a token' '' "$leat" cache-sim "$work/mixture.csv" --ram 2M
check bench-record-dense 1 '*' 'no routing to record' "$leat" bench "$demo" -p 0 -n 8 -t 1 --record "$work/none.csv"
# What is counted is what the routing uses: one expert of four, where the model uses two.
token_bytes() { awk -F, '/^cpu,/ { for (i = 1; i <= NF; i++) if ($i == "token_bytes") back = NF - i; next } back { print $(NF - back) }' "$out"; }
check bench-own-bytes 0 '^cpu,' '*' "${bench[@]}" -p 0 -n 1 -r 1 -t 1 -o csv
token_bytes > "$work/bytes-own"
check bench-routing-bytes 0 '^cpu,' '*' "${bench[@]}" -p 0 -n 1 -r 1 -t 1 -o csv --routing "$trace"
token_bytes > "$work/bytes-routed"
check bench-routing-counts 0 '' '' awk 'NR == 1 { own = $1 } END { exit !(NR == 2 && $1 > own / 2 && $1 < own) }' "$work/bytes-own" "$work/bytes-routed"
check bench-routing-shape 1 '*' 'routing of 6 tokens, 2 layers, 1 experts used; the model has [0-9]+ layers of 0' \
    "$leat" bench "$demo" -p 0 -n 8 -t 1 --routing "$trace"
# ---- template ------------------------------------------------------------------------------------------

hi='[{"role": "user", "content": "Hi \u00e9"}]'
printf '%s' "$hi" > "$work/messages.json"
printf '{{ bos_token }}{%% for m in messages %%}[{{ m.role }}] {{ m.content }}\n{%% endfor %%}{%% if tools %%}{{ tools | tojson }}{%% endif %%}{{ extra }}{%% if add_generation_prompt %%}>{%% endif %%}{{ strftime_now("%%d %%b %%Y") }}' > "$work/chat.jinja"
check template-own 0 '^<s>\[user\] Hi é$' '' "$leat" template "$demo" --template "$work/chat.jinja" --messages "$hi"
check template-of-the-file 0 "^\\[\{'role': 'user', 'content': 'Hi é'\}\\]$" '' "$leat" template "$bpe" --messages "$hi"
check template-prompt 0 '^>29 Feb 2024' '' "$leat" template "$demo" --template "$work/chat.jinja" --messages "@$work/messages.json" --date 2024-02-29
check template-no-prompt 0 '^x01 Jan 1970' '' "$leat" template "$demo" --template "$work/chat.jinja" --messages "$hi" --no-generation-prompt \
    --kwargs '{"extra": "x"}' --date 1970-01-01
check template-tools 0 '^\[\{"a": 1.0\}\]>' '' "$leat" template "$demo" --template "$work/chat.jinja" --messages "$hi" --tools '[{"a":1.0}]'
check template-stdin 0 'Hi é' '' sh -c '"$1" template "$2" --template "$3" --messages - < "$4"' sh "$leat" "$demo" "$work/chat.jinja" "$work/messages.json"
check template-builtin 0 '^<\|im_start\|>assistant$' '' "$leat" template "$demo" --chat-template chatml --messages "$hi"
: > "$work/empty.jinja"
check template-empty 1 '' 'the template is empty' "$leat" template "$demo" --template "$work/empty.jinja" --messages "$hi"
check template-no-such 1 '' "no built-in template is named 'chatlm'" "$leat" template "$demo" --chat-template chatlm --messages "$hi"
check template-both 2 '' 'exclude each other' "$leat" template "$demo" --chat-template chatml --template x --messages "$hi"
check template-no-day 2 '' "'2023-02-29' is no date" "$leat" template "$demo" --chat-template chatml --messages "$hi" --date 2023-02-29
check template-bad-date 2 '' "'2024-2-1' is no date" "$leat" template "$demo" --chat-template chatml --messages "$hi" --date 2024-2-1
check template-none 1 '' 'has no chat template' "$leat" template "$bare" --messages "$hi"
check template-bad-json 1 '' '^leat template: --messages: JSON at offset 1: seen .x., wanted a value$' "$leat" template "$demo" --chat-template chatml --messages '[x]'
check template-bad-tools 1 '' '^leat template: --tools: JSON ends at offset 0' "$leat" template "$demo" --chat-template chatml --messages "$hi" --tools ''
check template-no-array 1 '' 'messages is an object, wanted an array' "$leat" template "$demo" --chat-template chatml --messages '{}'
check template-no-object 1 '' 'variables are an array, wanted an object' "$leat" template "$demo" --chat-template chatml --messages "$hi" --kwargs '[]'
check chat-no-object 2 '' '^leat chat: --kwargs is an array, wanted an object$' "$leat" chat "$demo" --kwargs '[]'
check chat-bad-json 2 '' '^leat chat: --kwargs: JSON' "$leat" chat "$demo" --kwargs '{'
check serve-no-object 2 '' '^leat serve: --chat-template-kwargs is an integer, wanted an object$' "$leat" serve "$demo" --chat-template-kwargs=1
check template-no-json-file 1 '' 'no such file' "$leat" template "$demo" --chat-template chatml --messages @/nowhere
printf '{%% if messages[0].role != "system" %%}{{ raise_exception("a system message is wanted") }}{%% endif %%}' > "$work/strict.jinja"
check template-raises 1 '' '^leat template: a system message is wanted$' "$leat" template "$demo" --template "$work/strict.jinja" --messages "$hi"
printf 'x\n{{ y z }}' > "$work/broken.jinja"
check template-syntax 1 '' "^leat template: template line 2: seen 'z', wanted '}}'$" "$leat" template "$demo" --template "$work/broken.jinja" --messages "$hi"
printf '<|im_start|>{{ messages | pprint }}' > "$work/foreign.jinja"
check template-falls-back 0 '^<\|im_start\|>user$' "no filter named 'pprint': not supported; rendered with the built-in template 'chatml'" "$leat" template "$demo" \
    --template "$work/foreign.jinja" --messages "$hi"

# Disks to boot from, without loaders: those are a matter of `make check-boot`.
check image-raw 0 '' '' "$leat" image "$demo" "$parts" -o "$work/disk" --raw --serve --ip 10.0.0.2/24,10.0.0.1 --api-key k1 --api-key k2
check image-list 0 "run=\"serve -m 'demo.gguf' --host 0.0.0.0 --port 80 --api-key k1 --api-key k2\"" '' "$leat" image --list "$work/disk"
check image-list-ip 0 'ip=10.0.0.2/24,10.0.0.1' '' "$leat" image --list "$work/disk"
check image-list-parts 0 "$(sha256sum < "$models/parts-00003-of-00003.gguf" | cut -d' ' -f1)  parts-00003-of-00003.gguf" '' "$leat" image --list "$work/disk"
check image-again 0 '' '' "$leat" image "$demo" "$parts" -o "$work/disk2" --raw --serve --ip 10.0.0.2/24,10.0.0.1 --api-key k1 --api-key k2
check image-same 0 '' '' cmp "$work/disk" "$work/disk2"
check image-none 2 '' 'a model is missing' "$leat" image -o "$work/disk2"
check image-no-output 2 '' '-o FILE is missing' "$leat" image "$demo"
check image-both 2 '' 'exclude each other' "$leat" image "$demo" -o "$work/disk2" --raw --iso
check image-no-model 1 '' 'no such file' "$leat" image /nowhere.gguf -o "$work/disk2" --raw
check image-twice 2 '' 'two files are called demo.gguf' "$leat" image "$demo" "$demo" -o "$work/disk2" --raw
check image-no-folder 1 '' 'nowhere/disk: no such file' "$leat" image "$demo" -o /nowhere/disk --raw
check image-no-loader 1 '' 'nowhere: no such file' "$leat" image "$demo" -o "$work/disk2" --boot /nowhere
check image-bad-loader 1 '' 'no image of loaders' "$leat" image "$demo" -o "$work/disk2" --boot "$demo"
check image-bad-ip 2 '' "the address is '10.0.0.2'; wanted dhcp, or as" "$leat" image "$demo" -o "$work/disk2" --raw --ip 10.0.0.2
check image-key-of-none 2 '' '--api-key wants --serve' "$leat" image "$demo" -o "$work/disk2" --raw --api-key k
check image-onto-device 2 '' '/dev/null: no plain file' "$leat" image "$demo" -o /dev/null --raw
check image-onto-folder 2 '' 'no plain file' "$leat" image "$demo" -o "$work" --raw
check image-folder 1 '' 'not a regular file' "$leat" image "$work" -o "$work/disk2" --raw
cp "$demo" "$work/one.gguf"
ln -s one.gguf "$work/other.gguf"
check image-onto-model 2 '' 'other.gguf is a file that is read' "$leat" image "$work/one.gguf" -o "$work/other.gguf" --raw
same image-model-stays "$demo" "$work/one.gguf"
ln "$work/one.gguf" "$work/one.part" # where the image would be written until it is whole
check image-through-model 2 '' 'one.part is a file that is read' "$leat" image "$work/one.gguf" -o "$work/one" --raw
same image-aside-stays "$demo" "$work/one.gguf"
rm "$work/one.part"
check image-one-writer 1 '' 'one: in use' flock "$work/one.part" "$leat" image "$work/one.gguf" -o "$work/one" --raw
[ -e "$work/one" ] && echo "image-one-writer: there is an image" && failed=$((failed + 1))
rm "$work/one.part"
cp "$demo" "$work/o\"ne.gguf"
check image-quote 2 '' 'without quotes' "$leat" image "$work/o\"ne.gguf" -o "$work/disk2" --raw
cp "$demo" "$work/an ö.gguf"
check image-blank 0 '' '' "$leat" image "$work/an ö.gguf" -o "$work/disk2" --raw --serve
check image-blank-list 0 "serve -m 'an ö.gguf'" '' "$leat" image --list "$work/disk2"
check image-escape 0 '' '' "$leat" image "$demo" -o "$work/disk2" --raw --option $'note=\e[2J'
check image-escape-list 0 '^ +note=\\x1b\[2J$' '' "$leat" image --list "$work/disk2"
# No room, and an end in the middle: there is no image then, and one that was there stays.
cp "$work/disk2" "$work/disk3"
check image-no-room 1 '' 'disk2: File too large' bash -c 'trap "" XFSZ; ulimit -f 1500; exec "$@"' - "$leat" image "$demo" -o "$work/disk2" --raw
same image-stays "$work/disk2" "$work/disk3"
"$leat" image "$models/large.gguf" -o "$work/disk2" --raw &
until [ -e "$work/disk2.part" ] || ! kill -0 $! 2> /dev/null; do :; done
if kill -9 $! 2> /dev/null; wait $! 2> /dev/null; [ -e "$work/disk2.part" ]; then
    same image-killed-stays "$work/disk2" "$work/disk3"
    check image-killed 1 '*' 'no partition of leat|damaged' "$leat" image --list "$work/disk2.part"
fi
rm -f "$work/one.gguf" "$work/other.gguf" "$work/o\"ne.gguf" "$work/an ö.gguf" "$work/disk3" "$work/disk2.part"
check image-bad-key 2 '' 'has blanks or quotes' "$leat" image "$demo" -o "$work/disk2" --raw --serve --api-key 'a b'
check image-bad-option 2 '' "'x' is not KEY=VALUE" "$leat" image "$demo" -o "$work/disk2" --raw --option x
check image-list-none 1 '' 'no partition of leat' "$leat" image --list "$demo"
printf x | dd of="$work/disk" bs=1 seek=$((1048576 + 100)) conv=notrunc 2> /dev/null
check image-list-damaged 1 'leat models' 'the manifest is damaged' "$leat" image --list "$work/disk"
rm "$work/disk" "$work/disk2"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
