#!/bin/sh
# Opens the way for one signer, or refuses: the volume must be the one that remembers what this key has
# signed. A signer that forgets signs twice, which is punished and can't be taken back.
#
# The lease has lines NAME=VALUE: address (of the key), fence (a number that only grows), place (signer),
# and what the key had signed when the lease was made: height, round, step (tmkms counts 0 propose, 1
# prevote, 2 precommit), block (JSON, or null). The volume notes the fence that its state was laid for.
#
# A pod that is LEAVING has no key and signs nothing: the key goes back to its validator, which is told what the
# volume says that it signed. Nothing is laid then, and all that is refused else is refused as well.
#
#   LEASE (file), KEY (file), STATE (folder), CHAIN_ID, POD, SIGNER (name of its StatefulSet),
#   BEGUN (the fence under which signing has begun; empty: none), LEAVING (true, or empty),
#   RESULT (file that is told the outcome)
set -eu
umask 077

refuse() {
  echo "refused to start $POD: $1" >&2
  echo "fix: $2" >&2
  echo "fence=${fence:-} refused=$1" > "$RESULT"
  exit 1
}

lease() { # NAME
  sed -n "s/^$1=//p" "$LEASE"
}

noted() { # NAME
  sed -n "s/^$1=//p" "$STATE/lease"
}

# The first value of a key in a JSON file, quoted or not.
value_of() { # NAME FILE
  grep -o "\"$1\" *: *\"*[^\",}]*" "$2" | head -n 1 | sed 's/^"[^"]*" *: *"*//; s/ *$//'
}

# Whether a state is behind another one: (height, round, step), each a number.
is_behind() { # H R S OF-H OF-R OF-S
  [ "$1" -lt "$4" ] && return 0
  [ "$1" -gt "$4" ] && return 1
  [ "$2" -lt "$5" ] && return 0
  [ "$2" -gt "$5" ] && return 1
  [ "$3" -lt "$6" ]
}

read_state() {
  height=$(value_of height "$STATE/state.json")
  round=$(value_of round "$STATE/state.json")
  step=$(value_of step "$STATE/state.json")
  case $height$round$step in
    '' | *[!0-9]*) refuse "its volume holds a state that can't be read" "see $STATE/state.json" ;;
  esac
  if [ -z "$height" ] || [ -z "$round" ] || [ -z "$step" ]; then
    refuse "its volume holds half a state" "see $STATE/state.json"
  fi
}

put() { # NAME TEXT: there whole or not at all, and on the disk before anything follows
  echo "$2" > "$STATE/.$1"
  sync "$STATE/.$1"
  mv "$STATE/.$1" "$STATE/$1"
  sync "$STATE"
}

# The state first: a volume whose note has this fence has a state that is not behind the lease. Whose it
# is to be is said before: cut off in between, it is laid again.
lay() {
  if [ "$LEAVING" = true ]; then return; fi
  [ -e "$STATE/lease" ] || put laying "$mine on $CHAIN_ID"
  if [ ! -e "$STATE/state.json" ] || is_behind "$height" "$round" "$step" "$from" "$in" "$at"; then
    put state.json "{\"height\":\"$from\",\"round\":\"$in\",\"step\":$at,\"block_id\":$(lease block)}"
    height=$from round=$in step=$at
  fi
  put lease "address=$mine
fence=$fence
chain=$CHAIN_ID"
  rm -f "$STATE/laying"
}

# Of a pod that was deleted by force, a process may sign on.
lock() {
  exec 9> "$STATE/lock"
  flock -n 9 || refuse "another process signs on its volume" "end it: its pod was deleted by force"
}

# For whoever takes the key to its validator: the state as it is, and the lease that it was laid for.
tell() {
  laid='' state=none
  if [ -e "$STATE/lease" ]; then laid=$(noted fence); fi
  # shellcheck disable=SC2046,SC2005 # in one word
  if [ -e "$STATE/state.json" ]; then state=$(echo $(cat "$STATE/state.json") | sed 's/ //g'); fi
  echo "key=gone address=$mine fence=$fence laid=$laid state=$state" > "$RESULT"
  echo "$SIGNER has no key any more, and had signed $height/$round/$step, under lease $fence"
}

[ "$POD" = "$SIGNER-0" ] ||
  refuse "it is one more of $SIGNER, and two of them would sign twice" "scale it back to one"
[ -e "$LEASE" ] || refuse "there is no lease for its key" "disco apply leases the key to this cluster"
fence=$(lease fence) from=$(lease height) in=$(lease round) at=$(lease step)
height=0 round=0 step=0
[ "$(lease place)" = signer ] ||
  refuse "the key is leased to $(lease place), not to a signer" "disco apply moves it, or takes this away"
LEAVING=${LEAVING:-}
if [ "$LEAVING" = true ]; then
  mine=$(lease address)
  lock
else
  mine=$(value_of address "$KEY")
fi
[ -n "$mine" ] || refuse "${KEY##*/} names no address" "is it a validator's key?"
[ "$mine" = "$(lease address)" ] ||
  refuse "the Secret has the key of $mine, the lease is for $(lease address)" "disco apply puts it back"

if [ -e "$STATE/lease" ]; then
  [ "$(noted address)" = "$mine" ] ||
    refuse "its volume holds what $(noted address) has signed, the key is that of $mine" \
      "put the right volume back; this one is another key's"
  [ "$(noted chain)" = "$CHAIN_ID" ] ||
    refuse "its volume holds what was signed on $(noted chain), not on $CHAIN_ID" \
      "put the right volume back; this one is another chain's"
  [ "$(noted fence)" -le "$fence" ] ||
    refuse "its volume was laid for lease $(noted fence), and is given the older lease $fence" \
      "the store or the ConfigMap was put back: find out by whom, then disco apply"
  [ -e "$STATE/state.json" ] ||
    refuse "its volume has lost what the key has signed" \
      "put it back; if it is lost for good: disco signer take, which says what that costs"
  read_state
  if [ "$(noted fence)" = "$fence" ]; then
    if is_behind "$height" "$round" "$step" "$from" "$in" "$at"; then
      refuse "its volume says $height/$round/$step, the key had signed $from/$in/$at before" \
        "an older volume was put back: put the newest one back, or disco signer take"
    fi
  elif [ "${BEGUN:-0}" = "$fence" ]; then
    refuse "its volume was laid for lease $(noted fence), and signing went on under $fence" \
      "an older volume was put back: put the newest one back, or disco signer take"
  else
    lay
  fi
elif [ -e "$STATE/state.json" ] && [ "$(cat "$STATE/laying" 2> /dev/null)" != "$mine on $CHAIN_ID" ]; then
  refuse "its volume holds a state that no lease was noted for" "whose is it? empty the volume if nobody's"
elif [ "${BEGUN:-0}" = "$fence" ]; then
  refuse "its volume is empty, and the key has signed under lease $fence" \
    "put the volume back; if it is lost for good: disco signer take, which says what that costs"
else
  if [ -e "$STATE/state.json" ]; then read_state; fi
  lay
fi

if [ "$LEAVING" = true ]; then
  tell
  exit
fi
echo "address=$mine fence=$fence height=$height round=$round step=$step" > "$RESULT"
echo "$SIGNER may sign for $mine above $height/$round/$step, under lease $fence"
