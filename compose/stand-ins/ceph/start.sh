#!/usr/bin/env bash
# One-node Ceph on loopback, its S3 gateway on port 8000. No authentication between its own daemons, and with none they cannot speak
# the encrypted protocol either: without `crc` below the gateway waits for ever.
set -euo pipefail
home=/ceph; mkdir -p $home/{mon,osd,out,rgw}
export CEPH_CONF=$home/ceph.conf
cat > $CEPH_CONF <<C
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
run dir = $home/out
admin socket = $home/out/\$name.\$pid.asok
log file = $home/out/\$name.log
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
ms bind ipv4 = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = $BYTES
[mon]
mon data = $home/mon
[osd]
osd data = $home/osd
[client.rgw]
rgw frontends = beast port=8000
rgw thread pool size = 32
rgw data = $home/rgw
rgw sts key = sixteen-letters-
rgw s3 auth use sts = true
${DOMAIN:+rgw dns name = $DOMAIN}
C
monmaptool --create --fsid "$(sed -n 's/^fsid = //p' $CEPH_CONF)" --addv a '[v2:127.0.0.1:3300,v1:127.0.0.1:6789]' $home/monmap >/dev/null
ceph-mon --mkfs -i a --monmap $home/monmap
ceph-mon -i a
timeout 60 ceph mon stat >/dev/null
osd=$(timeout 60 ceph osd create)
ceph-osd -i "$osd" --mkfs >/dev/null 2>&1
timeout 60 ceph osd crush add "osd.$osd" 1 root=default host=local >/dev/null 2>&1
ceph-osd -i "$osd" >/dev/null 2>&1
for _ in $(seq 120); do timeout 5 ceph osd stat 2>/dev/null | grep -q '1 up' && break; sleep 0.5; done
timeout 60 radosgw-admin user create --uid=test --display-name=test --access-key="$KEY" --secret-key="$SECRET" >/dev/null
timeout 60 radosgw-admin caps add --uid=test --caps="user-policy=*" >/dev/null
timeout 60 radosgw-admin user create --uid=other --display-name=other --access-key="$OTHER_KEY" --secret-key="$SECRET" >/dev/null
if [ -n "${CLOCK:-}" ]; then faketime -f "$CLOCK" radosgw -f -n client.rgw >/dev/null 2>&1 & else radosgw -n client.rgw; fi
for _ in $(seq 120); do curl -s -o /dev/null http://127.0.0.1:8000/ && break; sleep 0.5; done
${CLOCK:+faketime -f "$CLOCK"} s3cmd --config=/dev/null --no-ssl --access_key "$KEY" --secret_key "$SECRET" --host 127.0.0.1:8000 --host-bucket 127.0.0.1:8000 mb "s3://$BUCKET"
touch /run/ready
echo "the gateway listens on port 8000"
sleep infinity
