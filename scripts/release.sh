#!/usr/bin/env bash
# Makes what is shipped, in dist/: stripped programs, a tarball with manual pages, completions and
# units, a Debian package, and SHA256SUMS over both. The same commit gives the same archives.
#   scripts/release.sh              builds the release profile first
#   scripts/release.sh --bin DIR    takes chat-server and chat-client from DIR instead
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ "${1:-}" == --bin ]]; then
  bin="$2"
else
  cargo build --release --locked --package chat-server --package chat-client
  bin="${CARGO_TARGET_DIR:-target}/release"
fi
version="$("$bin/chat-server" --version | awk '{print $2}')"
arch="$(uname -m)"
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
umask 022

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
tree="$work/chat-$version"
mkdir -p "$tree"/{bin,man,completions/{bash,zsh,fish},units} dist
for program in chat-server chat-client; do
  install -m 0755 "$bin/$program" "$tree/bin/$program"
  strip "$tree/bin/$program"
  "$tree/bin/$program" man | gzip -9n >"$tree/man/$program.1.gz"
  "$tree/bin/$program" completions bash >"$tree/completions/bash/$program"
  "$tree/bin/$program" completions zsh >"$tree/completions/zsh/_$program"
  "$tree/bin/$program" completions fish >"$tree/completions/fish/$program.fish"
done
install -m 0644 ops/chat-server.service ops/chat-agent.service "$tree/units"
install -m 0644 ops/alerts.yml ops/dashboard.json "$tree/units"
install -m 0644 README.md CHANGELOG.md docs/OPERATIONS.md LICENSE-APACHE LICENSE-MIT "$tree"

tarball="chat-$version-linux-$arch.tar.gz"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
  -C "$work" -cf - "chat-$version" | gzip -9n >"dist/$tarball"

# The Debian package holds the same files at the places where Debian looks for them.
root="$work/root"
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/man/man1" "$root/lib/systemd/system" \
  "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
  "$root/usr/share/fish/vendor_completions.d" "$root/usr/share/doc/chat"
cp "$tree"/bin/* "$root/usr/bin"
cp "$tree"/man/* "$root/usr/share/man/man1"
cp "$tree"/units/*.service "$root/lib/systemd/system"
cp "$tree"/units/{alerts.yml,dashboard.json} "$root/usr/share/doc/chat"
cp "$tree"/completions/bash/* "$root/usr/share/bash-completion/completions"
cp "$tree"/completions/zsh/* "$root/usr/share/zsh/vendor-completions"
cp "$tree"/completions/fish/* "$root/usr/share/fish/vendor_completions.d"
cp "$tree"/{README.md,CHANGELOG.md,OPERATIONS.md,LICENSE-APACHE,LICENSE-MIT} "$root/usr/share/doc/chat"
# The programs need the C library that they were linked with, or a newer one, and nothing else.
libc="$(ldd --version | sed -n '1s/.* //p')"
cat >"$root/DEBIAN/control" <<CONTROL
Package: chat
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: The chat project <chat@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= $libc), libgcc-s1
Section: net
Priority: optional
Description: chat, files and remote commands over a hub that need not be trusted
 chat-server is the hub, chat-client the program of people and of machines.
 Messages, files and commands are sealed and signed by the clients.
CONTROL
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package="chat_${version}_$(dpkg --print-architecture).deb"
dpkg-deb --root-owner-group --build "$root" "dist/$package" >/dev/null

(cd dist && sha256sum "$tarball" "$package" >SHA256SUMS)
ls -l dist
