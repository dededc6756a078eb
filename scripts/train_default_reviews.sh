#!/usr/bin/env bash
# Train the bundled review reader from nothing: a plain LSTM first, then its skimming.
#   bash scripts/train_default_reviews.sh DATA_DIR OUTPUT_DIR
# DATA_DIR holds imdb/train.parquet, sst/train.txt, mr/rt-polarity.pos and .neg. Reviews are held out
# in blocks of ids: neighbours are about one film, and a film's name must not give the label away.
set -euo pipefail
data=$1
output=$2
here=$(cd "$(dirname "$0")" && pwd)
common=(
    --model skim_rnn --train_file "$data/imdb/train.parquet" --block_column id
    --extra_train_files "$data/sst/train.txt" "$data/mr/rt-polarity.pos" "$data/mr/rt-polarity.neg"
    --max_seq_length 600 --word_dropout 0.2
    --per_device_train_batch_size 64 --per_device_eval_batch_size 128 --max_eval_samples 2500
    --max_grad_norm 1.0 --lr_scheduler_type cosine --warmup_steps 200 --weight_decay 0.01
    --logging_steps 100 --eval_strategy epoch --save_strategy no
    --report_to none --disable_tqdm true --seed 0
)
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" \
    --reader_options '{"pooling": "max", "dropout": 0.5, "read_threshold": 0, "skim_loss_weight": 0}' \
    --learning_rate 2e-3 --num_train_epochs 3 --output_dir "$output/lstm"
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" \
    --model_name_or_path "$output/lstm" --freeze_embeddings \
    --reader_options '{"read_threshold": 0.5, "skim_loss_weight": 0.02}' \
    --learning_rate 7e-4 --num_train_epochs 4 --output_dir "$output/skim"
"${PYTHON:-python}" "$here/calibrate.py" --task text --model "$output/skim" \
    --data_file "$data/imdb/train.parquet" --block_column id --validation_share 0.1 \
    --budget 0.45
