#!/usr/bin/env bash
# demo.sh LEAT MODEL: what `make demo` shows after the build.
set -eu
leat=$1 model=$2
say() { printf '\n$ %s\n' "$*"; "$@"; }
"$leat" --version
say "$leat" run -m "$model" -p "Once upon a time" -n 48 --seed 7
printf '\n'
echo
echo "The model was written by the build itself: $(wc -c < "$model") bytes of random weights, so its text means nothing."
echo "With a model of your own:  $leat run -m model.gguf -p \"Once upon a time\""
