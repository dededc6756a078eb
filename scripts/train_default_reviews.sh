#!/usr/bin/env bash
# Train the bundled review reader from nothing: a plain LSTM first, then its skimming.
#   bash scripts/train_default_reviews.sh IMDB_TRAIN.parquet OUTPUT_DIR
set -euo pipefail
train_file=$1
output=$2
here=$(cd "$(dirname "$0")" && pwd)
common=(
    --model skim_rnn --train_file "$train_file" --max_seq_length 400 --dropout 0.5 --word_dropout 0.2
    --per_device_train_batch_size 64 --per_device_eval_batch_size 128 --max_eval_samples 1000
    --max_grad_norm 1.0 --lr_scheduler_type cosine --warmup_steps 200 --weight_decay 0.01
    --logging_steps 100 --eval_strategy epoch --save_strategy no
    --report_to none --disable_tqdm true --seed 0
)
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" --read_all \
    --learning_rate 2e-3 --num_train_epochs 3 --output_dir "$output/lstm"
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" --model_name_or_path "$output/lstm" \
    --skim_loss_weight "${SKIM_LOSS_WEIGHT:-0.02}" \
    --learning_rate 1e-3 --num_train_epochs 3 --output_dir "$output/skim"
