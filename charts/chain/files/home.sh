#!/bin/sh
# Lays the home of one node before each start: made once, then only genesis and keys are placed anew.
# A validator must never run on what another one left behind: it would vote against itself, or forget
# what it has signed. So a home of another chain or another key is refused, not mended.
#
#   home.sh INIT-ARGUMENT…
#   BINARY, CHAIN_ID, CHAIN_HOME, GENESIS (file), KEYS (folder), POD, ROLE (validator or node),
#   REMOTE_SIGNER (true: the key is elsewhere), PEERS (its peers; empty: none),
#   RESOLV (resolv.conf, when it is elsewhere)
set -eu
umask 077

refuse() {
  echo "refused to start $POD: $1" >&2
  echo "fix: $2" >&2
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

validator_of_home() {
  if [ -e "$CHAIN_HOME/validator" ]; then
    cat "$CHAIN_HOME/validator"
  elif [ -e "$config/priv_validator_key.json" ]; then
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
  echo "$2" > "$CHAIN_HOME/.$1"
  mv "$CHAIN_HOME/.$1" "$CHAIN_HOME/$1"
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
signs=false
if [ "$ROLE" = validator ] && [ "$REMOTE_SIGNER" != true ]; then signs=true; fi
check_genesis
if [ "$signs" = true ]; then check_key; fi
check_home
note_home
if [ -e "$config/config.toml" ]; then
  place_all "$config"
else
  make_home "$@"
fi
await_names
echo "home of $POD on $CHAIN_ID is ready"
