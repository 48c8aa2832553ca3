#!/bin/sh
# Makes assets/ from the packages that package-lock.json pins: `./build.sh`, or `./build.sh check` to compare only.
# Needs npm. The same lock file gives the same bytes.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json "$work"
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund >/dev/null)
modules=$work/node_modules
out=$work/assets
mkdir "$out"

# The source maps stay behind; so do the lines that point to them.
pack() { sed '/^\/[\/*]# sourceMappingURL=/d' "$1" | gzip -9n >"$out/$2.gz"; }
pack "$modules/react/umd/react.production.min.js" react.js
pack "$modules/react-dom/umd/react-dom.production.min.js" react-dom.js
pack "$modules/graphiql/graphiql.min.js" graphiql.js
pack "$modules/graphiql/graphiql.min.css" graphiql.css

# The bundle holds parts of many packages: all their licences go with it.
(cd "$modules" && find . -name package.json -not -path '*/test/*' | sort | while read -r file; do
	dir=$(dirname "$file")
	licence=$(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \) | sort | head -n 1)
	[ -n "$licence" ] || continue
	node -e 'const p=require(process.argv[1]); if (p.name && p.version) console.log(`== ${p.name} ${p.version} (${p.license})\n`)' "$modules/$file"
	cat "$licence"
	echo
done) | gzip -9n >"$out/licenses.txt.gz"

if [ "${1:-}" = check ]; then
	diff -r "$out" assets
else
	rm -rf assets
	cp -r "$out" assets
fi
