# Sourced by the other scripts: makes .venv from the lock when it is missing or older than the lock, then leaves $python set.
# Works from any folder, and without a network once the environment stands.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
stamp=$root/.venv/.installed-from-lock

find_python() {
  for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "heartbeat_trio needs Python 3.11 or newer; none was found on PATH." >&2
  return 1
}

if ! { [ -x "$python" ] && cmp -s "$root/requirements.lock" "$stamp"; }; then
  echo "Setting up $root/.venv (once) ..." >&2
  [ -x "$python" ] || "$(find_python)" -m venv "$root/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$root/requirements.lock"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
  cp "$root/requirements.lock" "$stamp"
fi
