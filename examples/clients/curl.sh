#!/usr/bin/env bash
# Scores one flower:  curl.sh URL ROOT_CERTIFICATE KEY_FILE
set -euo pipefail
url=$1 root=$2 key_file=$3

# The key goes to curl in a file descriptor: an argument could be read by every user of the machine.
curl --silent --show-error --fail-with-body --cacert "$root" \
    --header @<(printf 'Authorization: Bearer %s\n' "$(<"$key_file")") \
    --header 'Content-Type: application/json' \
    --data '{"input_data": [[5.1, 3.5, 1.4, 0.2]]}' "$url"
echo
