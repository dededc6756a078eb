#!/usr/bin/env bash
# Train and calibrate MiniLM-L6 with exits on three small sets of texts: TREC, AG News and MR.
#   bash scripts/train_small_texts.sh DATA_DIR OUTPUT_DIR
# DATA_DIR holds trec/train_5500.label and agnews/dev.tsv (10,000 texts that others hold out of
# 120,000); a fifth of each is kept to find thresholds on. And mr/ with its two halves, a tenth of
# which is held out to test; too little is left to calibrate on, so its threshold is a common one.
set -euo pipefail # USE_CPU=false trains on a GPU
data=$1
output=$2
here=$(cd "$(dirname "$0")" && pwd)
train() { # NAME FILE EPOCHS OPTIONS...
    "${PYTHON:-python}" "$here/finetune_text.py" --model early_exit --encoder minilm --regime joint \
        --train_file "$data/$2" --num_train_epochs "$3" \
        --max_seq_length 128 --encoder_options '{"attention_probs_dropout_prob": 0}' \
        --bf16 true --use_cpu "${USE_CPU:-true}" \
        --per_device_train_batch_size 32 --per_device_eval_batch_size 128 \
        --learning_rate 1e-4 --warmup_steps 100 --eval_strategy epoch --save_strategy no \
        --report_to none --disable_tqdm true --seed 0 --output_dir "$output/$1" "${@:4}"
}
calibrate() { # NAME FILE
    "${PYTHON:-python}" "$here/calibrate.py" --task text --model "$output/$1" \
        --data_file "$data/$2" --calibration_share 0.2 --seed 0 --batch_size 32 --max_drop 0.01 \
        --measured
}
train trec trec/train_5500.label 5 --calibration_share 0.2
calibrate trec trec/train_5500.label
train agnews agnews/dev.tsv 3 --calibration_share 0.2
calibrate agnews agnews/dev.tsv
train mr mr 3 --reader_options '{"thresholds": [0.95, 0.95, 0.95, 0.95, 0.95]}'
