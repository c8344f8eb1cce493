#!/bin/sh
# One cable: edge0 is the Pi's, with the default route; out0 lies in the namespace `out`, where the attacks come from.
set -e
ip netns list | grep -qw out || ip netns add out
ip link show edge0 >/dev/null 2>&1 || ip link add edge0 type veth peer name out0 netns out
ip netns exec out sysctl -q net.ipv6.conf.out0.disable_ipv6=1
ip addr replace 10.77.0.1/24 dev edge0
ip link set edge0 up
ip netns exec out ip addr replace 10.77.0.2/24 dev out0
ip netns exec out ip link set out0 up
ip route replace default via 10.77.0.2 dev edge0
