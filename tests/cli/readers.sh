#!/usr/bin/env bash
# readers.sh LEAT MODELS WORK: files of `leat quantize` as @huggingface/gguf reads them, which is what the web pages of models
# show. Needs npm; where there is none, nothing is tested and the suite passes.
set -u
leat=$1 models=$2 work=$3
passed=0 failed=0
mkdir -p "$work"
if ! command -v npm > /dev/null; then
    echo "skip readers: there is no npm"
    echo "0 passed, 0 failed"
    exit 0
fi
leat=$(realpath "$leat")
models=$(realpath "$models")
cd "$work" || exit 1
[ -d node_modules/@huggingface/gguf ] || npm install --silent --no-save --prefix . @huggingface/gguf > npm.log 2>&1 || {
    cat npm.log
    echo "0 passed, 1 failed"
    exit 1
}
cat > read.mjs << 'EOF'
import { gguf, GGMLQuantizationType } from "@huggingface/gguf";
const file = await gguf(process.argv[2], { allowLocalFile: true });
console.log("type", file.metadata["general.file_type"], "version", file.metadata["general.quantization_version"]);
for (const t of file.tensorInfos)
    console.log(t.name, GGMLQuantizationType[t.dtype], t.shape.join("x"));
EOF
for i in $(seq 40); do echo "Once upon a time there was a little test, number $i."; done > story
"$leat" imatrix -m "$models/parts-00001-of-00003.gguf" -f story -o imatrix -c 64 --chunks 3 > err.txt 2>&1 || cat err.txt
for t in $("$leat" quantize --list | sed 's/ .*//'); do
    rm -f o.gguf read.txt
    "$leat" quantize -q "$models/parts-00001-of-00003.gguf" o.gguf "$t" --imatrix imatrix && node read.mjs o.gguf > read.txt 2> err.txt
    "$leat" inspect --tensors o.gguf | awk '$1 ~ /(weight|bias)$/ { print $1, $2 }' | sort > wanted.txt
    awk '$1 != "type" { print $1, $2 }' read.txt | sort > got.txt
    if [ -s got.txt ] && cmp -s got.txt wanted.txt && { [ "$t" = COPY ] || grep -q 'version 2$' read.txt; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $t"
        diff got.txt wanted.txt | head -3
        head -3 err.txt
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
