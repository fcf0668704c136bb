#!/usr/bin/env bash
# From a table of predictions to a gate, with the command line. Usage: run.sh [FOLDER FOR THE RESULTS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$(mktemp -d)}
mkdir -p "$out" && cd "$out"

python3 "$here/make_table.py" > predictions.csv
certifair keygen --out key.pem
certifair register --policy "$here/certifair.toml" --key key.pem --out policy.registration.json
certifair ingest predictions.csv --policy "$here/certifair.toml" --out run
certifair certify run --key key.pem --out risk.certificate.json --registration policy.registration.json
certifair verify risk.certificate.json --public-key key.pub.pem --evidence run
certifair gate risk.certificate.json --policy "$here/demands.toml" --public-key key.pub.pem \
    --output text --output junit=gate.xml --output json=gate.json
echo "results in $out"
