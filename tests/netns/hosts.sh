#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Five hosts on one switch, each a network namespace: `hosts.sh up PREFIX` makes them, `down PREFIX` takes them away,
# `cut PREFIX "1 2" "3 4 5"` lets no packet through between the two groups, `heal PREFIX` lets all through again,
# `mute PREFIX` drops every UDP datagram; `unplug PREFIX HOST` takes a host's interface away, `plug PREFIX HOST` gives it
# one. Exits 77 where the machine does not permit it.
set -eu

verb=$1
prefix=$2
hosts="1 2 3 4 5"

down() {
    for host in $hosts switch; do
        ip netns del "$prefix-$host" 2>/dev/null || true
    done
}

in_host() {
    space=$prefix-$1
    shift
    # Not `ip netns exec`: that also mounts, and fails in a chroot whose / is no mount point.
    nsenter --net="/run/netns/$space" "$@"
}

plug() {
    ip link add eth0 netns "$prefix-$1" type veth peer name "port$1" netns "$prefix-switch"
    in_host switch ip link set "port$1" master br0 up
    in_host "$1" ip addr add "10.77.0.$1/24" brd + dev eth0
    in_host "$1" ip link set eth0 up
}

up() {
    ip netns add "$prefix-switch" 2>/dev/null || exit 77
    trap 'down; exit 77' EXIT
    in_host switch ip link add br0 type bridge
    in_host switch ip link set br0 up
    for host in $hosts; do
        ip netns add "$prefix-$host"
        in_host "$host" ip link set lo up
        plug "$host"
        in_host "$host" nft add table inet skua
        in_host "$host" nft "add chain inet skua in { type filter hook input priority 0; }"
        in_host "$host" nft "add chain inet skua out { type filter hook output priority 0; }"
    done
    trap - EXIT
}

# A packet is stopped at both ends and in both directions, as by a cable that was pulled: nothing is refused.
cut() {
    for here in $1; do
        for there in $2; do
            in_host "$here" nft add rule inet skua in ip saddr "10.77.0.$there" drop
            in_host "$here" nft add rule inet skua out ip daddr "10.77.0.$there" drop
            in_host "$there" nft add rule inet skua in ip saddr "10.77.0.$here" drop
            in_host "$there" nft add rule inet skua out ip daddr "10.77.0.$here" drop
        done
    done
}

heal() {
    for host in $hosts; do
        in_host "$host" nft flush chain inet skua in
        in_host "$host" nft flush chain inet skua out
    done
}

mute() {
    for host in $hosts; do
        in_host "$host" nft add rule inet skua in ip protocol udp drop
    done
}

case $verb in
up) up ;;
down) down ;;
cut) cut "$3" "$4" ;;
heal) heal ;;
mute) mute ;;
plug) plug "$3" ;;
unplug) in_host "$3" ip link del eth0 ;;
*) exit 2 ;;
esac
