#!/usr/bin/env bash
# Tells one message's story from the logs: scripts/story.sh ID [--logs DIR] [--json]
set -euo pipefail
exec cargo run --quiet --package chat-client -- story "$@"
