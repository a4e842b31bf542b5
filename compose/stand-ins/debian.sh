# Sourced by `tools` and `images`: how to get programs and a base system from Debian's packages when nothing else is in reach.
# The mirror is the one apt already uses, so that no host is written down here and a local mirror is honoured.

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

CACHE=${STACKWARDEN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stackwarden}

# Runs a command as root; says so when that is not possible, instead of failing in the middle.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else die "needs root for '$*': run it once as root, or with sudo"; fi
}

debian_mirror() {
  local mirror
  command -v apt-get >/dev/null || return 1
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep '/debian/$' | sort -u | head -1)
  [ -n "$mirror" ] && echo "$mirror"
}

# need PROGRAM PACKAGE: the program from the machine's own Debian release, if it is not here yet.
need() {
  command -v "$1" >/dev/null && return 0
  command -v apt-get >/dev/null || die "$1 is missing, and there is no apt-get to install it with: install $1"
  say "installing $2"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2" >/dev/null 2>&1 \
    || { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2" >/dev/null; } \
    || die "$2 cannot be installed from this machine's Debian sources"
}

# unpack SUITE PACKAGE FOLDER: a package of another release, unpacked, not installed. Own sources, own lists: the machine's stay as they are.
unpack() {
  local suite=$1 package=$2 folder=$3 apt=$CACHE/apt-$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(debian_mirror) || return 1
  [ -r "$keyring" ] || return 1
  mkdir -p "$apt/lists/partial" "$apt/cache" "$folder"
  echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update >&2 || return 1
  (cd "$folder" && apt-get "${options[@]}" download "$package" >&2 && dpkg -x "$package"_*.deb . && rm -f "$package"_*.deb)
}
