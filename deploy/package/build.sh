#!/bin/sh
# Builds the .deb and .rpm packages into dist/: `make packages`.
#   build.sh VERSION [deb|rpm ...]
# MAINTAINER is "NAME <ADDRESS>" for the packages. GOARCH chooses another architecture, OUT another folder. nfpm comes from deploy/tools/go.mod, so
# that it and what it drags along stay out of the program's own dependencies.
set -eu
cd "$(dirname "$0")/../.."

version=${1#v}
shift
[ $# -gt 0 ] || set -- deb rpm
# A package's version begins with a digit; a bare commit has none.
case $version in
[0-9]*.*) ;;
*) version=0.0.0+git.$version ;;
esac
VERSION=$(printf %s "$version" | tr -c 'A-Za-z0-9.+~' '.')
ARCH=${GOARCH:-$(go env GOARCH)}
# Whoever gives packages to others says who answers for them.
MAINTAINER=${MAINTAINER:-Local build of waptsync <root@localhost>}
export VERSION ARCH MAINTAINER

out=${OUT:-dist}
stage=$out/stage-$ARCH
rm -rf "$stage"
mkdir -p "$stage/doc"

CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$stage/waptsync" ./cmd/waptsync
# What is generated from the command line is made by a program of this machine.
GOOS='' GOARCH='' CGO_ENABLED=0 go build -ldflags "-X main.version=$VERSION" -o "$stage/here" ./cmd/waptsync
"$stage/here" docs --settings deploy "$stage/doc"
for shell in bash zsh fish; do "$stage/here" completion $shell >"$stage/doc/waptsync.$shell"; done
rm "$stage/here"
gzip -9n "$stage"/doc/*.1 "$stage"/doc/*.5

# The licences of what is linked in ask for their notices.
go list -deps -f '{{with .Module}}{{if .Version}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/waptsync | sort -u |
  { printf '%s\n\n' 'No licence has been chosen for waptsync itself yet: ask its owner before you
redistribute this package. What follows are the licences of what is linked in.' &&
      echo "Go $(go env GOVERSION)" && cat "$(go env GOROOT)/LICENSE"
    while read -r module release dir; do
      for notice in "$dir"/LICENSE* "$dir"/NOTICE* "$dir"/COPYING*; do
        [ ! -f "$notice" ] || { printf '\n== %s %s %s\n\n' "$module" "$release" "$(basename "$notice")" && cat "$notice"; }
      done
    done
  } >"$stage/doc/copyright"

for service in publisher subscriber; do
  for script in deploy/package/deb/service.* deploy/package/rpm/service.*; do
    name=$(basename "$(dirname "$script")")-$service.${script##*service.}
    sed "s/@UNIT@/waptsync-$service.service/g" "$script" >"$stage/$name"
  done
done

for format in "$@"; do
  for package in waptsync waptsync-publisher waptsync-subscriber; do
    sed "s|@STAGE@|$stage|g" "deploy/package/$package.yaml" >"$stage/$package.yaml"
    go tool -modfile=deploy/tools/go.mod nfpm package --config "$stage/$package.yaml" --packager "$format" --target "$out/"
  done
done
