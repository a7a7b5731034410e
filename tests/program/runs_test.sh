#!/usr/bin/env bash
# tests/program/runs_test.sh KINEMA - runs that are not lost: kept latents, unfinished runs, Ctrl-C, side-cars and their replay.
set -u
kinema=$1
work=$(mktemp -d)
trap '[ $BASHPID = $$ ] && rm -rf "$work"' EXIT  # a signal between fork and exec would run it in the child
cd "$work" || exit 1
failed=0 cases=0
export OMP_NUM_THREADS=2

fail() { echo "FAILED: $*"; failed=$((failed + 1)); }
names() { find . -path ./log -prune -o -path ./model -prune -o -path ./other -prune -o -type f -printf '%P\n' | LC_ALL=C sort | tr '\n' ' '; }
snapshot() { find . -path ./log -prune -o -type f -exec md5sum {} + | LC_ALL=C sort | md5sum; }

# expect CODE WORDS ARGUMENTS…: the exit code, the words on stderr, one error line, an empty stdout, nothing changed.
expect() {
  local code=$1 words=$2 before got
  shift 2
  cases=$((cases + 1))
  before=$(snapshot)
  timeout 60 "$kinema" "$@" >log/out 2>log/err
  got=$?
  [ "$got" = "$code" ] || fail "exit $got instead of $code: kinema $* ($(tail -n 2 log/err))"
  grep -qF -- "$words" log/err || fail "no \"$words\" in: $(tail -n 3 log/err) (kinema $*)"
  [ "$(grep -c '^error:' log/err)" = 1 ] || fail "not exactly one error line: kinema $*: $(cat log/err)"
  [ -s log/out ] && fail "stdout is not empty: kinema $*"
  [ "$before" = "$(snapshot)" ] || fail "files changed: kinema $*"
}

# accept ARGUMENTS…: exit 0 and no error line.
accept() {
  cases=$((cases + 1))
  timeout 120 "$kinema" "$@" >log/out 2>log/err || fail "exit $? for: kinema $* ($(tail -n 2 log/err))"
  grep -q '^error:' log/err && fail "error line with exit 0: kinema $*"
  return 0
}

# interrupt LINE ARGUMENTS…: Ctrl-C when stderr shows LINE; exit 130 and one error line. On a busy machine the run may be
# through before the signal comes: then again.
interrupt() {
  local line=$1 pid got tries attempt
  shift
  cases=$((cases + 1))
  for attempt in 1 2 3 4 5; do
    tries=0
    : >log/err  # or the last run's lines would be taken for this one's
    "$kinema" "$@" >log/out 2>log/err &
    pid=$!
    until grep -q "^$line" log/err || [ $tries = 3000 ]; do sleep 0.01; tries=$((tries + 1)); done
    kill -INT $pid 2>/dev/null
    wait $pid
    got=$?
    [ $got = 0 ] || break
    while read -r path; do rm -f "$path"; done <log/out
  done
  [ $got = 130 ] || fail "exit $got instead of 130 in attempt $attempt: kinema $* ($(tail -n 2 log/err))"
  [ "$(grep -c '^error: interrupted' log/err)" = 1 ] || fail "an interrupt is not one error line: $(cat log/err)"
  [ -s log/out ] && fail "stdout is not empty: kinema $*"
}

# The command that a failed run printed as its last line.
printed_command() { tail -n 1 log/err; }
stored_step() { "$kinema" inspect "$1" | sed -n 's/.*"done":\([0-9]*\).*/\1/p'; }

mkdir log
accept init --preset tiny --seed 3 --output model --quiet
accept init --preset tiny --seed 4 --output other --quiet
short=(generate --model model --prompt "a b" --steps 2 --quiet --no-contact-sheet)
long=(generate --model model --prompt "it's a \"b\"" --scheduler dpm --height 96 --width 96 --no-contact-sheet)
three=("${long[@]}" --num-frames 17 --steps 3)
long+=(--num-frames 17 --steps 400)
accept "${long[@]}" --output whole.npy
accept "${short[@]}" --output short.npy
[ "$(names)" = "short.npy short.npy.json whole.npy whole.npy.json " ] || fail "a run that ended well left: $(names)"

# disk full while the video is written: the latents are there before, and the printed command finishes the video
for name in "v.npy" "it's v.npy" $'new\nline\x07.npy' $'by\xffte.npy' "ünï 猫.npy"; do
  rm -rf v; mkdir v
  (cd v && ulimit -f 100 && cd .. && exec "$kinema" "${three[@]}" --output "v/$name" >log/out 2>log/err)
  got=$?
  cases=$((cases + 1))
  [ $got = 3 ] || [ $got = 1 ] || fail "a full disk ends with $got: $(tail -n 3 log/err)"
  [ "$(grep -c '^error:' log/err)" = 1 ] || fail "a full disk is not one error line: $(cat log/err)"
  [ "$(ls v)" = "${name%.npy}.latents.safetensors" ] || fail "after a full disk there is: $(ls v)"
  accept "${three[@]}" --output three.npy
  (exec "$kinema" "${three[@]}" --output "v/$name" >/dev/null 2>log/err); mv "v/$name" v/again.npy; mv "v/$name.json" v/again.npy.json
  [ -e "v/${name%.npy}.latents.safetensors" ] || fail "latents that an earlier run kept were taken away"
  (ulimit -f 100; exec "$kinema" "${three[@]}" --output "v/$name" >log/out 2>log/err)
  [ -e "v/${name%.npy}.latents-2.safetensors" ] || fail "kept latents were replaced: $(cat log/err)"
  bash -c "$(printed_command)" >log/out 2>log/err || fail "the printed command fails: $(cat log/err)"
  cmp three.npy "v/$name" || fail "the printed command makes another video"
  sed 's/"path": .*//' "v/$name.json" | cmp - <(sed 's/"path": .*//' three.npy.json) || fail "the printed command gives another side-car"
done
rm -rf v three.npy*

# latents that were asked for stay where they are, also when their own place is full
(ulimit -f 100; exec "$kinema" "${three[@]}" --save-latents l.safetensors --output v.npy >log/out 2>log/err)
grep -qF "kept in l.safetensors" log/err || fail "asked-for latents are not named: $(cat log/err)"
[ "$(names)" = "l.safetensors short.npy short.npy.json whole.npy whole.npy.json " ] || fail "beside asked-for latents there is: $(names)"
rm l.safetensors
# a failure before the latents leaves nothing
(ulimit -f 1; exec "$kinema" "${short[@]}" --output v.npy >log/out 2>log/err)
grep -q '^warning: the latents could not be kept' log/err || fail "latents that cannot be kept are no warning: $(cat log/err)"
[ "$(grep -c '^error:' log/err)" = 1 ] || fail "a full disk is not one error line: $(cat log/err)"
[ "$(names)" = "short.npy short.npy.json whole.npy whole.npy.json " ] || fail "a failed run left: $(names)"

# Ctrl-C while denoising: the run is kept and continues to the same bits
interrupt "denoise 5/" "${long[@]}" --output v.npy
grep -q "v.run.safetensors" log/err || fail "the kept run is not named: $(cat log/err)"
[ "$(names)" = "short.npy short.npy.json v.run.safetensors whole.npy whole.npy.json " ] || fail "an interrupt left: $(names)"
at=$(stored_step v.run.safetensors)
[ "$at" -ge 5 ] && [ "$at" -lt 400 ] || fail "the kept run is at step $at"
cp v.run.safetensors kept.run.safetensors
continue_it=$(printed_command)
accept decode --model model --latents v.run.safetensors --output noisy.npy --quiet --no-contact-sheet --no-metadata
grep -q "warning: v.run.safetensors: an unfinished run, step $at of 400" log/err || fail "decode does not say that a run is unfinished: $(cat log/err)"
rm noisy.npy
bash -c "$continue_it --no-contact-sheet" >log/out 2>log/err || fail "the printed command fails: $(cat log/err)"
[ "$(sed -n 's|^denoise \([0-9]*\)/400 .*|\1|p' log/err | head -n 1)" = $((at + 1)) ] || fail "the run did not go on at step $((at + 1))"
cmp whole.npy v.npy || fail "a continued run gives other frames"
cmp whole.npy.json v.npy.json || fail "a continued run gives another side-car"
[ -e v.run.safetensors ] && fail "the unfinished run is still there"
accept generate --resume kept.run.safetensors --output w.npy --threads 1 --quiet --no-contact-sheet
cmp whole.npy w.npy || fail "a run that was continued elsewhere and with one thread gives other frames"
rm -f w.npy* v.npy*

# Ctrl-C while decoding: the latents are kept
interrupt "decode" "${three[@]/17/81}" --output v.npy
grep -q "kept in v.latents.safetensors" log/err || fail "an interrupt while decoding does not name the latents: $(cat log/err)"
[ "$(names)" = "short.npy short.npy.json v.latents.safetensors whole.npy whole.npy.json " ] || fail "an interrupt while decoding left: $(names)"
rm v.latents.safetensors

# checkpoints: an older unfinished run of the same name is left alone, success removes the own one
interrupt "denoise 30/" "${long[@]}" --checkpoint-every 10 --output v.npy
interrupt "denoise 30/" "${long[@]}" --checkpoint-every 10 --output v.npy
[ "$(names)" = "short.npy short.npy.json v.run-2.safetensors v.run.safetensors whole.npy whole.npy.json " ] || fail "two interrupts left: $(names)"
accept generate --resume v.run-2.safetensors --no-contact-sheet
cmp whole.npy v.npy || fail "a checkpoint gives other frames"
[ -e v.run.safetensors ] && [ ! -e v.run-2.safetensors ] || fail "the wrong run was removed"
rm -f v.npy*

# what --resume refuses
run=v.run.safetensors
for flag in "--prompt x" "--negative-prompt x" "--num-frames 9" "--height 64" "--width 64" "--steps 5" "--cfg-scale 3" "--dynamic-cfg cosine" "--seed 1" "--rng philox" \
            "--scheduler ddim" "--dtype f16" "--vae-tiling on"; do
  # shellcheck disable=SC2086 # two words
  expect 2 "${flag%% *}: contradicts" generate --resume $run --output v.npy --quiet $flag
done
expect 2 "exclude" generate --resume $run --config whole.npy.json --output v.npy
expect 2 "--checkpoint-every" generate --resume $run --output v.npy --checkpoint-every 0
expect 3 "another model" generate --resume $run --model other --output v.npy --quiet
expect 3 "nowhere.safetensors" generate --resume nowhere.safetensors
expect 3 "holds no unfinished run" generate --resume model/vae/diffusion_pytorch_model.safetensors
expect 3 "whole.npy.json" generate --resume whole.npy.json
for n in 1 100 1000 5000; do
  head -c -$n $run >bad.run.safetensors
  expect 3 "bad.run.safetensors" generate --resume bad.run.safetensors --output v.npy
done
size=$(stat -c %s $run)
for at in 9 300 $((size / 2)) $((size - 100)) $((size - 1)); do
  cp $run bad.run.safetensors
  printf '\x7f' | dd of=bad.run.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
  cmp -s $run bad.run.safetensors || expect 3 "bad.run.safetensors" generate --resume bad.run.safetensors --output v.npy
done
rm -f bad.run.safetensors $run kept.run.safetensors

# side-cars
expect 2 "--prompt: is required" generate --model model --output v.npy
accept generate --config whole.npy.json --output v.npy --quiet --no-contact-sheet
cmp whole.npy v.npy || fail "--config does not replay a run to the same bits"
cmp whole.npy.json v.npy.json || fail "the side-car of a replay differs"
accept generate --config whole.npy.json --seed 5 --steps 3 --output w.npy --quiet --no-contact-sheet --no-metadata
cmp -s whole.npy w.npy && fail "the command line does not win over --config"
[ -e w.npy.json ] && fail "--no-metadata leaves a side-car"
rm -f v.npy* w.npy*
json() { sed "$1" whole.npy.json >bad.json; }
json 's/"steps": 400/"steps": "400"/'; expect 3 "bad.json: /request/steps" generate --config bad.json --output v.npy
json 's/"steps": 400/"steps": 0/'; expect 3 "bad.json: /request/steps" generate --config bad.json --output v.npy
json 's/"steps"/"stepps"/'; expect 3 "stepps" generate --config bad.json --output v.npy
json 's/"seed": 42/"seed": -1/'; expect 3 "bad.json: /request/seed" generate --config bad.json --output v.npy
json 's/"rng": "torch-cpu"/"rng": "mt"/'; expect 3 "torch-cpu, philox" generate --config bad.json --output v.npy
json 's/"dtype": "bf16"/"dtype": "f8"/'; expect 3 "bad.json: /dtype" generate --config bad.json --output v.npy
json 's/"fps": 8/"fps": 0/'; expect 3 "bad.json: /fps" generate --config bad.json --output v.npy
json 's/"inputs": {}/"inputs": {"init_audio": {"path": "x"}}/'; expect 3 "init_audio" generate --config bad.json --output v.npy
json 's/"num_frames": 17/"num_frames": 10/'; expect 2 "nearest is 9" generate --config bad.json --output v.npy
json 's/"fingerprint": "./"fingerprint": "x/'; expect 3 "another model" generate --config bad.json --output v.npy
json '$d'; expect 3 "bad.json" generate --config bad.json --output v.npy
expect 3 "nowhere.json" generate --config nowhere.json --output v.npy
rm bad.json

# inputs are part of a recipe: the same values, or nothing
accept generate --model model --prompt "a b" --steps 4 --init-video short.npy --strength 0.5 --output edit.npy --quiet --no-contact-sheet
accept generate --config edit.npy.json --output again.npy --quiet --no-contact-sheet
cmp edit.npy again.npy || fail "--config does not replay video-to-video"
mv short.npy moved.npy
expect 3 "short.npy" generate --config edit.npy.json --output v.npy --quiet
cp edit.npy short.npy
expect 3 "is not what the recipe was made with" generate --config edit.npy.json --output v.npy --quiet
accept generate --config edit.npy.json --init-video short.npy --output v.npy --quiet --no-contact-sheet

rm -f short.npy edit.npy* again.npy* moved.npy v.npy*

# kinema metadata: of a video, of latents, of a side-car, of an unfinished run
accept "${short[@]}" --output short.npy --save-latents l.safetensors
for file in short.npy short.npy.json l.safetensors; do
  accept metadata $file
  cmp log/out short.npy.json || fail "kinema metadata $file prints something else than the side-car"
done
expect 3 "nowhere.mp4" metadata nowhere.mp4
expect 3 "carries no parameters" metadata model/vae/diffusion_pytorch_model.safetensors
expect 3 "holds no parameters" metadata model/vae/config.json
expect 2 "FILE: is required" metadata

# the parameters travel inside the video too, without folders, and are enough to make it again
mkdir alone
for kind in mp4 webm gif webp apng avi safetensors; do
  accept "${short[@]}" --output t.$kind
  accept metadata t.$kind
  cmp log/out t.$kind.json || fail "kinema metadata of t.$kind with its side-car: $(cat log/out)"
  mv t.$kind alone && rm t.$kind.json
  accept metadata alone/t.$kind
  grep -q '"path": "model"' log/out && grep -q '"seed": 42' log/out || fail "kinema metadata of a .$kind alone: $(cat log/out)"
  cp log/out alone/$kind.json
  cmp alone/mp4.json alone/$kind.json || fail "a .$kind alone says something else than an .mp4"
  accept "${short[@]}" --output alone/bare.$kind --no-metadata
  [ -e alone/bare.$kind.json ] && fail "--no-metadata leaves a side-car of a .$kind"
  grep -aqi "cfg_scale\|Sampler" alone/bare.$kind && fail "--no-metadata leaves parameters in a .$kind"
  expect 3 "carries no parameters" metadata alone/bare.$kind
done
accept generate --config alone/mp4.json --model model --output alone/u.npy --quiet --no-contact-sheet
cmp short.npy alone/u.npy || fail "an mp4's own parameters make another video"
accept "${short[@]}" --output alone/t.png
rm alone/t.png.json
accept metadata alone/t_00003.png
cmp log/out alone/mp4.json || fail "a png says something else than an mp4: $(cat log/out)"
grep -aq "Steps: 2, Sampler: DDIM, CFG scale: 6, Seed: 42, Size: 64x64" alone/t_00003.png || fail "a png has no parameters as text"
accept "${short[@]}" --output alone/bare.png --no-metadata
expect 3 "carries no parameters" metadata alone/bare_00000.png
# a side-car that lies beside another video than its own does not speak for it
accept "${short[@]}" --seed 7 --output alone/t.mp4
cp short.npy.json alone/t.mp4.json
accept metadata alone/t.mp4
grep -q '"seed": 7' log/out || fail "an older side-car is believed: $(cat log/out)"
# decode puts in what the latents know
for kind in mp4 webm gif webp apng avi png safetensors npy; do
  accept decode --model model --latents l.safetensors --output alone/d.$kind --quiet --no-contact-sheet
  rm alone/d.$kind.json
  [ $kind = npy ] && continue
  accept metadata "$(ls alone/d.$kind alone/d_00000.$kind 2>/dev/null | head -n 1)"
  grep -q '"seed": 42' log/out || fail "decode writes a .$kind without parameters: $(cat log/out)"
done
cmp short.npy alone/d.npy || fail "decode makes another video than generate"
rm -r alone

# several prompts: each video equals that of a run of its own, bit for bit
printf 'a b\r\n\n  \nsomething else\na b' >prompts.txt
several=(generate --model model --steps 2 --quiet --no-contact-sheet --output many.npy)
accept "${several[@]}" --prompt-file prompts.txt
[ "$(tr '\n' ' ' <log/out)" = "many_0.npy many_0.npy.json many_1.npy many_1.npy.json many_2.npy many_2.npy.json " ] || fail "several prompts print: $(cat log/out)"
cmp short.npy many_0.npy || fail "one of several prompts makes another video than alone"
cmp many_0.npy many_2.npy || fail "the same prompt makes another video later"
cmp short.npy.json many_0.npy.json || fail "one of several prompts has another side-car than alone"
cmp -s many_0.npy many_1.npy && fail "another prompt makes the same video"
"$kinema" "${several[@]}" --prompt-file - --output piped.npy --save-latents piped.safetensors <prompts.txt >log/out 2>log/err && fail "two outputs are accepted"
"$kinema" "${several[@]::7}" --output piped.npy --save-latents piped.safetensors --prompt-file - <prompts.txt >log/out 2>log/err || fail "prompts from standard input: $(cat log/err)"
for i in 0 1 2; do cmp many_$i.npy piped_$i.npy || fail "standard input makes another video"; done
[ -s piped_2.safetensors ] || fail "no numbered latents: $(names)"
rm -f piped* many*
accept "${several[@]::7}" --prompt-file prompts.txt --output 'f_%02d.png'
[ -s f_0_00.png ] && [ -s f_2_08.png ] || fail "no numbered sequences: $(names)"
rm -f f_*
: >empty.txt; expect 3 "has no prompt" "${several[@]}" --prompt-file empty.txt
printf 'fine\nb\xffd\n' >bad.txt; expect 3 "line 2: byte 1" "${several[@]}" --prompt-file bad.txt
printf 'a\0b\n' >bad.txt; expect 3 "line 1: byte 1" "${several[@]}" --prompt-file bad.txt
expect 3 "nowhere.txt" "${several[@]}" --prompt-file nowhere.txt
expect 2 "exclude each other" "${several[@]}" --prompt-file prompts.txt --prompt x
rm -f empty.txt bad.txt

# a folder that vanishes while the run goes on is made again
cases=$((cases + 1))
for attempt in 1 2 3 4 5; do
  mkdir gone
  : >log/err
  "$kinema" "${long[@]}" --checkpoint-every 10 --output gone/v.npy >log/out 2>log/err &
  pid=$!
  until grep -qs "^denoise 15/" log/err || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
  rm -r gone
  wait $pid || fail "a vanished folder ends the run in attempt $attempt: $(tail -n 3 log/err)"
  [ -e gone ] && break  # else it was through already
done
cmp whole.npy gone/v.npy || fail "a vanished folder changes the video"
[ "$(ls gone | tr '\n' ' ')" = "v.npy v.npy.json " ] || fail "beside the video there is: $(ls gone)"
rm -r gone

# Ctrl-C while prompts are awaited
mkfifo awaited
cases=$((cases + 1))
: >log/err
"$kinema" "${several[@]}" --prompt-file - <>awaited >log/out 2>log/err &
pid=$!; sleep 0.5; kill -INT $pid; wait $pid
[ $? = 130 ] || fail "waiting for prompts cannot be interrupted: $(cat log/err)"
rm awaited

# an interrupt between videos names all that is kept, and the printed commands finish them
interrupt "denoise 2/" generate --model model --prompt-file prompts.txt --steps 400 --no-contact-sheet --num-frames 17 --height 96 --width 96 --output many.npy
[ "$(names)" = "l.safetensors many_0.run.safetensors prompts.txt short.npy short.npy.json whole.npy whole.npy.json " ] || fail "an interrupt of several left: $(names)"
grep -q "2 of 3 videos" log/err || fail "the videos that were not begun are not counted: $(tail -n 4 log/err)"
rm many_0.run.safetensors

# embeddings instead of prompts: the same bits as from the words
accept encode-text --model model --prompt "a b" --output text.safetensors --quiet
accept encode-text --model model --prompt "" --output none.safetensors --quiet
accept generate --model model --steps 2 --quiet --no-contact-sheet --prompt-embeds text.safetensors --output v.npy
cmp short.npy v.npy || fail "stored embeddings make another video"
accept generate --config v.npy.json --output w.npy --quiet --no-contact-sheet
cmp short.npy w.npy || fail "a run from embeddings is not replayed"
accept generate --model model --steps 2 --quiet --no-contact-sheet --prompt "a b" --negative-prompt-embeds none.safetensors --output v.npy
cmp short.npy v.npy || fail "stored negative embeddings make another video"
embeds=(generate --model model --steps 2 --output v2.npy --quiet)
expect 2 "exclude each other" "${embeds[@]}" --prompt-embeds text.safetensors --prompt x
expect 2 "exclude each other" "${embeds[@]}" --prompt x --negative-prompt y --negative-prompt-embeds none.safetensors
expect 3 "no tensor \"prompt_embeds\"" "${embeds[@]}" --prompt-embeds l.safetensors
expect 3 "nowhere.safetensors" "${embeds[@]}" --prompt-embeds nowhere.safetensors
"$kinema" init --preset tiny --output wide --quiet >/dev/null && sed -i 's/"max_text_seq_length": 32/"max_text_seq_length": 33/' wide/transformer/config.json
expect 3 "must be floating [1, 33, 32] for this model, got" generate --model wide --steps 2 --prompt-embeds text.safetensors --output v2.npy

# previews: latents in colours while sampling, the same video
accept "${short[@]}" --preview=1 --output v.npy
cmp short.npy v.npy || fail "a preview changes the video"
[ -s v.npy.preview.png ] && grep -qx "v.npy.preview.png" log/out || fail "no preview: $(names) $(cat log/out)"
rm -f v.npy*
accept generate --model model --prompt x --steps 20 --scheduler dpm --quiet --output v.npy --preview
[ -s v.npy.preview.png ] || fail "--preview alone makes none: $(names)"
rm -f v.npy* v_*
interrupt "denoise 20/" "${long[@]}" --preview 3 --output v.npy
grep -q "at step [0-9]" log/err || fail "the step of a kept run is not said: $(tail -n 2 log/err)"
[ -e v.npy.preview.png ] && fail "an interrupted run leaves its preview"
grep -q -- "--preview 3 .*--resume" log/err || fail "the printed command loses --preview: $(tail -n 2 log/err)"
rm v.run.safetensors
for bad in 0 -1 x 2.5; do expect 2 "--preview" "${short[@]}" --output v.npy "--preview=$bad"; done

# a report
accept "${short[@]}" --output v.npy --report r.json
[ "$(tail -n 1 log/out)" = r.json ] || fail "the report is not among the results: $(cat log/out)"
for words in '"kinema": ' '"threads": ' '"name": "denoise"' '"steps": 2' '"peak_memory_bytes": ' '"libraries": "+'; do grep -qF "$words" r.json || fail "the report lacks $words: $(cat r.json)"; done
# Two guided steps of two blocks on 32 + 48 tokens of width 64: 8 * 24 * 64^2 * 80 = 63 million in the linear layers, 13
# million in attention, and some in modulation and embeddings.
awk -F '[:,]' '/"name": "denoise"/ {found = 1} found && /"flop":/ {exit !($2 > 76e6 && $2 < 90e6)}' r.json || fail "the work of denoising is off: $(cat r.json)"
for part in text_encoder/model transformer/diffusion_pytorch_model vae/diffusion_pytorch_model; do
  grep -q "\"sha256\": \"$(sha256sum model/$part.safetensors | cut -d ' ' -f 1)\"" r.json || fail "the report lacks the digest of $part"
done
rm -f v.npy* r.json
expect 2 "--report: must end in .json" "${short[@]}" --output v.npy --report r.txt
expect 3 "model/model_index.json/r.json" "${short[@]}" --output v.npy --report model/model_index.json/r.json

# image-to-video
accept init --preset tiny-i2v --output moving --quiet
accept "${short[@]}" --num-frames 1 --output first.png
image=(generate --model moving --prompt "it moves" --steps 40 --no-contact-sheet --num-frames 17 --height 96 --width 96)
accept "${image[@]}" --init-image first.png --output still.npy --quiet
interrupt "denoise 5/" "${image[@]}" --init-image first.png --output v2.npy
bash -c "$(printed_command) --no-contact-sheet" >log/out 2>log/err || fail "the printed command fails: $(cat log/err)"
cmp still.npy v2.npy || fail "a continued image-to-video run gives other frames"
accept generate --config still.npy.json --output w.npy --quiet --no-contact-sheet
cmp still.npy w.npy || fail "image-to-video is not replayed"
expect 2 "--init-image" "${image[@]}" --output v3.npy --quiet
printf 'it moves\nit stands\n' >two.txt
accept generate --model moving --prompt-file two.txt --init-image first.png --steps 40 --no-contact-sheet --num-frames 17 --height 96 --width 96 --quiet --output two.npy
cmp still.npy two_0.npy || fail "one of several image-to-video prompts makes another video than alone"

# what the video's own file does not say, with --no-metadata nothing says
accept "${short[@]}" --no-metadata --output v4.npy --save-latents l4.safetensors
grep -q "cfg_scale" l4.safetensors && fail "--no-metadata leaves the parameters in the latents"

echo "$cases cases, $failed failed"
[ "$failed" = 0 ]
