#!/bin/sh
# Is this node ready? It must have caught up, and its height must have risen within STALL_SECONDS. The
# height at the last rise, and its time, are kept between two probes in the file SEEN.
#
#   STATUS_URL, SEEN (file), STALL_SECONDS
set -eu

status=$(timeout 4 wget -q -O - "$STATUS_URL") || {
  echo "no answer from $STATUS_URL"
  exit 1
}
value_of() {
  echo "$status" | grep -o "\"$1\" *: *\"*[a-z0-9]*" | head -n 1 | sed 's/.*[": ]//'
}

height=$(value_of latest_block_height)
if [ -z "$height" ]; then
  echo "no height in the answer from $STATUS_URL"
  exit 1
fi
now=$(date +%s)
if [ ! -e "$SEEN" ]; then
  echo "$height 0" > "$SEEN"
fi
read -r last since < "$SEEN" || true
if [ "$height" -gt "$last" ]; then
  since=$now
fi
if [ "$height" != "$last" ]; then
  echo "$height $since" > "$SEEN"
fi

if [ "$(value_of catching_up)" != false ]; then
  echo "height $height, still catching up"
  exit 1
fi
if [ $((now - since)) -gt "$STALL_SECONDS" ]; then
  echo "height $height has not risen within $STALL_SECONDS s"
  exit 1
fi
