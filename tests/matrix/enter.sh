#!/bin/sh
# Run a command with another root directory:  enter.sh ROOT [SOURCE:TARGET:ro|rw]... -- COMMAND...
# To be started in mount and pid namespaces of its own (unshare --mount --pid --fork), so that every mount made here
# ends with it. pivot_root rather than chroot: buildah 1.39 and later cannot unpack a layer beneath a chroot.
set -eu
root=$1
shift
mount --bind "$root" "$root" # only a mount point can become the root
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    mode=${1##*:} places=${1%:*}
    source=${places%:*} target=$root${places##*:}
    if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "$(dirname "$target")" && touch "$target"; fi
    mount -o "bind,$mode" "$source" "$target"
    shift
done
shift
cd "$root"
pivot_root . .  # the old root lies on top of the new one now,
umount -l .     # and goes (pivot_root(2), "pivot_root(".", ".")")
exec "$@"
