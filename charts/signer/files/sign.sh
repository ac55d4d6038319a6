#!/bin/sh
# Runs tmkms on the state that the gate has let through, one at a time on a volume.
#
#   STATE (folder), BEGUN (the fence under which it may sign), CONFIG (tmkms.toml), CONNECTION (file)
set -eu
umask 077

refuse() {
  echo "refused to sign: $1" >&2
  exit 1
}

# A vote that is signed and that its validator did not hear any more is lost: nobody signs it again. So it
# ends between two blocks: when it has just signed a precommit (step 2), and that has been heard. Of a chain
# that stands still, or takes long, it ends after a second or three, which are many of its answers.
end() {
  trap '' TERM
  last='' age=0 seen=0
  while [ "$age" -lt 300 ] && [ "$seen" -lt 600 ]; do
    now=''
    read -r now < "$STATE/state.json" || true
    if [ "$now" != "$last" ]; then age=0; else age=$((age + 1)); fi
    case $now in
      *'"step":2'*) if [ "$age" -ge 100 ] || { [ "$age" -ge 3 ] && [ "$seen" -gt "$age" ]; }; then break; fi ;;
    esac
    last=$now seen=$((seen + 1))
    sleep 0.01
  done
  kill -KILL "$signer" || true
  exit 0
}

fence=$(sed -n 's/^fence=//p' "$STATE/lease")
[ "$fence" = "$BEGUN" ] || refuse "its volume is laid for lease $fence, and signing is for lease $BEGUN"
exec 9> "$STATE/lock"
flock -n 9 || refuse "another process signs on this volume"
# The validator takes any signer that its network policy lets in: this key names nobody.
rm -f "$CONNECTION"
tmkms softsign keygen -t consensus "$CONNECTION" > /dev/null
tmkms start -c "$CONFIG" &
signer=$!
trap end TERM
wait "$signer"
