#!/usr/bin/env bash
# tests/program/kill_test.sh KINEMA [KILLS] - a generation of 50 steps is killed (SIGKILL) at random moments and continued
# with --resume: the same frames every time, and at most as many steps repeated as lie between two checkpoints.
set -u
kinema=$1 kills=${2:-15} every=7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OMP_NUM_THREADS=2
fail() { echo "FAILED: $*"; cat err; exit 1; }

"$kinema" init --preset tiny --seed 3 --output model --quiet >/dev/null || exit 1
ask=(generate --model model --prompt "a b" --steps 50 --scheduler dpm --num-frames 17 --height 96 --width 96)
began=$(date +%s%N)
"$kinema" "${ask[@]}" --output whole.npy >/dev/null 2>err || fail "the undisturbed run"
took_ms=$((($(date +%s%N) - began) / 1000000))

# last_step: the last step that the run in err had finished.
last_step() { sed -n 's|^denoise \([0-9]*\)/50 .*|\1|p' err | tail -n 1; }
# stored_step: the step in the run's file.
stored_step() { "$kinema" inspect v.run.safetensors | sed -n 's/.*"done":\([0-9]*\).*/\1/p'; }
# killed ARGUMENTS…: true if the run died of the signal, false if it was through before.
killed() {
  : >err  # killed before it opens the file, the last run's lines would count
  "$kinema" "$@" >out 2>err &
  local pid=$! ms=$((RANDOM % (took_ms + 1)))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
  kill -KILL $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ $? = 137 ]
}

done_kills=0 resumed=0 fresh=0 worst=0
while [ "$done_kills" -lt "$kills" ]; do
  rm -f v.* v_* .kinema-*
  command=("${ask[@]}" --checkpoint-every $every --output v.npy)
  until [ -e v.npy ]; do
    if killed "${command[@]}"; then
      done_kills=$((done_kills + 1))
    else
      [ -e v.npy ] || fail "neither killed nor finished: kinema ${command[*]}"
    fi
    if [ -e v.npy ]; then break; fi
    if [ ! -e v.run.safetensors ]; then fresh=$((fresh + 1)); continue; fi
    stored=$(stored_step)
    [ -n "$stored" ] || fail "the run's file cannot be read"
    reached=$(last_step)
    repeated=$((${reached:-$stored} - stored))
    [ "$repeated" -le "$every" ] || fail "$repeated steps are repeated: reached $reached, stored $stored"
    [ "$repeated" -gt "$worst" ] && worst=$repeated
    resumed=$((resumed + 1))
    command=(generate --resume v.run.safetensors)
  done
  # The last kill may have come between the video and the removal of the run.
  cmp whole.npy v.npy || fail "other frames after $done_kills kills"
done
[ $((resumed)) -gt 0 ] || fail "no run was resumed: the machine is too fast for this test"
echo "$done_kills kills: $resumed resumed, $fresh begun again (before the first checkpoint), at most $worst steps repeated, all frames equal"
