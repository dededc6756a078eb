#!/usr/bin/env bash
# Train and calibrate MiniLM-L6 with exits on the Stanford Sentiment Treebank (two classes).
#   bash scripts/train_sst2.sh DATA_DIR OUTPUT_DIR
# DATA_DIR holds sst/: glue_train_phrases.tsv, train.txt and dev.txt. Phrases of the sentences of
# dev.txt, and of a fifth of those of train.txt, are not trained on: thresholds come from that
# fifth, and dev.txt is seen by neither.
set -euo pipefail # USE_CPU=false trains on a GPU
data=$1/sst
output=$2
here=$(cd "$(dirname "$0")" && pwd)
held_out=(--calibration_share 0.2 --seed 0)
"${PYTHON:-python}" "$here/finetune_text.py" --model early_exit --encoder minilm --regime joint \
    --train_file "$data/glue_train_phrases.tsv" --text_column sentence \
    --leave_out_file "$data/dev.txt" --calibration_file "$data/train.txt" "${held_out[@]}" \
    --max_seq_length 64 --encoder_options '{"attention_probs_dropout_prob": 0}' \
    --bf16 true --use_cpu "${USE_CPU:-true}" \
    --per_device_train_batch_size 64 --per_device_eval_batch_size 128 \
    --learning_rate 1e-4 --warmup_steps 150 --num_train_epochs 3 \
    --logging_steps 200 --eval_strategy epoch --save_strategy no \
    --report_to none --disable_tqdm true --output_dir "$output/sst2"
"${PYTHON:-python}" "$here/calibrate.py" --task text --model "$output/sst2" \
    --data_file "$data/train.txt" "${held_out[@]}" --batch_size 32 --max_drop 0.005
