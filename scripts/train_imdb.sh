#!/usr/bin/env bash
# Train and calibrate MiniLM-L6 for film reviews of any length: exits, then a skim and a pooling.
#   bash scripts/train_imdb.sh DATA_DIR OUTPUT_DIR
# DATA_DIR holds imdb/train.parquet and sst/: glue_train_phrases.tsv and dev.txt. A tenth of the
# reviews, whole blocks of ids, is held out; thresholds come from it. The pooling is trained on what
# the encoder says of its own training reviews, so it is small.
set -euo pipefail # USE_CPU=false trains on a GPU
data=$1
output=$2
here=$(cd "$(dirname "$0")" && pwd)
common=(
    --per_device_eval_batch_size 64 --bf16 true --use_cpu "${USE_CPU:-true}"
    --save_strategy no --report_to none --disable_tqdm true --logging_steps 50 --seed 0
)
exits=(
    --model early_exit --regime joint
    --encoder_options '{"attention_probs_dropout_prob": 0}' "${common[@]}"
)
"${PYTHON:-python}" "$here/finetune_text.py" "${exits[@]}" --encoder minilm \
    --train_file "$data/sst/glue_train_phrases.tsv" --text_column sentence \
    --leave_out_file "$data/sst/dev.txt" --max_seq_length 64 \
    --per_device_train_batch_size 64 --learning_rate 1e-4 --warmup_steps 150 \
    --num_train_epochs 3 --output_dir "$output/phrases"
reviews=(--train_file "$data/imdb/train.parquet" --block_column id)
"${PYTHON:-python}" "$here/finetune_text.py" "${exits[@]}" \
    --model_name_or_path "$output/phrases" "${reviews[@]}" \
    --max_seq_length 512 --crop_size 128 --crop_share 0.5 --max_eval_samples 1500 \
    --per_device_train_batch_size 32 --learning_rate 8e-5 --warmup_steps 100 \
    --num_train_epochs 1.6 --output_dir "$output/exits"
"${PYTHON:-python}" "$here/finetune_text.py" --model chunk_reader --encoder "$output/exits" \
    "${reviews[@]}" "${common[@]}" \
    --reader_options '{"skim_buckets": 131072, "order": "skim", "chunk_size": 256}' \
    --learning_rate 2e-3 --weight_decay 0.01 --per_device_train_batch_size 128 \
    --num_train_epochs 4 --output_dir "$output/chunks"
"${PYTHON:-python}" "$here/calibrate.py" --task text --model "$output/chunks" \
    --data_file "$data/imdb/train.parquet" --block_column id --validation_share 0.1 \
    --seed 0 --batch_size 32 --max_drop 0.005 --num_levels 20
