#!/bin/sh
# Install or update the agent on a Raspberry Pi or any Debian with systemd, as root:
#
#   sudo ./install.sh [eventpulse_edge-0.1.0-py3-none-any.whl]
#
# Without a wheel it installs the folder that this script stands in. The spool, the identity and the
# configuration stay as they are; a running agent is restarted at the end.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=${1:-$(dirname -- "$here")}
root=${EVENTPULSE_EDGE_ROOT:-}   # another root folder, for images and tests
prefix=$root/opt/eventpulse-edge
configuration=$root/etc/eventpulse-edge
units=$root/etc/systemd/system

[ "$(id -u)" -eq 0 ] || { echo "install.sh: run it as root" >&2; exit 1; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "install.sh: Python 3.11 or newer is needed, this is $(python3 --version)" >&2
    exit 1
}
[ -e "$source" ] || { echo "install.sh: $source does not exist" >&2; exit 1; }

if ! id eventpulse-edge >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /nonexistent --no-create-home \
        --shell /usr/sbin/nologin eventpulse-edge
fi
if id eventpulse-edge >/dev/null 2>&1; then  # enroll needs it before the first start
    install -d -m 0700 -o eventpulse-edge -g eventpulse-edge "$root/var/lib/eventpulse-edge"
fi
groups=
for each in i2c gpio dialout; do
    if getent group "$each" >/dev/null; then groups="$groups $each"; fi
done

# A new environment beside the old one, swapped in when it is whole.
install -d -m 0755 "$prefix" "$configuration"
rm -rf "$prefix/venv.new"
python3 -m venv "$prefix/venv.new"
"$prefix/venv.new/bin/pip" install --quiet --disable-pip-version-check "$source"
"$prefix/venv.new/bin/eventpulse-edge" --version >/dev/null
# Scripts in an environment name its folder.
grep -rlI "$prefix/venv.new" "$prefix/venv.new/bin" |
    xargs sed -i "s|$prefix/venv.new|$prefix/venv|g"
rm -rf "$prefix/venv.old"
[ ! -d "$prefix/venv" ] || mv "$prefix/venv" "$prefix/venv.old"
mv "$prefix/venv.new" "$prefix/venv"
rm -rf "$prefix/venv.old"

if [ ! -e "$configuration/config.toml" ]; then
    install -m 0644 "$here/config.toml" "$configuration/config.toml"
    echo "edit $configuration/config.toml: the device's id and the server"
fi
install -d -m 0755 "$units/eventpulse-edge.service.d"
install -m 0644 "$here/eventpulse-edge.service" "$units/eventpulse-edge.service"
printf '[Service]\nSupplementaryGroups=%s\n' "${groups# }" \
    >"$units/eventpulse-edge.service.d/groups.conf"

systemctl daemon-reload
systemctl enable eventpulse-edge.service
systemctl try-restart eventpulse-edge.service
cat <<END
installed. Next:
  sudo -u eventpulse-edge EVENTPULSE_EDGE_STATE=/var/lib/eventpulse-edge $prefix/venv/bin/eventpulse-edge enroll
  sudo systemctl start eventpulse-edge
  eventpulse-edge status   (in $prefix/venv/bin)
END
