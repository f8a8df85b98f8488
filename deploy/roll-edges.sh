#!/bin/sh
# Replace every edge by a new one, one after the other, with the image and the settings that compose.yaml has now.
#
#   docker compose build && deploy/roll-edges.sh
#
# Each time a new edge is started first and takes connections, then an old one gets SIGTERM: it drains for
# COMET_DRAIN_SECONDS, and its subscribers go on elsewhere from their positions. COMPOSE names another Compose command.
set -eu
cd "$(dirname "$0")/.."
compose=${COMPOSE:-docker compose}
start_deadline=${START_DEADLINE:-60} # seconds that a new edge has to become ready

wait_ready() {
    tries=0
    until docker exec "$1" comet health edge --ready >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt "$start_deadline" ]; then
            echo "the new edge $1 is not ready after $start_deadline s; the old ones still run" >&2
            docker exec "$1" comet health edge --ready >&2 || docker logs --tail 20 "$1" >&2
            exit 1
        fi
        sleep 1
    done
}

old=$($compose ps --quiet edge)
[ -n "$old" ] || { echo 'no edge runs; start with: docker compose up -d' >&2; exit 1; }
count=$(echo "$old" | wc -l)
known=$(echo "$old" | tr '\n' ' ') # those that need not be waited for

for container in $old; do
    $compose --progress quiet up --detach --no-deps --no-build --no-recreate --scale "edge=$((count + 1))" edge
    for new in $($compose ps --quiet edge); do
        case " $known " in *" $new "*) ;; *) wait_ready "$new"; known="$known $new" ;; esac
    done
    began=$(date +%s)
    docker stop "$container" >/dev/null
    ended=$(docker inspect --format '{{.Name}} ended with {{.State.ExitCode}}' "$container")
    echo "${ended#/} after $(($(date +%s) - began)) s"
    docker rm "$container" >/dev/null
done
