#!/usr/bin/env bash
# tests/program/program_test.sh KINEMA SOURCE - the program's promises: exit codes, one error line, nothing left behind.
#
# Every case is a line  expect CODE "words of the message" arguments…; a failed case prints what happened and is counted.
set -u
kinema=$1
source_dir=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0 cases=0
export OMP_NUM_THREADS=2

fail() { echo "FAILED: $*"; failed=$((failed + 1)); }

# expect CODE WORDS ARGUMENTS…: the exit code, the words on stderr, one error line, an empty stdout and an unchanged folder.
expect() {
  local code=$1 words=$2 before after got
  shift 2
  cases=$((cases + 1))
  before=$(find . -path ./log -prune -o -print | sort | md5sum)
  timeout 60 "$kinema" "$@" >log/out 2>log/err
  got=$?
  after=$(find . -path ./log -prune -o -print | sort | md5sum)
  [ "$got" = "$code" ] || fail "exit $got instead of $code: kinema $* ($(tail -n 2 log/err))"
  grep -qF -- "$words" log/err || fail "no \"$words\" in: $(cat log/err) (kinema $*)"
  [ "$(grep -c '^error:' log/err)" = 1 ] || fail "not exactly one error line: kinema $*: $(cat log/err)"
  [ -s log/out ] && fail "stdout is not empty: kinema $*"
  [ "$before" = "$after" ] || fail "files changed: kinema $*"
}

# accept ARGUMENTS…: exit 0 and no error line.
accept() {
  cases=$((cases + 1))
  timeout 120 "$kinema" "$@" >log/out 2>log/err || fail "exit $? for: kinema $* ($(tail -n 2 log/err))"
  grep -q '^error:' log/err && fail "error line with exit 0: kinema $*"
  return 0
}

mkdir log
accept init --preset tiny --seed 3 --output model --quiet
ok=(generate --model model --prompt "a b" --steps 2 --quiet)

# help, version, devices
for command in "" generate encode-text tokenize encode decode inspect metadata plan verify init; do accept $command --help; done
accept --version
grep -q "^kinema [0-9]" log/out || fail "--version prints no version"
accept --list-devices
grep -q "^cpu" log/out || fail "--list-devices has no cpu"
expect 2 "command is required"
expect 2 "frobnicate" frobnicate
expect 2 "--no-such-flag" "${ok[@]}" --output v.npy --no-such-flag
expect 2 "--output: is required" "${ok[@]}"
expect 2 "--prompt: is required" generate --model model --output v.npy
expect 2 "--model: is required" generate --prompt x --output v.npy

# numbers are read whole
for bad in "" " 5" "5 " 5.0 5x 0x5 1e1 five -1 0 1001 99999999999999999999 nan; do expect 2 "--steps" generate --model model --prompt x --output v.npy "--steps=$bad"; done
for bad in "" -1 1.5 18446744073709551616 abc; do expect 2 "--seed" "${ok[@]}" --output v.npy "--seed=$bad"; done
for bad in "" nan inf -inf x 1,5 0x1p3 -1; do expect 2 "--cfg-scale" "${ok[@]}" --output v.npy "--cfg-scale=$bad"; done
for bad in 0 2 7 8 10 1000000 99999999999 -9 9.0; do expect 2 "num-frames" "${ok[@]}" --output v.npy "--num-frames=$bad"; done
for bad in 0 8 40 63 -64 100000000000; do expect 2 "height" "${ok[@]}" --output v.npy "--height=$bad"; expect 2 "width" "${ok[@]}" --output v.npy "--width=$bad"; done
expect 2 "nearest is 17" "${ok[@]}" --output v.npy --num-frames 15
expect 2 "ddim, dpm" "${ok[@]}" --output v.npy --scheduler euler
expect 2 "torch-cpu, philox" "${ok[@]}" --output v.npy --rng mt
expect 2 "f32" "${ok[@]}" --output v.npy --dtype int8
expect 2 "one of cpu, cuda" "${ok[@]}" --output v.npy --device tpu
expect 5 "cuda:0" "${ok[@]}" --output v.npy --device cuda
expect 2 "auto, on, off" "${ok[@]}" --output v.npy --vae-tiling=maybe
expect 2 "--vae-tile-size" "${ok[@]}" --output v.npy --vae-tile-size 3x
expect 2 "--strength" "${ok[@]}" --output v.npy --strength 0.5
expect 2 "UTF-8" generate --model model --output v.npy --prompt $'a\xff'
expect 2 ".mp4" "${ok[@]}" --output v.xyz
expect 2 ".mp4" "${ok[@]}" --output v

# models and files
expect 3 "nowhere" generate --model nowhere --prompt x --output v.npy
expect 3 "model_index.json" generate --model log --prompt x --output v.npy
expect 3 "model_index.json/v.npy" "${ok[@]}" --output model/model_index.json/v.npy
expect 3 "missing.png" encode --model model --input missing.png --output l.safetensors
expect 3 "missing.safetensors" decode --model model --latents missing.safetensors --output v.npy
expect 3 "" inspect nowhere
mkfifo pipe
expect 3 "pipe" decode --model model --latents pipe --output v.npy
rm pipe
expect 2 "image" "${ok[@]}" --output v.npy --init-image "$source_dir/examples/models/shapes/README.md"

broken() {  # broken FILE SED-EXPRESSION WORDS: a copy of the model with one file edited is refused with exit 3
  rm -rf bad && cp -r model bad
  sed -i "$2" "bad/$1"
  expect 3 "$3" tokenize --model bad --prompt x
}
broken model_index.json 's/T5EncoderModel/BertModel/' "BertModel"
broken model_index.json 's/CogVideoXPipeline/FluxPipeline/' "_class_name"
broken transformer/config.json 's/"num_layers": 2/"num_layers": 3/' "transformer_blocks.2"
broken transformer/config.json 's/"num_layers": 2/"num_layers": "2"/' "num_layers"
broken transformer/config.json 's/"num_layers": 2/"num_layers": 2.0/' "num_layers"
broken transformer/config.json 's/"num_layers": 2/"num_layers": true/' "num_layers"
broken transformer/config.json 's/"num_layers": 2/"num_layers": 1000000000/' "num_layers"
broken transformer/config.json 's/"num_layers": 2/"num_layers": 2, "num_layers": 2/' "duplicate"
broken transformer/config.json 's/"patch_size": 2/"patch_size": 0/' "patch_size"
broken transformer/config.json 's/"text_embed_dim": 32/"text_embed_dim": 64/' "text_embed_dim"
broken transformer/config.json 's/gelu-approximate/gulu/' "activation_fn"
broken vae/config.json 's/"norm_num_groups": 4/"norm_num_groups": 3/' "norm_num_groups"
broken vae/config.json 's/"scaling_factor": 0.7/"scaling_factor": NaN/' "vae/config.json"
broken scheduler/scheduler_config.json 's/"trailing"/"sideways"/' "timestep_spacing"
broken scheduler/scheduler_config.json 's/DDIM/Euler/' "_class_name"
broken text_encoder/config.json 's/"d_model": 32/"d_model": -32/' "d_model"
for part in transformer vae text_encoder scheduler tokenizer; do
  rm -rf bad && cp -r model bad && rm -r "bad/$part"
  expect 3 "$part" tokenize --model bad --prompt x
done
rm -rf bad && cp -r model bad && truncate -s -1 bad/vae/diffusion_pytorch_model.safetensors
expect 3 "vae" tokenize --model bad --prompt x
rm -rf bad && cp -r model bad && : >bad/tokenizer/spiece.model
expect 3 "spiece.model" tokenize --model bad --prompt x
rm -rf bad

# what works
accept tokenize --model model --prompt "--help"
[ "$(wc -w <log/out)" = 32 ] || fail "tokenize prints $(wc -w <log/out) ids instead of 32"
[ "$(wc -l <log/out)" = 1 ] || fail "tokenize prints more than one line"
accept tokenize --model model --prompt=
accept inspect model
accept inspect model/vae/diffusion_pytorch_model.safetensors
accept encode-text --model model --prompt "a b" --output text.safetensors --quiet
accept "${ok[@]}" --output v.npy --save-latents l.safetensors
[ -s v.npy ] && [ -s l.safetensors ] && [ -s v_contact_sheet.png ] || fail "generate left files out: $(ls)"
accept decode --model model --latents l.safetensors --output w.npy --quiet --no-contact-sheet
cmp v.npy w.npy || fail "decoding saved latents gives another video"
accept "${ok[@]}" --output again.npy --threads 1 --no-contact-sheet
cmp v.npy again.npy || fail "one thread gives other bits than two"
accept "${ok[@]}" --output v.mp4
accept "${ok[@]}" --output frame_%05d.png --no-contact-sheet
[ -s frame_00008.png ] || fail "no frame_00008.png"
accept encode --model model --input v.npy --output z.safetensors --quiet
accept decode --model model --latents z.safetensors --output z.npy --quiet --vae-tiling --vae-tile-size 48x40
accept generate --model model --prompt "a b" --steps 4 --init-video v.npy --strength 0.5 --output edit.npy --quiet --scheduler dpm
accept "${ok[@]}" --num-frames 5 --output five.npy
grep -q "warning:.*8 frames come out" log/err || fail "no warning for an even number of latent frames: $(cat log/err)"
accept generate --model model --prompt=x --num_frames=1 --guidance_scale=1 --num_inference_steps 1 --output new/folder/one.png --quiet
[ -s new/folder/one.png ] || fail "parent folders are not created"
expect 2 "--steps" "${ok[@]}" --steps 3 --output v.npy

# memory is known before it is used, and a plan writes nothing
rm -rf bare && cp -r model bare && find bare -name '*.safetensors' -delete
for from in "--model model" "--model bare" "--preset cogvideox-2b" "--preset 1.5-5b-i2v"; do
  accept plan $from
  grep -q "peak" log/out || fail "plan $from prints no peak: $(cat log/out)"
done
accept plan --model bare --json --num-frames 17 --height 64 --width=96 --steps 4 --cfg-scale 1
expect 3 "safetensors" generate --model bare --prompt x --output v.npy
expect 3 "nowhere" plan --model nowhere
expect 2 "--model" plan
expect 2 "exclude" plan --model model --preset 5b
expect 2 "num-frames" plan --model model --num-frames 10
expect 2 "height" plan --model model --height 100
expect 2 "steps" plan --model model --steps 1001
expect 4 "what would fit" plan --preset cogvideox-2b --max-ram 100MiB
for size in 4 4G 4gib 0GiB -1GiB 1.5.2GiB 1e3GiB lots nanGiB " 1GiB" "1 GiB" 0x1GiB ""; do
  expect 2 "--max-ram" plan --model model --max-ram "$size"
  expect 2 "--max-ram" "${ok[@]}" --output u.npy --max-ram="$size"
done
expect 2 "--stream-weights" "${ok[@]}" --output u.npy --stream-weights maybe
expect 4 "--max-ram" "${ok[@]}" --output u.npy --max-ram 1MiB
expect 4 "--max-ram" "${ok[@]}" --output u.npy --max-ram 1MiB --dry-run
expect 4 "--max-ram" decode --model model --latents l.safetensors --output u.npy --max-ram 1MiB
expect 4 "--max-ram" encode --model model --input v.npy --output u.safetensors --max-ram 1KiB
expect 4 "--max-ram" encode-text --model model --prompt x --output u.safetensors --max-ram 1KiB
before=$(find . -path ./log -prune -o -print | sort | md5sum)
accept "${ok[@]}" --output new2/u.npy --dry-run --save-latents new2/u.safetensors
grep -q "denoise" log/out || fail "no plan from --dry-run: $(cat log/out)"
accept decode --model model --latents l.safetensors --output u.npy --dry-run
accept encode --model model --input v.npy --output u.safetensors --dry-run
accept encode-text --model model --prompt x --output u.safetensors --dry-run
[ "$before" = "$(find . -path ./log -prune -o -print | sort | md5sum)" ] || fail "a dry run left something behind"
accept "${ok[@]}" --output streamed.npy --stream-weights on --no-contact-sheet
cmp v.npy streamed.npy || fail "streamed weights give another video"
accept "${ok[@]}" --output roomy.npy --max-ram 2GiB --no-contact-sheet
cmp v.npy roomy.npy || fail "--max-ram gives another video where there is room"

# weights as 8-bit integers: another video, near the first, and its recipe says so
accept "${ok[@]}" --output small.npy --weights int8 --no-contact-sheet
cmp -s v.npy small.npy && fail "--weights int8 changes nothing"
grep -q '"weights":"int8"' small.npy.json || grep -q '"weights": "int8"' small.npy.json || fail "the side-car does not name the weights: $(cat small.npy.json)"
accept generate --config small.npy.json --output again.npy --quiet --no-contact-sheet
cmp small.npy again.npy || fail "--config does not keep --weights int8"
accept "${ok[@]}" --output stored.npy --weights stored --no-contact-sheet
cmp v.npy stored.npy || fail "--weights stored changes something"
accept encode-text --model model --prompt x --output small.safetensors --weights=int8 --quiet
accept plan --preset 5b --weights int8 --json
grep -q '"quantized":true' log/out || grep -q '"quantized": true' log/out || fail "plan does not say int8: $(cat log/out)"
expect 4 "--weights int8" plan --preset 5b --max-ram 11GiB --stream-weights off
expect 2 "stored, int8" "${ok[@]}" --output u.npy --weights q4
expect 2 "--stream-weights" "${ok[@]}" --output u.npy --weights int8 --stream-weights on
accept verify --model model --weights int8 --quiet
[ "$(grep -c '^transformer_blocks\.[01] .* ok$\|^encoder\.block\.[01] .* ok$' log/out)" = 4 ] || fail "verify does not report every block: $(cat log/out)"
expect 1 "transformer_blocks.1" verify --model model --weights int8 --quiet --tolerance 1e-6
expect 2 "--weights int8" verify --model model --weights int8 --write x.safetensors

# a test vector of a model, and files of tensors against each other
accept verify --model model --write vector.safetensors --quiet --dtype f32
accept verify --model model --reference vector.safetensors --quiet --dtype f32 --tolerance 0
[ "$(grep -c ' ok$' log/out)" = 4 ] || fail "verify does not report four stages: $(cat log/out)"
accept verify --model model --reference vector.safetensors --quiet --dtype f32 --threads 1 --tolerance 0
accept init --preset tiny --seed 4 --output other --quiet
expect 1 "prompt_embeds" verify --model other --reference vector.safetensors --quiet --dtype f32
rm -rf other
expect 3 "verify.safetensors" verify --model model
expect 3 "nowhere" verify --model model --reference nowhere
expect 3 "prompt_embeds" verify --model model --reference l.safetensors --quiet
expect 2 "--tolerance" verify --model model --reference vector.safetensors --tolerance x
accept verify --compare l.safetensors --reference l.safetensors
expect 3 "frames" verify --compare l.safetensors --reference vector.safetensors
expect 2 "--reference" verify --compare l.safetensors

# an old file stays whole when a run fails
cp v.npy old.npy
expect 3 "nowhere" generate --model nowhere --prompt x --output old.npy
cmp v.npy old.npy || fail "an old file was changed by a failed run"
(trap '' PIPE; "$kinema" tokenize --model model --prompt x >/dev/full 2>log/err)
[ $? = 1 ] || fail "a full stdout is no failure"
grep -q '^error: stdout' log/err || fail "a full stdout is not named"

# adapters: for the tiny model, of one repeated byte, ranks of 2
adapter() {  # adapter FILE BYTE OUT IN MODULE…
  local file=$1 byte=$2 out=$3 in=$4 header="" at=0 module
  shift 4
  for module; do
    header+="${header:+,}\"$module.lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[2,$in],\"data_offsets\":[$at,$((at + 8 * in))]}"
    at=$((at + 8 * in))
    header+=",\"$module.lora_B.weight\":{\"dtype\":\"F32\",\"shape\":[$out,2],\"data_offsets\":[$at,$((at + 8 * out))]}"
    at=$((at + 8 * out))
  done
  header="{$header}"
  printf "\\x$(printf %02x $((${#header} % 256)))\\x$(printf %02x $((${#header} / 256)))\0\0\0\0\0\0%s" "$header" >"$file"
  head -c "$at" /dev/zero | tr '\0' "$byte" >>"$file"
}
attn=transformer.transformer_blocks
adapter zeros.safetensors '\0' 64 64 $attn.0.attn1.to_q $attn.1.attn1.to_out.0
adapter some.safetensors '=' 64 64 $attn.0.attn1.to_q $attn.1.attn1.to_out.0 $attn.7.attn1.to_q
adapter wide.safetensors '=' 96 96 $attn.0.attn1.to_q
adapter foreign.safetensors '=' 64 64 $attn.7.attn1.to_q
adapter infinite.safetensors '\177' 64 64 $attn.0.attn1.to_q
mkdir folder && cp some.safetensors folder/pytorch_lora_weights.safetensors
cp model/transformer/diffusion_pytorch_model.safetensors weights.safetensors
expect 3 "none.safetensors" "${ok[@]}" --output v.npy --lora none.safetensors
expect 2 "--lora" "${ok[@]}" --output v.npy --lora ""
expect 2 "--lora: the weight behind the colon" "${ok[@]}" --output v.npy --lora some.safetensors:x
expect 2 "--lora: the weight behind the colon" "${ok[@]}" --output v.npy --lora some.safetensors:nan
expect 2 "--lora-mode" "${ok[@]}" --output v.npy --lora zeros.safetensors --lora-mode later
expect 3 "is no part of a LoRA" "${ok[@]}" --output v.npy --lora weights.safetensors
expect 3 "the model has [64, 64], the LoRA is for [96, 96]" "${ok[@]}" --output v.npy --lora wide.safetensors
expect 3 "none of its 1 modules is in the model" "${ok[@]}" --output v.npy --lora foreign.safetensors
expect 6 "is not a finite number" "${ok[@]}" --output v.npy --lora infinite.safetensors
accept "${ok[@]}" --output plain.npy
accept "${ok[@]}" --output zero.npy --lora zeros.safetensors
cmp -s plain.npy zero.npy || fail "an adapter of zeros changes the video"
accept "${ok[@]}" --output merged.npy --lora some.safetensors:0.5 --lora=zeros.safetensors
grep -q "2 of 3 modules are in this model; unused: transformer_blocks.7.attn1.to_q" log/err || fail "no count of the matched modules: $(cat log/err)"
cmp -s plain.npy merged.npy && fail "an adapter changes nothing"
accept "${ok[@]}" --output folder.npy --lora folder:0.5
cmp -s folder.npy merged.npy || fail "an adapter's folder is another adapter"
accept "${ok[@]}" --output added.npy --lora some.safetensors:0.5 --lora-mode runtime
cmp -s plain.npy added.npy && fail "an adapter added in every step changes nothing"
accept generate --config merged.npy.json --output again.npy --quiet
cmp -s merged.npy again.npy || fail "--config lost the adapters"
adapter some.safetensors '>' 64 64 $attn.0.attn1.to_q
expect 3 "is not what the recipe was made with" generate --config merged.npy.json --output other.npy --quiet
rm -r folder ./*.safetensors plain.npy* zero.npy* merged.npy* folder.npy* added.npy* again.npy* ./*_contact_sheet.png

echo "$cases cases, $failed failed"
[ "$failed" = 0 ]
