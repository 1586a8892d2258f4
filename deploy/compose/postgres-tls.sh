#!/usr/bin/env bash
# Makes a certificate authority and the server's certificate at the first start, then goes on as the image would.
set -euo pipefail
if [ ! -s /tls/server.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Kontor engines" -keyout /tls/ca.key -out /tls/ca.crt
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout /tls/server.key -out /tls/server.csr
  openssl x509 -req -in /tls/server.csr -CA /tls/ca.crt -CAkey /tls/ca.key -CAcreateserial -days 3650 -out /tls/server.crt \
    -extfile <(echo "subjectAltName=DNS:localhost,DNS:postgres-primary,DNS:postgres-replica,IP:127.0.0.1")
  chown postgres:postgres /tls/server.*
  chmod 600 /tls/*.key
fi
exec docker-entrypoint.sh "$@"
