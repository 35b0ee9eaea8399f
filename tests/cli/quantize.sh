#!/usr/bin/env bash
# quantize.sh LEAT MODELS WORK: `leat quantize` as it is typed; the arguments are those of cli.sh.
set -u
export LC_ALL=C
leat=$1 models=$2 work=$3
rm -rf "$work"
mkdir -p "$work"
out=$work/out err=$work/err
. "$(dirname "$0")/check.sh"

float=$models/ids.gguf parts=$models/parts-00001-of-00003.gguf demo=$models/demo.gguf large=$models/large.gguf
o=$work/o.gguf
q=("$leat" quantize -q)
absent() { for f in "${@:2}"; do [ -e "$f" ] && { fail "$1" "$f is there"; return; }; done; pass; }
runs_in_leat() { check "$1" 0 'runs in leat  yes' '' "$leat" inspect "$2"; }

# ---- every type -----------------------------------------------------------------------------------------

check list 0 '^Q4_K_M +' '' "$leat" quantize --list
seq 3 20 > "$work/ids"
for i in $(seq 40); do echo "Once upon a time there was a little test, number $i."; done > "$work/story"
check imatrix 0 '*' '*' "$leat" imatrix -m "$parts" -f "$work/story" -o "$work/imatrix" -c 64 --chunks 3
for t in $("$leat" quantize --list | sed 's/ .*//'); do
    # Those of few bits want a matrix of importance, which wants a model that reads text.
    from=("$float" "$o" $t)
    "$leat" quantize --dry-run "$float" $t 2>&1 | grep -q 'needs a matrix of importance' &&
        from=("$parts" "$o" $t --imatrix "$work/imatrix")
    # What the plan says and what the file has must agree.
    check "plan-$t" 0 "^$t: .* bits a weight \(from" '*' "$leat" quantize --dry-run -v "${from[@]}"
    grep -E '^[a-z]' "$out" | sed 's/ .*-> / /; s/  */ /' | sort > "$work/planned"
    rm -f "$o"
    check "make-$t" 0 '' '' "${q[@]}" "${from[@]}"
    runs_in_leat "runs-$t" "$o"
    "$leat" inspect --tensors "$o" | awk '$1 ~ /(weight|bias)$/ { print $1, $2 }' | sort > "$work/made"
    same "types-$t" "$work/planned" "$work/made"
    check "eval-$t" 0 '' '*' "$leat" eval "$o" --ids "$work/ids" --logits "$work/logits"
done
absent no-part "$o.part"

# The bytes depend on the input and the type alone.
for t in Q8_0 Q4_K_M IQ4_XS; do
    for n in 1 2 5; do "${q[@]}" "$float" "$work/t$n.gguf" $t $n; done
    "${q[@]}" "$float" "$work/scalar.gguf" $t --isa scalar
    "${q[@]}" "$float" "$work/small.gguf" $t --ram 6M
    same "same-$t" "$work"/t[125].gguf "$work/scalar.gguf" "$work/small.gguf"
done

# ---- choices --------------------------------------------------------------------------------------------

type_of() { "$leat" inspect --tensors "$o" | awk -v n="$1" '$1 == n { print $2 }'; }
is_type() { local t; t=$(type_of "$2"); if [ "$t" = "$3" ]; then pass; else fail "$1" "$2 is $t, wanted $3"; fi; }
check choose 0 'bits a weight' 'blk.2..attn_v=q8_0 decided nothing' "$leat" quantize "$float" "$o" q4_0 \
    --tensor-type 'blk\.1\..*attn_v=q8_0' --tensor-type 'ATTN_(Q|K)\.=q5_0' --tensor-type 'blk.2..attn_v=q8_0' \
    --tensor-type attn_v=f16 --output-tensor-type f16 --token-embedding-type bf16
is_type choose-first blk.1.attn_v.weight Q8_0
is_type choose-next blk.0.attn_v.weight F16
is_type choose-set blk.0.attn_q.weight Q5_0
is_type choose-rest blk.0.attn_output.weight Q4_0
is_type choose-output output.weight F16
is_type choose-embedding token_embd.weight BF16
is_type choose-router blk.0.ffn_gate_inp.weight F32
printf 'attn_q\\.=q8_0\n\n  attn_k\\.=q5_0 ' > "$work/types"
check type-file 0 '' '' "${q[@]}" "$float" "$o" q4_0 --tensor-type-file "$work/types"
is_type type-file-first blk.0.attn_q.weight Q8_0
is_type type-file-last blk.0.attn_k.weight Q5_0
check pure 0 '' '' "${q[@]}" "$float" "$o" q4_k_m --pure
is_type pure-output output.weight Q4_K
check leave-output 0 '' '' "${q[@]}" "$float" "$o" q4_k_m --leave-output-tensor
is_type leave-output-is output.weight F32

# ---- keys -----------------------------------------------------------------------------------------------

keys() { "$leat" inspect --kv --json "$1" | grep '"key"'; }
"${q[@]}" "$float" "$o" q8_0 --override-kv general.name=str:new --override-kv qwen2moe.context_length=int:77 \
    --override-kv my.flag=bool:true --override-kv my.number=float:1.5
keys "$o" > "$work/keys"
check key-str 0 'general.name.*"new"' '' cat "$work/keys"
check key-int 0 'context_length", "kind": "u32", "value": 77' '' cat "$work/keys"
check key-new 0 'my.flag.*true' '' cat "$work/keys"
check key-float 0 'my.number", "kind": "f32", "value": 1.5' '' cat "$work/keys"
check key-version 0 'general.quantization_version", "kind": "u32", "value": 2' '' cat "$work/keys"
check key-type 0 'general.file_type", "kind": "u32", "value": 7' '' cat "$work/keys"
"${q[@]}" "$float" "$o" copy
same copy "$float" "$o"
for bad in nothing a=b:c a=int:x a=int:99999999999 a=bool:yes split.no=int:1 general.alignment=int:64; do
    check "key-bad-$bad" 2 '' '--override-kv' "${q[@]}" "$float" "$o" q8_0 --override-kv $bad
done

# ---- parts ----------------------------------------------------------------------------------------------

"${q[@]}" "$parts" "$work/whole.gguf" q8_0
"${q[@]}" "$parts" "$work/kept.gguf" q8_0 --keep-split
check kept 0 '' '' test -e "$work/kept-00003-of-00003.gguf"
absent kept-whole "$work/kept.gguf" "$work/kept-00001-of-00003.gguf.part"
"${q[@]}" "$work/whole.gguf" "$work/cut.gguf" copy --split-max-size 400K
"${q[@]}" "$work"/cut-00001-of-*.gguf "$work/joined.gguf" copy
"${q[@]}" "$work/kept-00001-of-00003.gguf" "$work/joined-kept.gguf" copy
same joined "$work/whole.gguf" "$work/joined.gguf" "$work/joined-kept.gguf"
runs_in_leat cut "$work"/cut-00001-of-*.gguf
for f in "$work"/cut-*; do [ "$(wc -c < "$f")" -le 409600 ] || fail cut-size "$f is $(wc -c < "$f") bytes"; done

# All parts are begun before the work: many of them, and what stands in their way is told then.
check many-parts 0 '' '' sh -c 'ulimit -Sn 16; "$@"' sh "${q[@]}" "$work/whole.gguf" "$work/many.gguf" copy --split-max-size 40K
runs_in_leat many "$work"/many-00001-of-*.gguf
[ "$(ls "$work"/many-* | wc -l)" -ge 16 ] || fail many-parts-number "$(ls "$work"/many-* | wc -l)"
rm "$work"/many-*
check too-many-parts 1 '' '^leat quantize: [^:]*: too many files are open$' \
    sh -c 'ulimit -n 16; "$@"' sh "$leat" quantize -v "$work/whole.gguf" "$work/many.gguf" copy --split-max-size 40K
if like "$err" '^ *1/'; then fail too-many-parts-early "after the first tensor"; else pass; fi
absent too-many-parts-none "$work"/many-*

# A set of parts has one writer from its first part to the end: here the first waits amid the second part.
set=("$leat" quantize -q "$large" "$work/set.gguf" q4_k_m 1 --isa scalar --split-max-size 4M)
for ((i = 0; i < 20; i++)); do # again when it was done before the signal
    rm -f "$work"/set-*
    "${set[@]}" 2> "$err" &
    pid=$!
    second_begun() { [ "$(cat "$work"/set-00002-of-*.part 2> /dev/null | wc -c)" -gt 1000000 ]; }
    until second_begun || ! kill -0 $pid 2> /dev/null; do sleep 0.01; done
    kill -STOP $pid 2> /dev/null
    second_begun && break
    kill -CONT $pid 2> /dev/null
    wait $pid
done
check set-second 1 '' 'set-00001-of-000[0-9]+.gguf: in use' "${set[@]}"
kill -CONT $pid
wait $pid
status=$?
if [ $status = 0 ]; then pass; else fail set-first "exit status $status"; fi
absent set-parts "$work"/set-*.part
runs_in_leat set "$work"/set-00001-of-*.gguf

# ---- what is refused --------------------------------------------------------------------------------------

rm -f "$o"
check no-type 2 '' "'Q9_9' is no type" "$leat" quantize "$float" "$o" Q9_9
check no-out 2 '' 'the file to write is missing' "$leat" quantize "$float"
check type-missing 2 '' 'the type is missing' "$leat" quantize "$float" "$o"
check threads-0 2 '' "'0' is not a number of threads" "$leat" quantize "$float" "$o" q8_0 0
check bad-pattern 2 '' 'is not closed' "$leat" quantize "$float" "$o" q8_0 --tensor-type '(a=q8_0'
check bad-choice 2 '' 'is not PATTERN=TYPE' "$leat" quantize "$float" "$o" q8_0 --tensor-type attn_v
check bad-choice-type 2 '' "'q9' is no tensor type" "$leat" quantize "$float" "$o" q8_0 --tensor-type attn_v=q9
check two-splits 2 '' 'choose one' "$leat" quantize "$float" "$o" q8_0 --keep-split --split-max-size 1M
check again 1 '' 'tensor [a-z0-9._]+ is Q8_0, so it was quantised before' "$leat" quantize "$demo" "$o" q4_0
check again-allowed 0 '' '' "${q[@]}" "$demo" "$o" q4_0 --allow-requantize
runs_in_leat again-runs "$o"
check again-same 0 '' '' "${q[@]}" "$demo" "$o" q8_0
check needs-importance 1 '' 'blk.0.attn_[a-z]+.weight: IQ2_[A-Z]+ needs a matrix of importance: --imatrix' \
    "$leat" quantize "$float" "$o" iq2_xxs
check no-imatrix 1 '' 'none: no such file' "$leat" quantize "$float" "$o" q4_k_m --imatrix "$work/none"
check ram 2 '' '--ram: less than 1M' "$leat" quantize "$float" "$o" q8_0 --ram 4096
check no-folder 1 '' 'no such file' "$leat" quantize "$float" "$work/no/such.gguf" q8_0
check folder 2 '' 'not a regular file' "$leat" quantize "$float" "$work" q8_0
check device 2 '' 'not a regular file' "$leat" quantize "$float" /dev/null q8_0
cp "$float" "$work/in.gguf"
ln "$work/in.gguf" "$work/hard.gguf"
ln -s in.gguf "$work/soft.gguf"
for f in in hard soft; do
    check "onto-itself-$f" 2 '' 'is a file that is read' "$leat" quantize "$work/in.gguf" "$work/$f.gguf" q8_0
done
cp "$float" "$work/aside.gguf.part"
check onto-aside 2 '' 'is a file that is read' "$leat" quantize "$work/aside.gguf.part" "$work/aside.gguf" q8_0
echo 'attn_v=q6_k' > "$work/types"
cp "$work/imatrix" "$work/matrix"
cp "$parts" "$work/in-00001-of-00003.gguf"
for n in 2 3; do cp "$models/parts-0000$n-of-00003.gguf" "$work/in-0000$n-of-00003.gguf"; done
check onto-part 2 '' 'in-00002-of-00003.gguf is a file that is read' "$leat" quantize "$work/in-00001-of-00003.gguf" "$work/in-00002-of-00003.gguf" q8_0
check onto-imatrix 2 '' 'matrix is a file that is read' "$leat" quantize "$float" "$work/matrix" q8_0 --imatrix "$work/matrix"
check onto-types 2 '' 'types is a file that is read' "$leat" quantize "$float" "$work/types" q8_0 --tensor-type-file "$work/types"
same untouched "$float" "$work/in.gguf" "$work/aside.gguf.part"
same untouched-part "$models/parts-00002-of-00003.gguf" "$work/in-00002-of-00003.gguf"
same untouched-imatrix "$work/imatrix" "$work/matrix"

# A weight that is none: the tensor, the row and the column; what was there stays.
cp "$float" "$work/nan.gguf"
offset=$("$leat" inspect --json --tensors "$float" | sed -n 's/.*"blk.1.attn_k.weight".*"offset": \([0-9]*\),.*/\1/p')
printf '\000\000\300\177' | dd of="$work/nan.gguf" bs=1 seek=$((offset + 4 * (256 * 3 + 5))) conv=notrunc status=none
printf old > "$work/old.gguf"
for n in 1 2; do
    check "nan-$n" 1 '' 'tensor blk.1.attn_k.weight, row 3, column 5: the weight is nan' "$leat" quantize "$work/nan.gguf" "$work/old.gguf" q8_0 $n
done
check kept-old 0 '^old$' '' cat "$work/old.gguf"
absent no-part-nan "$work/old.gguf.part"
printf '\000\044\164\111' | dd of="$work/nan.gguf" bs=1 seek=$((offset + 4 * (256 * 3 + 5))) conv=notrunc status=none
check large-f16 1 '' 'column 5: the weight is 1e\+06, more than the type can hold' "${q[@]}" "$work/nan.gguf" "$o" f16
check large-bf16 0 '' '' "${q[@]}" "$work/nan.gguf" "$o" bf16

# A disk that is full: before the work, since the size is known.
check full 1 '' 'no space left' sh -c 'ulimit -f 100; "$@"' sh "${q[@]}" "$float" "$work/full.gguf" q8_0
absent full-nothing "$work/full.gguf" "$work/full.gguf.part"

# ---- interrupted ------------------------------------------------------------------------------------------

interrupt() { # NAME SIGNAL STATUS
    local pid i
    for ((i = 0; i < 20; i++)); do # again when it was done before the signal
        rm -f "$work/cut-off.gguf" "$work/cut-off.gguf.part"
        "$leat" quantize "$large" "$work/cut-off.gguf" q4_k_m 1 --isa scalar > "$out" 2> "$err" &
        pid=$!
        until [ -s "$work/cut-off.gguf.part" ] || ! kill -0 $pid 2> /dev/null; do sleep 0.01; done
        kill "-$2" $pid 2> /dev/null
        wait $pid 2> /dev/null
        status=$?
        [ $status = 0 ] || break
    done
    if [ $status = "$3" ]; then pass; else fail "$1" "exit status $status, wanted $3"; fi
    absent "$1-nothing" "$work/cut-off.gguf"
}
signals="INT TERM"
(sh -c 'kill -HUP $$'; exit $?) 2> /dev/null || signals+=" HUP" # else these tests run under nohup
for s in $signals; do
    interrupt "interrupt-$s" $s 130
    absent "interrupt-$s-part" "$work/cut-off.gguf.part"
    like "$err" 'interrupted: nothing was written' && pass || fail "interrupt-$s-says" "nothing"
done
interrupt kill KILL 137
check after-kill 0 '' '' "${q[@]}" "$large" "$work/cut-off.gguf" q8_0
absent after-kill-part "$work/cut-off.gguf.part"
runs_in_leat after-kill-runs "$work/cut-off.gguf"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
