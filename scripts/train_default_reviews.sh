#!/usr/bin/env bash
# Train the bundled review reader: a plain LSTM taught by a transformer, then its skimming.
#   bash scripts/train_default_reviews.sh DATA_DIR TEACHER OUTPUT_DIR
# DATA_DIR holds imdb/train.parquet, sst/train.txt, mr/rt-polarity.pos and .neg; TEACHER is
# OUTPUT_DIR/exits of train_imdb.sh. Reviews are held out in blocks of ids: neighbours are about one
# film, and a film's name must not give the label away. The teacher did not see them either.
set -euo pipefail
data=$1
teacher=$2
output=$3
here=$(cd "$(dirname "$0")" && pwd)
"${PYTHON:-python}" "$here/label_with_teacher.py" --teacher "$teacher" \
    --data_file "$data/imdb/train.parquet" --block_column id --chunk_size 62 --hard_share 0.4 \
    --seed 0 --output_dir "$output/labels"
common=(
    --model skim_rnn --train_file "$output/labels/train.parquet"
    --validation_file "$output/labels/validation.parquet"
    --per_device_train_batch_size 64 --per_device_eval_batch_size 128
    --max_grad_norm 1.0 --lr_scheduler_type cosine --warmup_steps 200 --weight_decay 0.01
    --logging_steps 200 --eval_strategy epoch --save_strategy no
    --report_to none --disable_tqdm true --seed 0
)
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" \
    --extra_train_files "$data/sst/train.txt" "$data/mr/rt-polarity.pos" "$data/mr/rt-polarity.neg" \
    --reader_options '{"pooling": "max", "dropout": 0.5, "read_threshold": 0, "skim_loss_weight": 0}' \
    --max_seq_length 500 --word_dropout 0.2 --learning_rate 2e-3 --num_train_epochs 4 \
    --output_dir "$output/lstm"
# From here on the embeddings stay as they are; first it learns to skim, then to skim more.
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" \
    --init_from "$output/lstm" --freeze_embeddings \
    --reader_options '{"pooling": "max", "dropout": 0.5, "skim_loss_weight": 0.02}' \
    --max_seq_length 400 --word_dropout 0.2 --learning_rate 1e-3 --num_train_epochs 3 \
    --output_dir "$output/skim_some"
"${PYTHON:-python}" "$here/finetune_text.py" "${common[@]}" \
    --init_from "$output/skim_some" --freeze_embeddings \
    --reader_options '{"pooling": "max", "dropout": 0.4, "skim_loss_weight": 0.03}' \
    --max_seq_length 500 --word_dropout 0.1 --learning_rate 7e-4 --num_train_epochs 2 \
    --output_dir "$output/skim"
"${PYTHON:-python}" "$here/calibrate.py" --task text --model "$output/skim" \
    --data_file "$data/imdb/train.parquet" --block_column id --validation_share 0.1 \
    --seed 0 --budget 0.2
