#!/bin/sh
# nginx in the foreground with two workers that ask for SO_REUSEPORT by themselves; says which instance answers.
#
#     nginx.sh DIRECTORY PORT
#
# Everything that it writes is in a directory of this run, below DIRECTORY.
set -eu
prefix=$1/nginx-$$
mkdir -p "$prefix"
cat > "$prefix/nginx.conf" <<CONF
daemon off;
worker_processes 2;
pid $prefix/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $prefix/body;
    proxy_temp_path $prefix/proxy;
    fastcgi_temp_path $prefix/fastcgi;
    uwsgi_temp_path $prefix/uwsgi;
    scgi_temp_path $prefix/scgi;
    server {
        listen 127.0.0.1:$2 reuseport;
        location / {
            add_header X-Instance "${STEAD_INSTANCE:-$$}";
            return 200 "instance ${STEAD_INSTANCE:-$$} pid $$\n";
        }
    }
}
CONF
exec nginx -p "$prefix" -c "$prefix/nginx.conf"
