#!/bin/sh
# Lays the home of one node before each start: made once, then only genesis and keys are placed anew.
# A validator must never run on what another one left behind: it would vote against itself, or forget
# what it has signed. So a home of another chain or another key is refused, not mended.
#
#   home.sh INIT-ARGUMENT…
#   BINARY, CHAIN_ID, CHAIN_HOME, GENESIS (file), KEYS (folder), POD, ROLE (validator or node),
#   REMOTE_SIGNER (true: the key is elsewhere), LEASE (file: who may sign, from where on; may be missing),
#   RESULT (file that is told what the volume has signed, or why it is refused), PEERS (its peers; empty: none),
#   RESOLV (resolv.conf, when it is elsewhere)
set -eu
umask 077

refuse() {
  echo "refused to start $POD: $1" >&2
  echo "fix: $2" >&2
  echo "fence=$(lease fence) refused=$1" > "$RESULT"
  exit 1
}

# The first value of a key in a JSON file.
value_of() {
  grep -o "\"$1\" *: *\"[^\"]*\"" "$2" | head -n 1 | sed 's/.*: *"\(.*\)"/\1/'
}

# What we noted ourselves is certain; a home from elsewhere has only its genesis and its key.
chain_of_home() {
  if [ -e "$CHAIN_HOME/chain-id" ]; then
    cat "$CHAIN_HOME/chain-id"
  elif [ -e "$config/genesis.json" ]; then
    value_of chain_id "$config/genesis.json"
  fi
}

# A key on the volume of a node that ran without one is one that its program made for itself.
validator_of_home() {
  if [ -e "$CHAIN_HOME/validator" ]; then
    cat "$CHAIN_HOME/validator"
  elif [ ! -e "$CHAIN_HOME/signed" ] && [ -e "$config/priv_validator_key.json" ]; then
    value_of address "$config/priv_validator_key.json"
  fi
}

check_genesis() {
  grep -q "\"chain_id\" *: *\"$CHAIN_ID\"" "$GENESIS" ||
    refuse "the genesis is of chain $(value_of chain_id "$GENESIS"), not $CHAIN_ID" \
      "give the ConfigMap the genesis of $CHAIN_ID, or set chainId"
}

check_key() {
  [ -e "$key" ] ||
    refuse "no key $POD.priv_validator_key.json" "put it into the Secret, or use fewer validators"
  mine=$(value_of address "$key")
  [ -n "$mine" ] || refuse "$POD.priv_validator_key.json names no address" "is it a validator's key?"
  for other in "$KEYS"/*.priv_validator_key.json; do
    [ "$other" = "$key" ] || [ "$(value_of address "$other")" != "$mine" ] ||
      refuse "${other##*/} is the same key: both pods would sign, which is punished" \
        "give each validator a key of its own"
  done
}

check_home() {
  there=$(chain_of_home)
  [ -z "$there" ] || [ "$there" = "$CHAIN_ID" ] ||
    refuse "its volume holds a home of chain $there, not $CHAIN_ID" \
      "use another namespace, or delete the claim home-$POD if that chain is to be lost"
  if [ "$signs" != true ]; then return; fi
  there=$(validator_of_home)
  [ -z "$there" ] || [ "$there" = "$mine" ] ||
    refuse "its volume holds the home of validator $there, the Secret has the key of $mine" \
      "put the key of $there back, or move the validator with its volume"
}

note() { # NAME TEXT
  echo "$2" > "$CHAIN_HOME/$1.new"
  mv "$CHAIN_HOME/$1.new" "$CHAIN_HOME/$1"
}

lease() { # NAME; nothing without a lease
  [ ! -e "$LEASE" ] || sed -n "s/^$1=//p" "$LEASE"
}

# How far the key has signed, as the node keeps it: it counts steps from 1, the lease from 0.
read_signed() {
  signed=$CHAIN_HOME/data/priv_validator_state.json
  height=0 round=0 step=0 bytes=
  if [ ! -e "$signed" ]; then return; fi
  height=$(value_of height "$signed")
  round=$(number_of round "$signed") step=$(number_of step "$signed")
  bytes=$(value_of signbytes "$signed")
  are_numbers "$height" "$round" "$step" ||
    refuse "its volume holds a state that can't be read" "see $signed"
}

are_numbers() {
  for number in "$@"; do
    case $number in '' | *[!0-9]*) return 1 ;; esac
  done
}

number_of() { # NAME FILE
  grep -o "\"$1\" *: *[0-9]*" "$2" | head -n 1 | sed 's/.*[: ]//'
}

# Whether a state is behind another one: (height, round, step), each a number.
is_behind() { # H R S OF-H OF-R OF-S
  [ "$1" -lt "$4" ] && return 0
  [ "$1" -gt "$4" ] && return 1
  [ "$2" -lt "$5" ] && return 0
  [ "$2" -gt "$5" ] && return 1
  [ "$3" -lt "$6" ]
}

# Never back: what is there stays where it is not behind that.
lay() { # H R S
  read_signed
  if is_behind "$height" "$round" "$step" "$1" "$2" "$3"; then
    mkdir -p "$CHAIN_HOME/data"
    note data/priv_validator_state.json "{\"height\":\"$1\",\"round\":$2,\"step\":$3}"
    sync "$CHAIN_HOME/data/priv_validator_state.json"
    sync "$CHAIN_HOME/data"
  fi
}

# It ran without its key: what it had signed before that is in the note, as the node forgot it.
take_back() {
  if [ ! -e "$CHAIN_HOME/signed" ]; then return; fi
  lay "$(noted height)" "$(noted round)" "$(noted step)"
  rm -f "$CHAIN_HOME/signed"
}

noted() { # NAME
  sed "s/^\(.* \)*$1=\([0-9]*\).*/\2/" "$CHAIN_HOME/signed"
}

# A validator with its own key signs where the lease says so, and not on a volume that is older than
# what the key had signed when the lease was noted last.
check_lease() {
  if [ "$signs" != true ]; then return; fi
  if [ ! -e "$LEASE" ]; then
    [ ! -e "$CHAIN_HOME/signed" ] ||
      refuse "its key was given to a signer, and no lease says that it did not sign since" \
        "give the key to the signer again; a lease with place=validator if it never had it"
    return
  fi
  [ "$(lease address)" = "$mine" ] ||
    refuse "the lease is for the key of $(lease address), the Secret has the key of $mine" \
      "disco apply puts it back"
  [ "$(lease place)" = validator ] ||
    refuse "the key is leased to its $(lease place)" "disco apply"
  are_numbers "$(lease fence)" "$(lease height)" "$(lease round)" "$(lease step)" ||
    refuse "its lease can't be read" "disco apply"
  if [ -e "$CHAIN_HOME/fence" ] && [ "$(cat "$CHAIN_HOME/fence")" -gt "$(lease fence)" ]; then
    refuse "its volume was laid for lease $(cat "$CHAIN_HOME/fence"), and is given the older lease $(lease fence)" \
      "the store or the ConfigMap was put back: find out by whom, then disco apply"
  fi
  take_back
  read_signed
  # where nobody knows what a step was signed for, the lease says the next one: as high as this counts
  if [ "$(cat "$CHAIN_HOME/fence" 2> /dev/null)" = "$(lease fence)" ] &&
    is_behind "$height" "$round" "$step" "$(lease height)" "$(lease round)" "$(lease step)"; then
    refuse "its volume says that $height/$round/$step was signed last, the key had signed $(lease height) before" \
      "an older volume was put back: put the newest one back, or disco signer take"
  fi
}

# A volume that a lease was not laid on yet begins where the lease says, and never below.
carry_on() {
  if [ "$signs" != true ] || [ ! -e "$LEASE" ]; then return; fi
  if [ "$(lease height)" -gt 0 ]; then
    lay "$(lease height)" "$(lease round)" "$(($(lease step) + 1))"
  fi
  note fence "$(lease fence)"
}

# For whoever moves the key. With it: above what this pod signs, and under which lease. Without it: what it had
# signed, noted once, before the node runs without the key: that makes a key of its own then, and a state that
# says 0.
tell() {
  if [ "$ROLE" != validator ]; then return; fi
  if [ "$signs" = true ]; then
    read_signed
    echo "key=here address=$mine fence=$(lease fence) height=$height round=$round step=$step" > "$RESULT"
    return
  fi
  if [ ! -e "$CHAIN_HOME/signed" ]; then
    read_signed
    note signed "height=$height round=$round step=$step signbytes=$bytes"
  fi
  there=$(validator_of_home)
  echo "key=gone ${there:+address=$there }$(cat "$CHAIN_HOME/signed")" > "$RESULT"
}

# Before anything else: whatever is on the volume from here on belongs to this chain and this key.
note_home() {
  note chain-id "$CHAIN_ID"
  if [ "$signs" = true ]; then note validator "$mine"; fi
}

place() { # FILE NAME FOLDER: there whole or not at all, readable by the node alone
  rm -f "$3/.$2"
  cp "$1" "$3/.$2"
  chmod 600 "$3/.$2"
  mv "$3/.$2" "$3/$2"
}

place_all() { # FOLDER
  place "$GENESIS" genesis.json "$1"
  if [ -e "$KEYS/$POD.node_key.json" ]; then
    place "$KEYS/$POD.node_key.json" node_key.json "$1"
  fi
  if [ "$signs" = true ]; then
    place "$key" priv_validator_key.json "$1"
  elif [ "$ROLE" = validator ]; then
    rm -f "$1/priv_validator_key.json"
  fi
}

# Made beside the home and moved into it, config last: a home with a config is a whole one.
make_home() { # INIT-ARGUMENT…
  new=$CHAIN_HOME/.new
  rm -rf "$new"
  mkdir "$new"
  echo "making the home of $POD with $BINARY"
  "$BINARY" "$@" --home "$new" > "$new/init.log" 2>&1 || {
    cat "$new/init.log" >&2
    refuse "$BINARY $* failed" "see the lines above"
  }
  place_all "$new/config"
  for part in "$new"/*; do
    name=${part##*/}
    case $name in config | init.log) continue ;; esac
    [ -e "$CHAIN_HOME/$name" ] || mv "$part" "$CHAIN_HOME/$name"
  done
  rm -rf "$config"
  mv "$new/config" "$config"
  rm -rf "$new"
}

# A node drops for good each peer whose name it can't resolve when it starts (CometBFT's
# NewNetAddressStrings), so it waits until the cluster's names are answered. Peers that are not there
# yet need no waiting: they dial this one when they come.
await_names() {
  domain=$(sed -n 's/^search [^ ]* \(svc\.[^ ]*\).*/\1/p' "${RESOLV:-/etc/resolv.conf}")
  if [ -z "$PEERS" ] || [ -z "$domain" ]; then return; fi
  for _ in $(seq 120); do
    if nslookup "kubernetes.default.$domain" > /dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "the cluster's names are not answered; $POD starts, but may miss peers" >&2
}

config=$CHAIN_HOME/config
key=$KEYS/$POD.priv_validator_key.json
LEASE=${LEASE:-} RESULT=${RESULT:-/dev/null}
signs=false
if [ "$ROLE" = validator ] && [ "$REMOTE_SIGNER" != true ]; then signs=true; fi
check_genesis
if [ "$signs" = true ]; then check_key; fi
check_home
check_lease
note_home
if [ -e "$config/config.toml" ]; then
  place_all "$config"
else
  make_home "$@"
fi
carry_on
tell
await_names
echo "home of $POD on $CHAIN_ID is ready"
